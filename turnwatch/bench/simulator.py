"""How many turns does the simulated fleet make in a minute of processor time, next to the limit of a million?

Turn by turn: calls, stations, turns, and the rows of every kind, as the collectors are given them. Then the same minutes
with aggregates drawn directly, beside turn by turn with its rows of the same families counted: once while tables are made
for each load (`first`), and once with them (`again`), which is what a long run comes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from producers.aggregate import stage_rows, turn_rows
from producers.fleet.aggregate_classes import Classes
from producers.fleet.aggregates import draw_windows
from producers.fleet.engine import simulate_fleet
from producers.fleet.outlook import Outlook
from producers.fleet.scenario_file import ScenarioFile, load_scenario
from schemas.families import OPERATIONAL

LIMIT = 1_000_000
SCENARIO = "quiet_month"
START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 16 * 3_600_000


def run_simulator(minutes: int, seed: int) -> int:
    """Prints both; 1 where turn by turn is below the limit."""
    scenario, duration_ms = load_scenario(SCENARIO), minutes * 60_000
    turns, observing_s = _timed(lambda: _observed(scenario, seed, duration_ms, with_rows=False))
    _, counting_s = _timed(lambda: _observed(scenario, seed, duration_ms, with_rows=True))
    classes = Classes(Outlook.of(scenario, START_MS))
    drawn, first_s = _timed(lambda: _drawn(scenario, seed, duration_ms, classes))
    _, again_s = _timed(lambda: _drawn(scenario, seed, duration_ms, classes))
    per_minute = turns * 60 / observing_s
    print(
        f"calls={scenario.fleet.calls:.0f} minutes={minutes} seed={seed} turns={turns} cpu_s={observing_s:.2f} "
        f"turns_per_cpu_minute={per_minute:.0f} limit={LIMIT} ratio={per_minute / LIMIT:.2f}"
    )
    print(
        f"aggregates: turns={drawn} counted_cpu_s={counting_s:.2f} first_cpu_s={first_s:.2f} again_cpu_s={again_s:.2f} "
        f"factor_first={counting_s / first_s:.1f} factor={counting_s / again_s:.1f}"
    )
    return 0 if per_minute >= LIMIT else 1


def _observed(scenario: ScenarioFile, seed: int, duration_ms: int, with_rows: bool) -> int:
    """Turns that were observed; with the rows of `turns` and `stages` that are counted from them, or without."""
    count = 0
    for chunk in simulate_fleet(scenario, seed, START_MS, duration_ms):
        for turns in chunk.turns.values():
            count += len(turns)
            if with_rows:
                _ = turn_rows(turns, OPERATIONAL), stage_rows(turns)
    return count


def _drawn(scenario: ScenarioFile, seed: int, duration_ms: int, classes: Classes) -> int:
    return sum(window.turns for window in draw_windows(scenario, seed, START_MS, duration_ms, classes))


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    """What it returns, and the processor time of this process that it took, all threads together."""
    started = time.process_time()
    return work(), time.process_time() - started
