"""`turnwatch drift why` on files: parts that sum, words for what aggregates hide, and a sentence for what cannot be meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from schemas.failures import BadInput
from schemas.families import QUALITY
from turnwatch.cli import app
from turnwatch.drift.dating import OF_FILES, shared
from turnwatch.drift.pictures import Limits, pictures
from turnwatch.drift.told import told_of
from turnwatch.drift.why import cut_answer
from turnwatch.sentences import exit_code_for

Counts = tuple[int, int]
"""Calls, each of ten words, and word errors."""
QUIET, NOISY = "accent=us,noise_class=quiet", "accent=scottish,noise_class=noisy"


def write(path: Path, slices: Mapping[str, Counts]) -> Path:
    counts = {text: {"calls": n, "words": 10 * n, "word_errors": errors} for text, (n, errors) in slices.items()}
    path.write_text(json.dumps(counts))
    return path


def invoked(*words: object) -> Any:
    return CliRunner().invoke(app, ["drift", "why", *map(str, words)])


def wer(folder: Path, old: Mapping[str, Counts], new: Mapping[str, Counts], *words: object) -> dict[str, Any]:
    """The answer's only rate."""
    sides = ("--old", write(folder / "a.json", old), "--new", write(folder / "b.json", new))
    ended = invoked(*sides, "--format", "json", *words)
    assert ended.exit_code == 0, ended.output
    (rate,) = json.loads(ended.stdout)["rates"]
    found: dict[str, Any] = rate
    return found


def told_by(counts: list[Counts]) -> pl.DataFrame:
    rows = [("slices", f"s{place}", 0, n, 10 * n, bad) for place, (n, bad) in enumerate(counts)]
    columns = ["cut", "slice", "window_ms", "calls", "words", "word_errors"]
    return told_of(pl.DataFrame(rows, columns, orient="row"), QUALITY)


def refused(*words: object) -> str:
    ended = invoked(*words)
    assert isinstance(ended.exception, BadInput), ended.output
    return str(ended.exception)


def test_flat_overall_and_one_slice_worse(tmp_path: Path) -> None:
    found = wer(tmp_path, {QUIET: (9_000, 9_000), NOISY: (600, 600)}, {QUIET: (9_000, 8_520), NOISY: (600, 1_080)})
    assert found["verdict"] == "flat overall, one slice worse"
    assert found["cuts"][0]["explained_by"] == [NOISY]
    assert [each["state"] for each in found["cuts"][0]["slices"]] == ["worse", "better"]
    assert found["cuts"][0]["change_billionths"] == 0
    assert [each["rate_billionths"] for each in found["cuts"][0]["slices"]] == [5_000_000, -5_000_000]


def test_worse_overall_and_no_slice_worse(tmp_path: Path) -> None:
    found = wer(
        tmp_path, {QUIET: (9_000, 4_500), NOISY: (1_000, 4_000)}, {QUIET: (6_000, 3_000), NOISY: (4_000, 16_000)}
    )
    assert found["verdict"] == "worse overall, no slice worse: traffic moved between them"
    assert (found["is_mix"], set(found["cuts"][0]["moved_by"])) == (True, {NOISY, QUIET})
    assert "scottish,noise_class=noisy 10.0% → 40.0% of words" in found["sentences"][1]
    assert (found["cuts"][0]["rate_billionths"], found["cuts"][0]["mix_billionths"]) == (0, 105_000_000)


def test_what_got_worse_and_moved_as_well_is_told_by_its_slices(tmp_path: Path) -> None:
    found = wer(
        tmp_path, {QUIET: (9_000, 4_500), NOISY: (1_000, 2_000)}, {QUIET: (8_000, 4_000), NOISY: (2_000, 8_000)}
    )
    assert found["verdict"] == "worse overall, one slice worse"
    assert found["cuts"][0]["explained_by"] == [NOISY]


