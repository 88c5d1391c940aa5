"""A seeded world as frames, and what the stream makes of them: intake, burn rates and pages, decided window by window."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alerts.explanations import Paging
from alerts.pages import Pages, step
from schemas.burns import AlertState
from schemas.families import AUDIENCE, INDICATORS, OPERATIONAL, TURNS, PrivacyPartition
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.slos import Life, LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from turnwatch.backtest.engine import Alerted
from turnwatch.backtest.frames import HEADERS

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
WINDOW_MS = 10_000
BATCH_FRAMES = 30
PAUSE_WINDOWS_MAX = 300
BUNDLES = ("v1", "v2")
LANGUAGES = ("de", "en")

ROWS = (
    PolicyRow("outage_2m_20s", 120, 20, Decimal("0.5"), Decimal("10"), "page"),
    PolicyRow("page_5m_30s", 300, 30, Decimal("0.2"), Decimal("4"), "page"),
    PolicyRow("page_11m_1m", 660, 60, Decimal("0.12"), Decimal("2.4"), "page"),
    PolicyRow("ticket_13m_2m", 780, 120, Decimal("0.07"), Decimal("1.4"), "ticket"),
    PolicyRow("ticket_370m_30m", 22_200, 1_800, Decimal("0.05"), Decimal("1"), "ticket"),
)
"""Windows of every resolution of the history but the coarsest, short enough to be seen beginning and ending."""

SLO = Slo(
    "turns", INDICATORS[4], "realtime", Decimal("0.95"), 30 * 86_400, ("pool", "pool,bundle", "pool,language"), "owner", "", ""
)  # fmt: skip
WATCHED = WatchedSlo(SLO, ROWS, LowTraffic(bad_events_min=4))
OTHER_KINDS = WatchedSlo(
    SLO,
    (
        PolicyRow("page_any_event_30s", 30, 30, Decimal(0), Decimal(0), "page", "any_event"),
        PolicyRow("ticket_exhausts_2d_10m_50s", 600, 50, SLO.budget_rate, Decimal(1), "ticket", "exhausts", 2 * 86_400),
        PolicyRow(
            "ticket_exhausts_20d_20m_2m", 1_200, 120, SLO.budget_rate, Decimal(1), "ticket", "exhausts", 20 * 86_400
        ),
    ),
    LowTraffic(bad_events_min=4),
    Life(Decimal("0.6"), keep_firing_s={"page": 20, "ticket": 130}, pending_s={"page": 30, "ticket": 70}),
)
"""Rows that follow from what is left, or from a single bad turn; alerts that wait, and stay."""
MINUTES = WatchedSlo(
    replace(SLO, name="minutes", objective=Decimal("0.9"), budgeting="time_slices", time_slice_target=Decimal("0.8")),
    (
        PolicyRow("outage_3m_50s", 180, 50, Decimal("0.5"), Decimal("5"), "page"),
        PolicyRow("page_5m_1m", 300, 60, Decimal("0.5"), Decimal("5"), "page"),
        PolicyRow("page_11m30s_90s", 690, 90, Decimal("0.3"), Decimal("3"), "page"),
        PolicyRow("ticket_13m_2m", 780, 120, Decimal("0.2"), Decimal("2"), "ticket"),
        PolicyRow("ticket_370m_30m", 22_200, 1_800, Decimal("0.1"), Decimal("1"), "ticket"),
    ),
    LowTraffic(bad_events_min=4, confidence=0.5),
)
"""A budget of minutes. The first row is of none that they can judge."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as both sides know it; instants in seconds after the start."""

    slice: str
    severity: str
    row: str
    from_s: float
    to_s: float | None
    frozen_s: tuple[tuple[float, float | None], ...]


def world(seed: int, windows: int, every: int = 1) -> list[Record]:
    """Frames of one host, with episodes of failures, stretches of silence of a bundle, and pauses of everybody.

    `every`: how many windows lie between two that have traffic; only where all have, slices by the minute are there, too,
    one of them always, for those are judged up to the newest minute that anybody reported. Pauses may be longer than the
    15 minutes for which the history keeps buckets of 10 s.
    """
    dice = np.random.default_rng(seed)
    records: list[Record] = []
    bad_share = {name: _episodes(dice, windows) for name in (*BUNDLES, *LANGUAGES)}
    is_silent = {name: _episodes(dice, windows) > 0.3 for name in (*BUNDLES, *LANGUAGES)}
    pauses = _episodes(dice, windows) > 0.45
    last = 0
    for window in range(windows):
        if window % 6 == 5 and every == 1:
            speaking = ["fr", *(name for name in LANGUAGES if not is_silent[name][window])]
            _send(records, AUDIENCE, window - 5, _rows(dice, "language", speaking, bad_share, window))
        if window % every == 0 and (not pauses[window] or window - last > PAUSE_WINDOWS_MAX):
            speaking = [name for name in BUNDLES if not is_silent[name][window]]
            speaking = speaking or list(BUNDLES[: window - last > PAUSE_WINDOWS_MAX])
            last = window if speaking else last
            _send(records, OPERATIONAL, window, _rows(dice, "bundle", speaking, bad_share, window))
    return records


