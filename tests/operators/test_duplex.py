"""Full-duplex events from frames to pages: totals equal a recount of the raw rows, and a burn is stated for its family alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa

from alerts.definitions import watched_slos
from alerts.explanations import Paging
from alerts.pages import Pages, step
from schemas.burns import AlertState, Decision
from schemas.families import DUPLEX, DUPLEX_INDICATORS, INDICATORS, OPERATIONAL, TURNS, Indicator
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.worlds import Changelog

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
OUTAGE = PolicyRow("outage_10m_1m", 600, 60, Decimal("0.5"), Decimal("50"), "page")
BARGE_IN = next(each for each in DUPLEX_INDICATORS if each.name == "barge_in_latency_200ms")


def watched(name: str = "barge-in", indicator: Indicator = BARGE_IN) -> WatchedSlo:
    cuts = ("pool", "pool,bundle")
    slo = Slo(name, indicator, "realtime", Decimal("0.95"), 30 * 86_400, cuts, "owner", "", "")
    return WatchedSlo(slo, (OUTAGE,), LowTraffic())


def rows(rng: np.random.Generator, bad_share: float) -> pl.DataFrame:
    """A window: a row per region, bundle and kind, with counts of what judges that kind."""
    cells = [
        {"region": region, "pool": "realtime", "route": "support", "bundle": bundle, "duplex_event": kind}
        for region in ("eu-west-1", "us-east-1")
        for bundle in ("v1", "v2")
        for kind in sorted({str(each.duplex_event) for each in DUPLEX_INDICATORS})
    ]
    for cell in cells:
        counts: dict[str, int] = dict.fromkeys(DUPLEX.measure_names, 0)
        counts["events"] = int(rng.integers(20, 60))
        for each in DUPLEX_INDICATORS:
            if each.duplex_event == cell["duplex_event"]:
                counts[each.total] = counts["events"]
                counts[each.bad] = int(rng.binomial(counts["events"], bad_share if each is BARGE_IN else 0.01))
        cell |= counts  # type: ignore[arg-type]  # a cell is what its columns are
    return pl.DataFrame(cells)


def records(windows: Sequence[pl.DataFrame]) -> list[Record]:
    log = []
    for number, window in enumerate(windows):
        start_ms = START_MS + number * 10_000
        table = window.select(arrow_schema(DUPLEX).names).to_arrow().cast(arrow_schema(DUPLEX))
        headers, payload = encode(FrameHeader(DUPLEX, DUPLEX.partitions[0], "host-1", 1, number, start_ms), table)
        log.append(Record(number, start_ms + 10_500, dict(headers), payload))
    return log


def judged(windows: Sequence[pl.DataFrame]) -> tuple[list[Decision], dict[str, list[pa.Table]]]:
    """Every decision of the family's shard, and the rows of every table, from frames on."""
    intake, shard, traffic = Intake(DUPLEX, 0, 1), BurnRate(0, 1, [watched()], family=DUPLEX), Traffic(1)
    decisions: list[Decision] = []
    tables: dict[str, list[pa.Table]] = {}
    for record in records(windows):
        outcome = intake.apply([record])
        assert (outcome.frames_applied, outcome.refusals) == (1, [])
        for _, partial in intake.unsent_partials():
            assert (shard.apply(partial), traffic.apply(partial)) == (0, 0)
        for table, told in (*shard.rollups(), *traffic.rollups()):
            tables.setdefault(table, []).append(told)
        for decided in shard.decide(now_ms=0):
            decisions.append(decided.decision)
            if decided.windows is not None:
                tables.setdefault("burn_windows", []).append(decided.windows)
    return decisions, tables