def test_the_smallest_set_explains_what_was_asked_for(tmp_path: Path) -> None:
    names = [f"accent=a{number}" for number in range(8)]
    old = dict.fromkeys(names, (2_000, 2_000))
    new = {**old, "accent=a5": (2_000, 4_000), "accent=a2": (2_000, 3_000)}
    assert wer(tmp_path, old, new)["cuts"][0]["explained_by"] == ["accent=a5", "accent=a2"]
    assert wer(tmp_path, old, new, "--share", "0.6")["cuts"][0]["explained_by"] == ["accent=a5"]


def test_small_slices_are_never_fine_and_never_blamed(tmp_path: Path) -> None:
    found = wer(tmp_path, {QUIET: (199, 20), NOISY: (900, 90)}, {QUIET: (900, 900), NOISY: (199, 900)})
    assert {each["state"] for each in found["cuts"][0]["slices"]} == {"not_enough"}
    assert found["verdict"].endswith("not enough was told of any slice")
    assert wer(tmp_path, {QUIET: (100, 20)}, {QUIET: (100, 90)})["overall"]["state"] == "not_enough"
    assert wer(tmp_path, {QUIET: (100, 20)}, {QUIET: (100, 90)}, "--samples", "50")["overall"]["state"] == "worse"


def test_slices_that_came_and_went_are_mix_and_say_so(tmp_path: Path) -> None:
    found = wer(tmp_path, {"a": (1_000, 1_000), "b": (1_000, 1_000)}, {"a": (1_000, 1_000), "c": (1_000, 3_000)})
    states = {each["slice"]: (each["state"], each["rate_billionths"]) for each in found["cuts"][0]["slices"]}
    assert states == {"a": ("flat", 0), "b": ("gone", 0), "c": ("came", 0)}
    assert found["cuts"][0]["cut"] == "slices" and not found["is_mix"]


def counts_of(calls: int, words: int, errors: int) -> dict[str, int]:
    return {"calls": calls, "words": words, "word_errors": errors}


def test_a_slice_without_reference_words_is_not_enough_and_its_calls_are_no_samples(tmp_path: Path) -> None:
    """In both periods, in one of them, and with word errors of no words; a slice that one period has alone came, or went."""
    sides = (
        {"us": counts_of(900, 9_000, 900), "mute": counts_of(300, 0, 0), "odd": counts_of(300, 0, 7), "late": counts_of(300, 0, 0)},
        {"us": counts_of(900, 9_000, 1_900), "mute": counts_of(400, 0, 0), "odd": counts_of(300, 0, 0), "late": counts_of(300, 3_000, 300),
         "new": counts_of(10, 100, 1), "hush": counts_of(10, 0, 0)},
    )  # fmt: skip
    paths = [file_of(tmp_path / f"{place}.json", json.dumps(side)) for place, side in enumerate(sides)]
    ended = invoked("--old", paths[0], "--new", paths[1], "--format", "json")
    assert "Infinity" not in ended.stdout and "NaN" not in ended.stdout
    (rate,) = json.loads(ended.stdout)["rates"]
    (cut,) = rate["cuts"]
    told = {each["slice"]: (each["state"], each["old_samples"], each["new_samples"]) for each in cut["slices"]}
    assert told == {
        "us": ("worse", 900, 900), "odd": ("not_enough", 0, 0), "late": ("not_enough", 0, 300), "new": ("came", 0, 10),
    }  # fmt: skip
    whole = {name: sum(each[name] for each in cut["slices"]) for name in ("old_samples", "new_samples")}
    assert {name: rate["overall"][name] for name in whole} == whole == {"old_samples": 900, "new_samples": 1_210}
    assert (cut["not_enough"], cut["undivided"], {each["old"] for each in cut["slices"]}) == (2, 7, {0.1, None})
    assert cut["empty"] == 2, "neither period had anything of mute and hush"
    assert rate["verdict"] == "worse overall, one slice worse, 2 could not be judged: about everywhere"
    table = invoked("--old", paths[0], "--new", paths[1])
    assert table.exit_code == ended.exit_code == 0
    assert table.stdout.count("not enough") == 3 and "not enough was told of 2 slices of slices" in table.stdout
    assert "2 slices of slices told nothing of word_error_rate in either period" in table.stdout


