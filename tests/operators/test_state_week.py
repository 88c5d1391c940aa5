"""A week of event time with new bundles every hour: nothing grows that has no right to, in memory or in the changelog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import pytest

from schemas.families import INDICATORS, TURNS
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate import history
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.traffic import Traffic
from tests.operators.days import DAY_MS, HOUR_MS, frame
from tests.operators.worlds import START_MS, Changelog

STEP_MS = HOUR_MS // 2
BUNDLES_PER_HOUR = 15
PAGE = PolicyRow("page_1h_5m", 3_600, 300, Decimal("0.144"), Decimal("14.4"), "page")
SLO = Slo("turns", INDICATORS[4], "realtime", Decimal("0.99"), 30 * 86_400, ("pool",), "owner", "", "")
SLACK = 1.1
"""Compressed sizes vary a little with what is in them."""

Sizes = dict[str, int]


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Chunks of the history as small beside this fleet as the real ones are beside a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_CHUNK_SLICES", 64)
        yield


class Week:
    """Intake and both questions, each with its changelog as a compacted topic keeps it."""

    def __init__(self) -> None:
        self.intake, self.traffic = Intake(TURNS, 0, 1), Traffic(1)
        self.burn_rate = BurnRate(0, 1, [WatchedSlo(SLO, (PAGE,), LowTraffic())])
        self.changelogs = {"intake": Changelog(), "traffic": Changelog(), "burn_rate": Changelog()}
        self.admitted: set[str] = set()

    def live(self, step: int) -> None:
        now_ms = START_MS + step * STEP_MS
        hour = now_ms // HOUR_MS
        bundles = ["steady", *(f"h{hour}-{place}" for place in range(BUNDLES_PER_HOUR))]
        self.admitted.update(bundles)
        self.intake.apply([frame(step, now_ms // 10_000 * 10_000, bundles)])
        self._save("intake", [*self.intake.unsaved_blocks(), *self.intake.marker()])
        for _, partial in self.intake.unsent_partials():
            self.traffic.apply(partial)
            self.burn_rate.apply(partial)
        list(self.traffic.rollups())
        list(self.burn_rate.rollups())
        self._save("traffic", [*self.traffic.unsaved_blocks(TURNS, step), *self.traffic.marker(TURNS, step)])
        self._save("burn_rate", [*self.burn_rate.unsaved_blocks(step), *self.burn_rate.marker(step)])

    def _save(self, stage: str, blocks: list[Block]) -> None:
        for block in blocks:
            self.changelogs[stage].write(block)

    def sizes(self) -> Sizes:
        """What must not grow."""
        register, numbers = self.intake._slices["operational"], self.burn_rate._history
        sizes = {
            "slices in intake's register": len(register) + len(register._retired),
            "blocks of intake": len(self.intake._totals.blocks),
            "buckets of traffic": len(self.traffic._ledgers["turns"].kept()),
            "buckets of burn_rate": len(self.burn_rate._ledger.kept()),
            "history at 10 s": numbers.nbytes_of(0),
            "history at 1 min": numbers.nbytes_of(1),
            "history at 10 min": numbers.nbytes_of(2),
        }
        for stage, changelog in self.changelogs.items():
            kept = {key: value for key, value in changelog.stored.items() if not _is_of_the_period(key)}
            sizes[f"keys in the changelog of {stage}"] = len(kept)
            sizes[f"bytes in the changelog of {stage}"] = sum(map(len, kept.values()))
        return sizes


def _is_of_the_period(key: bytes) -> bool:
    """History by the hour, and the slices it names: they grow until the period is full."""
    return key.startswith((b"history|3|", b"slices|"))


@pytest.fixture(scope="module")
def week() -> tuple[Week, dict[int, Sizes]]:
    """After the week, and the largest sizes of each of its days, by number from 1."""
    week, largest = Week(), defaultdict[int, Sizes](dict)
    for step in range(7 * DAY_MS // STEP_MS):
        week.live(step)
        day = step * STEP_MS // DAY_MS + 1
        largest[day] = {name: max(size, largest[day].get(name, 0)) for name, size in week.sizes().items()}
    return week, largest


def test_nothing_but_the_history_of_the_period_grows_over_a_week(week: tuple[Week, dict[int, Sizes]]) -> None:
    """Compared with the fifth day: 10 min buckets are kept for three days and three hours."""
    _, largest = week
    grown = {name: (largest[5][name], size) for name, size in largest[7].items() if size > largest[5][name] * SLACK}
    assert not grown


def test_what_is_kept_for_a_day_is_full_after_the_second(week: tuple[Week, dict[int, Sizes]]) -> None:
    _, largest = week
    of_the_three_days = ("history at 10 min", "changelog of burn_rate")
    short = [name for name in largest[7] if not name.endswith(of_the_three_days)]
    grown = {
        name: (largest[3][name], largest[7][name]) for name in short if largest[7][name] > largest[3][name] * SLACK
    }
    assert not grown


def test_the_register_holds_a_day_of_bundles_although_thousands_came(week: tuple[Week, dict[int, Sizes]]) -> None:
    lived, largest = week
    assert len(lived.admitted) > 2_000
    cuts_with_bundle = 2
    at_most = cuts_with_bundle * BUNDLES_PER_HOUR * 28 + 10
    assert largest[7]["slices in intake's register"] <= at_most
    assert len(lived.intake._slices["operational"]) > at_most // 2


def test_the_week_is_restored_as_it_was_and_goes_on(week: tuple[Week, dict[int, Sizes]]) -> None:
    lived, _ = week
    again = BurnRate(0, 1, [WatchedSlo(SLO, (PAGE,), LowTraffic())])
    again.restore(lived.changelogs["burn_rate"].stored)
    end_ms = START_MS + 7 * DAY_MS
    for length_ms in (HOUR_MS, 6 * HOUR_MS, DAY_MS, 30 * DAY_MS):
        windows = [each._history.window(length_ms, end_ms) for each in (lived.burn_rate, again)]
        assert (windows[0] == windows[1]).all() and windows[0].any()