def test_an_outage_of_barge_ins_pages_for_the_family_and_ends() -> None:
    rng = np.random.default_rng(1)
    decisions, _ = judged([rows(rng, 0.9 if 60 <= number < 125 else 0.01) for number in range(150)])
    assert {each.family for each in decisions} == {"duplex"}
    burning = [(each.decided_ms - START_MS) // 10_000 for each in decisions if each.burns]
    assert burning[0] > 60 + 30
    assert set(burning) == set(range(burning[0], burning[-1] + 1))
    assert 125 <= burning[-1] <= 131
    assert {burn.slice for each in decisions for burn in each.burns} == {
        "pool=realtime", "pool=realtime,bundle=v1", "pool=realtime,bundle=v2"
    }  # fmt: skip
    states = alerts_of(decisions)
    page = states["pool=realtime"]
    assert [each.state for each in page] == ["firing", "resolved"]
    assert {each.family for each in page} == {"duplex"}
    assert page[0].burn.slo == "barge-in"
    assert " of events bad in the last 10m" in page[0].annotations["summary"]


def alerts_of(decisions: Sequence[Decision]) -> dict[str, list[AlertState]]:
    """What was published of each slice's page, without statements that say the same state again."""
    pages, found = Pages(), dict[str, list[AlertState]]()
    for decision in decisions:
        stepped = step(pages, decision, Paging({"barge-in": watched().slo}), decision.decided_ms + 600_000)
        pages = stepped.pages
        for alert in stepped.published:
            states = found.setdefault(alert.burn.slice, [])
            if not states or states[-1].state != alert.state:
                states.append(alert)
    return found


def test_totals_equal_a_recount_of_the_raw_rows() -> None:
    rng = np.random.default_rng(2)
    windows = [rows(rng, 0.2) for _ in range(14)]
    _, tables = judged(windows)
    raw = pl.concat(
        window.with_columns(bucket=pl.lit(START_MS + number * 10_000)) for number, window in enumerate(windows)
    )
    for width_ms, suffix in ((10_000, "10s"), (60_000, "1m")):
        bucketed = raw.with_columns(pl.col("bucket") // width_ms * width_ms)
        found = newest(tables[f"burn_rate_{suffix}"], "indicator")
        events = newest(tables[f"duplex_events_{suffix}"])
        assert set(found["indicator"]) == {each.name for each in DUPLEX_INDICATORS}
        for cut in DUPLEX.cuts:
            grouped = bucketed.group_by(*cut.dimensions, "bucket").agg(pl.col(DUPLEX.measure_names).sum())
            of_cut = events.filter(pl.col("cut") == cut.name).select(*cut.dimensions, "bucket", "events")
            assert same(of_cut, grouped.select(of_cut.columns))
            for each in DUPLEX_INDICATORS:
                wanted = grouped.filter(pl.col(each.total) > 0).select(
                    *cut.dimensions, "bucket", bad=each.bad, total=each.total
                )
                mine = found.filter((pl.col("cut") == cut.name) & (pl.col("indicator") == each.name))
                assert same(mine.select(wanted.columns), wanted)


def newest(told: Sequence[pa.Table], *keys: str) -> pl.DataFrame:
    """The rows that ClickHouse would show: the newest version of each."""
    frame = pl.DataFrame(pl.from_arrow(pa.concat_tables(told)))
    kept = frame.sort("version").unique(["slice", "bucket_start", *keys], keep="last")
    return kept.with_columns(bucket=pl.col("bucket_start").dt.epoch("ms"))


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    numbers = [pl.col(pl.UInt64, pl.Int64).cast(pl.Int64), pl.col(pl.String, pl.Categorical).cast(pl.String)]
    return one.select(numbers).sort(pl.all()).equals(other.select(numbers).sort(pl.all()))


def test_a_shard_takes_the_objectives_of_its_family_and_its_own_state() -> None:
    rng = np.random.default_rng(3)
    every = [watched("turns", INDICATORS[4]), watched()]
    changelog, shard, intake = Changelog(), BurnRate(0, 1, every, family=DUPLEX), Intake(DUPLEX, 0, 1)
    log = records([rows(rng, 0.9) for _ in range(70)])
    intake.apply(log)
    for _, partial in intake.unsent_partials():
        shard.apply(partial)
    list(shard.rollups())
    stated = [each.decision for each in shard.decide(now_ms=0)]
    assert {burn.slo for each in stated for burn in each.burns} == {"barge-in"}
    assert {slo for slo, *_ in shard.counted()} == {"barge-in"}
    for block in (*shard.unsaved_blocks(70), *shard.marker(70)):
        changelog.write(block)
    again = BurnRate(0, 1, every, family=DUPLEX)
    again.restore(changelog.stored)
    assert (again.decided_ms, again.slices) == (shard.decided_ms, shard.slices)
    length_ms = 600_000
    assert (
        again._history.window(length_ms, again.decided_ms).tolist()
        == shard._history.window(length_ms, shard.decided_ms).tolist()
    )


def test_every_slice_of_the_family_has_buckets_of_ten_seconds() -> None:
    """Those of a cut that the turns do not have, too."""
    shard = BurnRate(0, 1, [], family=DUPLEX)
    intake = Intake(DUPLEX, 0, 1)
    intake.apply(records([rows(np.random.default_rng(4), 0.1)]))
    for _, partial in intake.unsent_partials():
        shard.apply(partial)
    assert "pool=realtime,duplex_event=barge_in" in shard._slices.texts
    assert not shard._slices.by_minute.any()


# -- privacy errors ------------------------------------------------------------------------------------------------------


def of_turns(bad: int, total: int, number: int) -> Record:
    """A window of one cell with so many turns that were looked at."""
    row: dict[str, object] = dict.fromkeys(TURNS.dimensions) | dict.fromkeys(TURNS.measure_names, 0)
    row |= {"region": "eu-west-1", "pool": "batch", "route": "summaries", "bundle": "v1"}
    row |= {"turns": total, "privacy_error_total": total, "privacy_error_bad": bad}
    start_ms = START_MS + number * 10_000
    header = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, number, start_ms)
    headers, payload = encode(header, pa.Table.from_pylist([row], schema=arrow_schema(TURNS)))
    return Record(number, start_ms + 10_500, dict(headers), payload)


def test_one_privacy_error_of_one_turn_pages_with_the_next_decision_by_what_is_shipped() -> None:
    shipped = watched_slos()
    intake, shard, pages = Intake(TURNS, 0, 1), BurnRate(0, 1, shipped), Pages()
    paging = Paging({each.slo.name: each.slo for each in shipped})
    told: dict[int, set[str]] = {}
    for number in range(8):
        intake.apply([of_turns(int(number == 4), 1, number)])
        for _, partial in intake.unsent_partials():
            shard.apply(partial)
        list(shard.rollups())
        for decided in shard.decide(now_ms=0):
            stepped = step(pages, decided.decision, paging, decided.decision.decided_ms)
            pages = stepped.pages
            opened = [alert for alert in stepped.published if alert.state == "firing"]
            told[(decided.decision.decided_ms - START_MS) // 10_000] = {alert.burn.slice for alert in opened}
            assert {(alert.burn.slo, alert.burn.severity) for alert in opened} <= {("privacy-error-batch", "page")}
            summaries = [alert.annotations["summary"] for alert in opened]
            assert all("1 bad turn in" in summary for summary in summaries)
    slices = {f"pool=batch{more}" for more in ("", ",region=eu-west-1", ",route=summaries", ",bundle=v1")}
    assert {number: found for number, found in told.items() if found}[5] == slices
    assert not any(told[number] for number in told if number < 5)