def test_what_has_nothing_to_be_divided_by_makes_nothing_worse_overall(tmp_path: Path) -> None:
    """Word errors of no words are of no slice's part, nor of the whole, of which the parts are."""
    fine = counts_of(1_000, 10_000, 1_000)
    sides = ({"us": fine, "mute": counts_of(1_000, 0, 0)}, {"us": fine, "mute": counts_of(1_000, 0, 9_000)})
    paths = [file_of(tmp_path / f"{place}.json", json.dumps(side)) for place, side in enumerate(sides)]
    (rate,) = json.loads(invoked("--old", paths[0], "--new", paths[1], "--format", "json").stdout)["rates"]
    assert rate["verdict"] == "flat overall, no slice worse, 1 could not be judged"
    assert (rate["overall"]["new"], rate["cuts"][0]["change_billionths"]) == (0.1, 0)
    assert rate["cuts"][0]["undivided"] == 9_000


def test_of_cuts_told_of_the_same_the_whole_is_of_the_one_that_sees_what_had_nothing_to_divide_by() -> None:
    """Word errors of no words and no calls lie in one pool beside words, and in an accent without any."""
    rows = [("pool", "pool=a", 1_000, 10_000, 1_000), ("pool,accent", "pool=a,accent=us", 1_000, 10_000, 1_000)]
    odd = [("pool", "pool=a", 1_000, 10_000, 10_000), rows[1], ("pool,accent", "pool=a,accent=uk", 0, 0, 9_000)]
    columns = ["cut", "slice", "calls", "words", "word_errors"]
    old, new = (pl.DataFrame(side, columns, orient="row").with_columns(window_ms=0) for side in (rows, odd))
    for is_descending in (False, True):
        told = [told_of(side, QUALITY).sort("cut", "slice", descending=[is_descending, False]) for side in (old, new)]
        (found,) = pictures(told[0], told[1], Limits(0.8, 0.02, 200))
        assert (found.overall["state"], found.overall["new"]) == ("flat", 0.1)


def test_every_cut_of_a_file_is_looked_through_and_the_surest_slice_comes_first(tmp_path: Path) -> None:
    old = {
        "accent=us": (8_000, 8_000),
        "accent=uk": (2_000, 2_000),
        "region=a": (5_000, 5_000),
        "region=b": (5_000, 5_000),
    }
    new = {**old, "accent=uk": (2_000, 3_500), "region=a": (5_000, 5_700), "region=b": (5_000, 5_800)}
    found = wer(tmp_path, old, new)
    assert [cut["cut"] for cut in found["cuts"]] == ["accent", "region"]
    assert found["cuts"][0]["explained_by"] == ["accent=uk"]
    assert [cut["cut"] for cut in wer(tmp_path, old, new, "--cut", "region")["cuts"]] == ["region"]


SIDE = st.tuples(st.integers(0, 400), st.integers(0, 900))


@given(counts=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=70))
def test_parts_sum_to_the_change_to_the_billionth(counts: list[tuple[Counts, Counts]]) -> None:
    """Word errors of slices without a word are in no part, and counted."""
    sides = [[row[side] for row in counts] for side in (0, 1)]
    if not all(sum(calls for calls, _ in side) for side in sides):
        return
    heard = [told_by(side) for side in sides]
    (found,) = pictures(heard[0], heard[1], Limits(0.8, 0.02, 200))
    said = cut_answer(found.best)
    parts = [each[name] for each in (*said["slices"], said["others"]) for name in ("rate_billionths", "mix_billionths")]
    assert sum(parts) == said["change_billionths"] == said["rate_billionths"] + said["mix_billionths"]
    levels = [sum(bad for n, bad in side if n) / sum(10 * n for n, _ in side) for side in sides]
    assert said["change_billionths"] == pytest.approx((levels[1] - levels[0]) * 1e9, abs=1)
    assert found.overall["new"] - found.overall["old"] == pytest.approx(said["change_billionths"] / 1e9, abs=1e-9)  # type: ignore[operator]
    assert said["undivided"] == sum(bad for side in sides for n, bad in side if not n)


