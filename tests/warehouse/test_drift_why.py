"""What `turnwatch drift why` finds in ClickHouse: the slice nobody chose, since when, and what began with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from schemas.families import QUALITY, RELEASES
from schemas.releases import Artifact, Release, WayBack, rows
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.operators.totals.rollup_rows import to_table
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from tests.stack_fixtures import own_database
from turnwatch.drift.began_with import began_with
from turnwatch.drift.dating import OF_FILES, UNTOLD
from turnwatch.drift.printing import began
from turnwatch.drift.sides import Asked
from turnwatch.drift.why import explain, told
from turnwatch.query import ask

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WORSE_FROM_H = 54
ERRORS_OF_NO_WORDS = 300
LATE = {
    "producer": pl.lit("host-1"), "origin_topic": pl.lit("aggregates.quality"),
    "origin_partition": pl.lit(0), "origin_offset": pl.lit(7),
}  # fmt: skip


@pytest.fixture(scope="module")
def start_ms() -> int:
    """Midnight of six days ago: tables forget what is old."""
    return int(time.time() * 1_000) // DAY_MS * DAY_MS - 6 * DAY_MS


@pytest.fixture(scope="module")
def address(clickhouse_server: ClickHouseServer, start_ms: int) -> Iterator[ClickHouseAddress]:
    """Four days of labelled calls: from the third morning on noisy accented ones are heard worse, the others better; nobody wrote
    down what Welsh and Manx callers said, and of the former somebody counted errors all the same.
    """
    with own_database(clickhouse_server) as address:
        migrate(address)
        client = connect(address)
        hours = labelled(start_ms)
        told_late = hours.filter(pl.col("bucket_start_ms") == start_ms + 60 * HOUR_MS)
        in_time = hours.filter(pl.col("bucket_start_ms") != start_ms + 60 * HOUR_MS)
        for table, part in (("quality_1h", in_time), ("quality_late", told_late.with_columns(**LATE))):
            client.insert_arrow(table, to_table(with_time(part), table))
        client.insert_arrow("deployments_1m", to_table(with_time(deployed(start_ms)), "deployments_1m"))
        client.insert_arrow(
            "releases", rows([released("v1", "asr-6", 1, start_ms), released("v2", "asr-7", 2, start_ms)])
        )
        client.insert_arrow("burn_rate_1m", to_table(with_time(burnt(start_ms)), "burn_rate_1m"))
        client.close()
        yield address


def labelled(start_ms: int) -> pl.DataFrame:
    """Hours of two accents in two kinds of noise, in two bundles, as rows of three cuts."""
    dice = np.random.default_rng(8)
    found = []
    for hour in range(96):
        for accent, noise, words in (
            ("us", "quiet", 9_000), ("us", "noisy", 4_000), ("scottish", "noisy", 900), ("welsh", "noisy", 0),
            ("manx", "noisy", 0),
        ):  # fmt: skip
            bundle = "v2" if hour >= WORSE_FROM_H - 1 else "v1"
            is_worse = hour >= WORSE_FROM_H and (accent, noise) == ("scottish", "noisy")
            is_better = hour >= WORSE_FROM_H and noise == "quiet"
            rate = 0.34 if is_worse else 0.108 if is_better else 0.2 if noise == "noisy" else 0.12
            errors = int(dice.binomial(words, rate)) if accent != "welsh" else ERRORS_OF_NO_WORDS
            pool = f"pool=realtime,bundle={bundle}"
            for slice_text in (
                "pool=realtime", "pool=realtime,region=eu-west-1", pool, f"{pool},accent={accent}",
                f"{pool},accent={accent},noise_class={noise}", f"{pool},noise_class={noise}",
            ):  # fmt: skip
                found.append((start_ms + hour * HOUR_MS, slice_text, words // 10 or 50, words, errors))
    told = pl.DataFrame(found, ["bucket_start_ms", "slice", "calls", "words", "word_errors"], orient="row")
    summed = told.group_by("bucket_start_ms", "slice").sum().sort("bucket_start_ms", "slice")
    return summed.with_columns(
        pl.lit(0).alias(name) for name in QUALITY.measure_names if name not in ("calls", "words", "word_errors")
    )


def deployed(start_ms: int) -> pl.DataFrame:
    """v1 a day before the first hour, v2 an hour before calls get worse, in another region another half hour later."""
    told = []
    for bundle, at_ms in (("v1", start_ms - DAY_MS), ("v2", start_ms + (WORSE_FROM_H - 1) * HOUR_MS)):
        for region, later_ms in (("eu-west-1", 0), ("us-east-1", HOUR_MS // 2)):
            told.append((at_ms + later_ms, f"pool=realtime,region={region},bundle={bundle}", "bundle"))
        for artifact, kind in (("asr", "asr_model"), ("tts", "tts_voice")):
            told.append((at_ms, f"pool=realtime,bundle={bundle},artifact={artifact}", kind))
    for hour in (1, WORSE_FROM_H - 3, WORSE_FROM_H + 30):
        told.append((start_ms + hour * HOUR_MS, "pool=realtime,bundle=v1,artifact=kb", "retrieval_index"))
    told.append((start_ms + (WORSE_FROM_H - 2) * HOUR_MS, "pool=realtime,bundle=v1,artifact=refusals", "policy"))
    told.append((start_ms + (WORSE_FROM_H - 2) * HOUR_MS, "pool=batch,bundle=v9,artifact=asr", "asr_model"))
    rows_of = pl.DataFrame(told, ["bucket_start_ms", "slice", "artifact_kind"], orient="row")
    return rows_of.with_columns(pl.lit(1).alias(name) for name in RELEASES.measure_names)


def released(bundle: str, asr: str, day: int, start_ms: int) -> Release:
    def artifact(kind: Any, name: str, version: str) -> Artifact:
        return Artifact(
            kind=kind, name=name, version=version, owner="speech-team", lineage=("commit:1",), evaluation="report",
            rollback_to=f"before-{version}",
        )  # fmt: skip

    return Release(
        bundle=bundle,
        artifacts=(artifact("asr_model", "asr", asr), artifact("tts_voice", "tts", "tts-3")),
        ways_back=(WayBack(kind="restore_bundle", target="v0"),),
        who="ana",
        at_ms=start_ms + day,
    )


def burnt(start_ms: int) -> pl.DataFrame:
    """Turns by language: those in German take longer on the last two days."""
    told = [
        (start_ms + hour * HOUR_MS, f"pool=realtime,language={language}", "turn_4000ms", 100, 10 if worse else 1)
        for hour in range(96)
        for language, worse in (("en", False), ("de", hour >= 48))
    ]
    return pl.DataFrame(told, ["bucket_start_ms", "slice", "indicator", "total", "bad"], orient="row")


def with_time(rows_of: pl.DataFrame) -> pl.DataFrame:
    at = pl.col("bucket_start_ms").cast(pl.Datetime("ms", "UTC")).alias("bucket_start")
    return rows_of.with_columns(at, version=pl.lit(1, pl.Int64)).drop("bucket_start_ms")


def day(start_ms: int, number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(start_ms / 1_000 + number * 86_400))


@pytest.fixture
def asked(address: ClickHouseAddress, start_ms: int, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The first two days beside the last two."""
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
    old, new = f"{day(start_ms, 0)}..{day(start_ms, 1)}", f"{day(start_ms, 2)}..{day(start_ms, 3)}"
    return Asked(old, new)