def _episodes(dice: np.random.Generator, windows: int) -> np.ndarray[Any, Any]:
    """A share by window: mostly low, in some stretches anywhere up to all."""
    shares = np.full(windows, 0.01)
    for _ in range(max(2, windows // 60)):
        first, length = int(dice.integers(0, windows)), int(dice.integers(3, max(4, windows // 10)))
        shares[first : first + length] = dice.choice([0.06, 0.15, 0.4, 0.9])
    return shares


def _rows(
    dice: np.random.Generator, key: str, names: Sequence[str], bad_share: Any, window: int
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        turns = int(dice.choice([0, 1, 3, 8, 20, 60]))
        bad = int(dice.binomial(turns, bad_share[name][window])) if name in bad_share else 0
        row: dict[str, Any] = {"region": None, "pool": "realtime", "route": None, "bundle": None}
        row |= {"language": None, "device_class": None}
        row |= {"region": "eu-west-1", "route": "r"} if key == "bundle" else {"device_class": "car"}
        row |= {measure: (bad if measure.endswith("_bad") else turns) for measure in TURNS.measure_names}
        rows.append(row | {key: name})
    return rows


def _send(records: list[Record], partition: PrivacyPartition, window: int, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    start_ms = START_MS + window * WINDOW_MS
    header = FrameHeader(TURNS, partition, "host-1", 1, len(records), start_ms)
    headers, payload = encode(header, pa.Table.from_pylist(rows, schema=arrow_schema(TURNS)))
    records.append(Record(len(records), header.window_end_ms + 500, dict(headers), payload))


def saved(records: Sequence[Record], folder: Path) -> Path:
    """The frames as files, named so that their order says nothing."""
    for record in records:
        path = folder / f"{record.offset * 7919 % 10_007}.arrow"
        path.write_bytes(record.payload)
        headers = {name: value.decode() for name, value in record.headers.items()}
        path.with_name(path.name + HEADERS).write_text(json.dumps(headers))
    return folder


def streamed(records: Sequence[Record], watched: WatchedSlo = WATCHED) -> list[Told]:
    """Every alert that the stream publishes, from its first statement to its end."""
    intake, operator, pages = Intake(TURNS, 0, 1), BurnRate(0, 1, [watched]), Pages()
    paging = Paging(lives={watched.slo.name: watched.life})
    published: list[tuple[int, AlertState]] = []
    for batch in _batches(records):
        intake.apply(batch)
        for _, partial in intake.unsent_partials():
            operator.apply(partial)
        list(operator.rollups())
        while made := list(operator.decide(now_ms=0)):  # A pause is decided in several calls.
            for each in made:
                stepped = step(pages, each.decision, paging, each.decision.decided_ms)
                pages = stepped.pages
                published += [(each.decision.decided_ms, state) for state in stepped.published if state.has_fired]
    return _lives(published)


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """A minute at once, which is decided end by end all the same; the first frame, and what follows a pause, alone."""
    batch: list[Record] = []
    for record in records:
        pause_ms = record.append_ms - batch[-1].append_ms if batch else 0
        if batch and (pause_ms > WINDOW_MS or len(batch) >= BATCH_FRAMES or batch[0].offset == 0):
            yield batch
            batch = []
        batch.append(record)
    yield batch


def _lives(published: Sequence[tuple[int, AlertState]]) -> list[Told]:
    by_life: dict[tuple[str, int], list[tuple[int, AlertState]]] = {}
    for decided_ms, state in published:
        by_life.setdefault((state.alert, state.starts_event_ms), []).append((decided_ms, state))
    return sorted((_life(states) for states in by_life.values()), key=_order)


def _life(states: Sequence[tuple[int, AlertState]]) -> Told:
    (from_ms, first), (to_ms, last) = states[0], states[-1]
    following = [seconds(decided_ms) for decided_ms, _ in states[1:]]
    frozen = [
        (seconds(decided_ms), after)
        for (decided_ms, state), after in zip(states, [*following, None], strict=True)
        if state.state == "frozen"
    ]
    to_s = seconds(to_ms) if last.state == "resolved" else None
    return Told(first.burn.slice, first.burn.severity, first.burn.row, seconds(from_ms), to_s, tuple(frozen))


def known(alerted: Sequence[Alerted]) -> list[Told]:
    """What the backtest found, in the same words."""
    told = [
        Told(
            each.slice,
            each.severity,
            each.row.name,
            seconds(each.from_ms),
            _seconds(each.to_ms),
            tuple((seconds(from_ms), _seconds(to_ms)) for from_ms, to_ms in each.frozen),
        )
        for each in alerted
    ]
    return sorted(told, key=_order)


def seconds(instant_ms: int) -> float:
    return (instant_ms - START_MS) / 1_000


def _seconds(instant_ms: int | None) -> float | None:
    return None if instant_ms is None else seconds(instant_ms)


def _order(told: Told) -> tuple[float, str, str]:
    return told.from_s, told.slice, told.severity