VIEWS = {
    "tenants": ("pool,tenant", "tenant", "t-%016x", "tenant_lookups", "tenant_lookups_stale"),
    "outcomes": ("pool,client_version", "client_version", "7.%d", "outcomes", "successes"),
    "quality": ("pool,region", "region", "eu-west-%d", "answers", "answers_ungrounded"),
}


def counted(view: str, bad: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of outcomes the good ones are counted."""
    return 200 - bad if view == "outcomes" else bad


@pytest.mark.parametrize("view", VIEWS)
def test_a_tenant_a_client_and_a_region_are_found_without_being_chosen(tmp_path: Path, view: str) -> None:
    """One of forty slices gets worse from the third hour of the second day on; exports say so of cut and hour."""
    cut, dimension, named, below, above = VIEWS[view]
    dice = np.random.default_rng(12)
    sides = []
    for day in (1, 2, 8):
        hours, slices = np.divmod(np.arange(24 * 40), 40)
        is_worse = (slices == 17) & (day >= 2) & (hours >= 3 * (day == 2))
        rows = pl.DataFrame({"hour": hours, "number": slices}).with_columns(
            pl.lit(cut).alias("cut"), pl.lit("realtime").alias("pool"), pl.lit(200).alias(below),
            pl.Series(above, counted(view, dice.binomial(200, np.where(is_worse, 0.3, 0.05)))),
            pl.format(f"2026-10-0{day}T{{}}:00:00Z", pl.col("hour").cast(pl.String).str.zfill(2)).alias("bucket_start"),
            pl.Series(dimension, [named % number for number in slices]),
            *([pl.lit(200).alias("calls")] if view == "quality" else []),
        )  # fmt: skip
        sides.append(tmp_path / f"{day}.csv")
        rows.drop("hour", "number").write_csv(sides[-1])
    ended = invoked("--old", sides[0], "--new", sides[1], "--format", "json")
    (rate,) = json.loads(ended.stdout)["rates"]
    assert rate["cuts"][0]["explained_by"] == [f"pool=realtime,{dimension}={named % 17}"]
    assert (rate["began"], rate["is_begun_between"], rate["cuts"][0]["worse"]) == ("2026-10-02T03:00:00Z", False, 1)
    assert rate["began_with"] is None and rate["began_with_unknown"] == OF_FILES
    apart = invoked("--old", sides[0], "--new", sides[2])
    assert "since some time between the last window" in apart.stdout and "since about" not in apart.stdout


def test_what_one_side_alone_told_is_left_out_and_named(tmp_path: Path) -> None:
    old = write(tmp_path / "a.json", {"accent=us": (900, 90), "region=a": (900, 90)})
    new = write(tmp_path / "b.json", {"accent=us": (900, 90)})
    said = json.loads(invoked("--old", old, "--new", new, "--format", "json").stdout)
    assert said["notes"] == [f"{old}: the other side did not tell word_error_rate by region: left out"]


def test_what_is_passed_over_or_may_be_misspelt_is_named(tmp_path: Path) -> None:
    counts = {"calls": 900, "words": 9_000, "word_errors": 90}
    old = write(tmp_path / "a.json", {"accent=us": (900, 90)})
    new = file_of(
        tmp_path / "b.json",
        json.dumps({"accent=us": counts | {"word_errors_sumsqq": 3}, "acent=uk": counts, "age=3": counts}),
    )
    notes = json.loads(invoked("--old", old, "--new", new, "--format", "json").stdout)["notes"]
    assert notes == [
        f"{new}: passed over, as no rate is made of them: word_errors_sumsqq (did you mean word_errors_sumsq?)",
        f"{new}: slices are told by acent, which nobody declared: did you mean accent?",
        f"{new}: the other side did not tell word_error_rate by acent, word_error_rate by age: left out",
    ]
    rows = [CSV, ROW.replace("pool,accent", "pool,region"), ROW.replace("pool,accent", "pool,acent"), OF_POOL]
    sides = [file_of(tmp_path / name, "".join(rows)) for name in ("a.csv", "b.csv")]
    notes = json.loads(invoked("--old", sides[0], "--new", sides[1], "--format", "json").stdout)["notes"]
    assert notes[-2:] == [
        f"{sides[1]}: passed over: 1 row of the cut 'pool,acent', as there is no such cut of quality",
        f"{sides[1]}: passed over: 1 row of the cut 'pool,region', as there is no column region",
    ]


def test_what_would_command_a_terminal_is_shown_as_an_escape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are of whoever wrote the file, in tables, notes and refusals alike."""
    red = "a\x1b[31m\u202e"
    old, new = (write(tmp_path / f"{name}.json", {red: (900, bad)}) for name, bad in (("a", 90), ("b", 900)))
    printed = invoked("--old", old, "--new", new).output
    assert r"a\x1b[31m\u202e" in printed and "\x1b" not in printed and "\u202e" not in printed
    sentence = refused("--old", old, "--new", new, "--cut", red)
    assert "\x1b" in sentence and exit_code_for(BadInput(sentence)) == 2
    assert "\x1b" not in (said := capsys.readouterr().err) and r"a\x1b[31m\u202e" in said


def test_what_moved_is_looked_up_where_all_of_its_slices_lie() -> None:
    assert shared(["pool=realtime,accent=us", "pool=realtime,accent=scottish"]) == "pool=realtime"
    assert shared(["pool=realtime", "pool=batch"]) == "all"


def test_a_table_has_the_words_the_slices_and_what_was_passed_over(tmp_path: Path) -> None:
    old = write(tmp_path / "a.json", {"[a]": (1_000, 1_000)})
    new = tmp_path / "b.json"
    new.write_text(json.dumps({"[a]": {"calls": 1_000, "words": 10_000, "word_errors": 4_000, "p95_ms": 900}}))
    printed = invoked("--old", old, "--new", new).output
    for words in (
        "one slice worse: about everywhere; 0.1000 → 0.4000",
        "[a]",
        "+0.30000",
        "no rate is made of them: p95_ms",
    ):
        assert words in printed


# -- what cannot be meant ----------------------------------------------------------------------------------------------

CSV = "cut,pool,accent,bucket_start,calls,words,word_errors\n"
ROW = '"pool,accent",realtime,us,2026-10-01T00:00:00Z,300,3000,30\n'


OF_POOL = ROW.replace('"pool,accent"', "pool").replace("us", "")


def file_of(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV + ROW.replace("30\n", "x\n"), "a.csv:2: word_errors 'x' is no count"),
        (CSV + ROW.replace("10-01", "13-01"), "a.csv:2: bucket_start '2026-13-01T00:00:00Z' is no day or time"),
        (CSV + ROW.replace("T00:00:00Z", ""), "a.csv:2: bucket_start '2026-10-01' is no beginning of a bucket"),
        (CSV + ROW + ROW, "a.csv:3: bucket_start '2026-10-01T00:00:00Z' of this slice was told before"),
        (CSV.replace("cut,", "kut,") + ROW, "a.csv:1: column cut is missing"),
        (CSV.replace("accent", "acent") + ROW, "a.csv:1: column 'acent' is unknown: did you mean accent?"),
        (
            CSV + ROW,
            "nothing was told of any rate: passed over: 1 row of the cut 'pool,accent', as there is no such cut",
        ),
        (CSV.replace("words,word_errors", "a,b") + ROW, "a.csv:1: its columns make no rate"),
        ("", "a.csv:1: the file is empty"),
        (
            "cut,pool,bucket_start,outcomes,successes\npool,realtime,2026-10-01T00:00:00Z,300,400\n",
            "a.csv:2: successes '400' is more than the outcomes that it is a part of",
        ),
    ],
)
def test_a_csv_file_that_cannot_be_meant_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused("--old", file_of(tmp_path / "a.csv", text), "--new", file_of(tmp_path / "b.csv", CSV + ROW))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": {"words": 10, "word_errors": 1.5}}', "slice 'a': word_errors 1.5 is no count"),
        ('{"a": {"words": -1, "word_errors": 1}}', "slice 'a': words -1 is negative"),
        ('{"a": {"words": NaN, "word_errors": 1}}', "'words' is NaN, which is no number"),
        ('{"a": 3}', "slice 'a': write an object of counts"),
        ('{"x=1,y": {"words": 10, "word_errors": 1}}', "slice 'x=1,y': each part is NAME=VALUE"),
        ('{"=1": {"words": 10, "word_errors": 1}}', "slice '=1': each part is NAME=VALUE"),
        ('{"a": {"words": 10, "word_errors": 1}, "b": {"words": 9}}', "slice 'b': word_errors is missing beside words"),
        ('{"a": {"outcomes": 3, "successes": 4}}', "slice 'a': successes 4 is more than the outcomes"),
        ('{"a": {"wer": 0.1}}', "its slices make no rate"),
        ('{"a": {"words": 0, "word_errors": 0}}', "nothing was told of any rate"),
        ('{"a": {"words": 0, "word_errors": 5}}', "have no rate in common"),
        (
            '{"a": {"wrods": 10, "word_errors": 1}}',
            "make no rate, such as words and word_errors: did you mean words by 'wrods'?",
        ),
        ('{"a": {"words": 10, "word_errors": 1}, "b": {}}', "slice 'b' has no counts: write them"),
        ('{"a": {"words": 1e999, "word_errors": 1}}', "1e999 is no figure that anybody measures"),
        ('{"acent=us": {"words": 10, "word_errors": 1}}', "by acent, the other by slices: name the same dimensions"),
        ("{}", "there is no slice in it"),
        ("[1]", "this is a list: write an object"),
        ('{"a": {"words": 1, "words": 2}}', "'words' is written twice"),
    ],
)
def test_a_json_file_that_cannot_be_meant_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    other = write(tmp_path / "b.json", {"a": (300, 30)})
    assert said in refused("--old", file_of(tmp_path / "a.json", text), "--new", other)