def test_the_slice_is_found_that_nobody_chose_with_what_began_before_it(asked: Asked, start_ms: int) -> None:
    said = {each["rate"]: each for each in told(explain(asked, 0))["rates"]}
    assert set(said) == {"word_error_rate", "turn_4000ms"}
    wer = said["word_error_rate"]
    assert wer["verdict"] == "flat overall, one slice worse, 1 could not be judged"
    assert (wer["cuts"][0]["cut"], wer["cuts"][0]["explained_by"]) == ("pool,accent", ["pool=realtime,accent=scottish"])
    assert {cut["cut"] for cut in wer["cuts"]} == {
        "pool", "pool,region", "pool,bundle", "pool,accent", "pool,noise_class", "pool,accent,noise_class",
    }  # fmt: skip
    assert wer["began"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_ms / 1_000 + WORSE_FROM_H * 3_600))
    began = [(each["what"], each["before_s"] // 60, each["rollback_to"]) for each in wer["began_with"]]
    assert began == [
        ("bundle v2", 30, None),
        ("bundle v2", 60, None),
        ("asr_model asr asr-7 of bundle v2", 60, "before-asr-7"),
        ("policy refusals of bundle v1", 120, None),
        ("retrieval_index kb of bundle v1", 180, None),
    ]
    assert said["turn_4000ms"]["cuts"][0]["explained_by"] == ["pool=realtime,language=de"]


def test_an_export_of_the_same_days_says_the_same(
    asked: Asked, address: ClickHouseAddress, start_ms: int, tmp_path: Path
) -> None:
    sides = []
    for name, first in (("old.csv", 0), ("new.csv", 2)):
        within = f"bucket_start >= '{day(start_ms, first)}' AND bucket_start < '{day(start_ms, first + 2)}'"
        (tmp_path / name).write_text(ask(address, f"SELECT * FROM quality WHERE {within} ORDER BY slice", "csv"))
        sides.append(str(tmp_path / name))
    stored, of_files = (
        told(explain(each, 0))["rates"][0]
        for each in (replace(asked, rates=("word_error_rate",)), Asked(sides[0], sides[1]))
    )
    assert stored.pop("began_with") and of_files.pop("began_with") is None
    assert (stored.pop("began_with_unknown"), of_files.pop("began_with_unknown")) == (None, OF_FILES)
    for one, other in zip(stored.pop("cuts"), of_files.pop("cuts"), strict=True):
        assert one.pop("slices") == [pytest.approx(each) for each in other.pop("slices")]
        assert one == other
    assert stored.pop("overall") == pytest.approx(of_files.pop("overall"))
    assert stored == of_files


def test_calls_without_reference_words_are_no_samples_and_their_slice_is_not_enough(asked: Asked) -> None:
    wer = next(each for each in told(explain(asked, 0))["rates"] if each["rate"] == "word_error_rate")
    cut = next(each for each in wer["cuts"] if each["cut"] == "pool,accent")
    rows_of = {each["slice"].rpartition("=")[2]: each for each in cut["slices"]}
    assert (rows_of["welsh"]["state"], rows_of["welsh"]["old_samples"], cut["not_enough"]) == ("not_enough", 0, 1)
    assert ("manx" in rows_of, cut["empty"], cut["undivided"]) == (False, 1, 96 * ERRORS_OF_NO_WORDS)
    changed = wer["overall"]["new"] - wer["overall"]["old"]
    assert changed == pytest.approx(cut["change_billionths"] / 1e9, abs=1e-9), "nor is what has no part of the whole"
    told_of_slices = sum(each["old_samples"] for each in cut["slices"])
    assert told_of_slices == wer["overall"]["old_samples"] == 48 * 1_390


def test_where_nobody_told_of_deployments_nothing_is_said_of_what_began(
    clickhouse_server: ClickHouseServer, start_ms: int, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    """That none began is said only where hosts of the pool, and region, told near the change what they serve."""
    with own_database(clickhouse_server) as address:
        migrate(address)
        monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
        client = connect(address)
        client.insert_arrow("quality_1h", to_table(with_time(labelled(start_ms)), "quality_1h"))
        said = []
        for where, at_h in (("pool=batch", 54), ("pool=realtime", 50), ("pool=realtime", 54)):
            steady = deployed(start_ms).head(1).with_columns(
                slice=pl.lit(f"{where},region=eu-west-1,bundle=v0"), bucket_start_ms=pl.lit(start_ms + at_h * HOUR_MS - 60_000)
            ).with_columns(pl.lit(0).alias("deployments"))  # fmt: skip
            client.insert_arrow("deployments_1m", to_table(with_time(steady), "deployments_1m"))
            (wer,) = told(explain(replace(asked, rates=("word_error_rate",)), 0))["rates"]
            said.append((wer["began_with"], list(began(wer))[1:]))
        client.close()
        onset_ms = start_ms + WORSE_FROM_H * HOUR_MS
        regions = [
            began_with(address, onset_ms, HOUR_MS, f"pool=realtime,region={each}")
            for each in ("eu-west-1", "us-east-1")
        ]
    nothing = "no bundle, artifact, index or policy began to be served in the day before"
    assert said == [(None, [UNTOLD]), (None, [UNTOLD]), ([], [nothing])]
    assert regions == [[], None], "hosts of one region know nothing of another"


def test_bundles_of_one_time_are_compared_slice_by_slice(asked: Asked, start_ms: int) -> None:
    both = f"{day(start_ms, 0)}..{day(start_ms, 3)}"
    said = told(
        explain(Asked(both, both, old_where=("bundle=v1",), new_where=("bundle=v2",), rates=("word_error_rate",)), 0)
    )
    (wer,) = said["rates"]
    assert {cut["cut"] for cut in wer["cuts"]} == {"pool", "pool,accent", "pool,noise_class", "pool,accent,noise_class"}
    assert wer["cuts"][0]["explained_by"] == ["pool=realtime,accent=scottish"]
    assert wer["began"] is None, "neither comes after the other"