def test_what_is_asked_for_and_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.json", {"a": (300, 30)}), write(tmp_path / "b.json", {"a": (300, 30)})
    rows, more = file_of(tmp_path / "a.csv", CSV + ROW), file_of(tmp_path / "b.csv", CSV + ROW)
    assert "--rate 'refusel_rate' is no rate that is told: did you mean refusal_rate?" in refused(
        "--old", one, "--new", other, "--rate", "refusel_rate"
    )
    assert "this is --old as well" in refused("--old", one, "--new", one)
    assert "no slice is of the cut x" in refused("--old", one, "--new", other, "--cut", "x")
    assert "no dimensions to be narrowed by" in refused("--old", one, "--new", other, "--where", "pool=realtime")
    assert "did you mean pool,accent?" in refused("--old", rows, "--new", more, "--cut", "pool,acent")
    assert "did you mean accent?" in refused("--old", rows, "--new", more, "--where", "acent=us")
    assert "No cut of quality has accent and tenant" in refused(
        "--old", rows, "--new", more, "--where", "accent=us", "--where", "tenant=t"
    )
    assert "overlap: name periods" in refused("--old", "7d", "--new", "1d")
    assert "overlap: name periods" in refused("--old", "7d", "--new", "1d", "--new-where", "pool=realtime")
    for wheres in (("accent=us",) * 2, ("accent=us", "pool=realtime")):
        assert "this is --old as well" in refused(
            "--old", rows, "--new", rows, "--old-where", wheres[0], "--new-where", wheres[1]
        )
    assert "no column language to be narrowed by" in refused("--old", rows, "--new", more, "--where", "language=de")
    assert "nothing was told" in refused("--old", rows, "--new", more, "--where", "accent=scottish")
