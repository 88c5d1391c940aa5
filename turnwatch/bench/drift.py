"""What does the drift watch find of changes that somebody planted, how soon, and what does it find where nothing changed?

The watch is the worker's own, with its standard policy, told worlds hour by hour (`drift_worlds.py`): one in which nothing
changes, for false alarms, and the same slices with changes. So are worlds in which every rate wanders for hours at a time, where
false alarms are held to the same bound. Beside it river's detectors follow the very figures
(`drift_peers.py`): as they come, and set as well as anybody could who knows the quiet world beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import gammainc

from schemas.drift_policies import STANDARD, DriftPolicy
from schemas.instants import HOUR_MS
from stream_jobs.operators.drift.watch import DriftWatch
from turnwatch.bench.drift_peers import ALARMS, Peer, alarms, peers, set_best
from turnwatch.bench.drift_worlds import CHANGES, LASTING, MEASURES, RARE, World, hours, where_wander_lasts, world
from turnwatch.bench.fleets import START_MS
from turnwatch.bench.question_clock import Now

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ours is held to: alarms a week where nothing changes, and of evident changes the share found and the delay.

    Alarms are held to it as a mean: only so many that they would come with less than `chance_min` miss the bound.
    """

    false_alarms_per_week_max: float = STANDARD.false_alarms_per_week
    chance_min: float = 0.01
    recall_min: float = 0.95
    delay_h_max: float = 6.0


@dataclass(frozen=True, slots=True)
class Scored:
    """A detector's alarms a week where nothing changed, and of each planted change the hours until it was found.

    `changes`: the slices' columns and `delay_h`, which is null where a change was not found.
    """

    detector: str
    false_alarms_per_week: float
    changes: pl.DataFrame

    def of(self, condition: pl.Expr) -> Scored:
        """The same of some of the changes."""
        return replace(self, changes=self.changes.filter(condition))

    @property
    def recall(self) -> float:
        return 1 - self.changes["delay_h"].null_count() / max(1, len(self.changes))

    @property
    def delay_h(self) -> float | None:
        """Median of those that were found."""
        found = self.changes["delay_h"].median()
        return float(found) if isinstance(found, int | float) else None

    def cell(self) -> str:
        """Recall and median delay, as a table has them."""
        return f"{self.recall:.0%}" + ("" if self.delay_h is None else f" {self.delay_h:.0f} h")


@dataclass(frozen=True, slots=True)
class Played:
    """Rows of a quiet world and of the same one with changes, and what there is to find."""

    slices: pl.DataFrame
    quiet: pl.DataFrame
    planted: pl.DataFrame
    weeks: float


EVIDENT = (pl.col("traffic") == "busy") & (pl.col("wander") == 0) & (pl.col("change") >= 0.3)
"""What has to be found soon: 30 % or more, where there is traffic and nothing wanders."""


def run_drift(slices: int, days: int, seed: int, with_river: bool, bounds: Bounds | None = None) -> int:
    """Prints what each detector found and raised; 1 where ours misses its bounds."""
    console, bounds = Console(width=100), bounds or Bounds()
    rivals = peers() if with_river else ()
    console.print(f"{slices} slices of {len(MEASURES)} figures over {days} days; `--seed {seed}` draws them again.")
    played = play(MEASURES, slices, days, seed, console)
    ours = _ours(played)
    console.print(_beside([ours, *(each for peer in rivals for each in _rivals(peer, played))]))
    console.print("turnwatch by figure, traffic and how much a slice wanders:", _by_kind(ours))
    rare = _ours(play((RARE,), slices, days, seed, console))
    console.print("turnwatch of a rate of 0.05 % that rises by such shares of 5 %:", _by_kind(rare))
    lasting = [_where_wander_lasts(slices, days, seed, rivals, console, *each) for each in LASTING]
    evident = ours.of(EVIDENT)
    beside = strays(found_in(played.planted), played)
    false_alarms = [round(each.false_alarms_per_week * played.weeks) for each in (ours, rare, *lasting)]
    chance = chance_of_so_many(false_alarms, played.weeks, bounds.false_alarms_per_week_max)
    print(
        f"slices={slices} days={days} seed={seed} false_beside_changes={beside} {_figures(ours, evident, bounds)} "
        f"rare_false_alarms_a_week={rare.false_alarms_per_week:.2f} rare_evident={rare.of(EVIDENT).cell().replace(' ', '_')} "
        f"lasting_false_alarms_a_week={','.join(f'{each.false_alarms_per_week:.2f}' for each in lasting)} "
        f"chance_of_so_many={chance:.3g} limit_chance={bounds.chance_min:g}"
    )
    holds = _finds(evident, bounds) and _finds(rare.of(EVIDENT), bounds)
    return 0 if holds and chance >= bounds.chance_min else 1


def chance_of_so_many(false_alarms: Sequence[int], weeks: float, per_week: float) -> float:
    """How likely so many false alarms are at most, of worlds of so many weeks each, if `per_week` came in each on average.

    The least of the exact Poisson tails P(N >= n) of every world and of all of them together, times their number
    (Bonferroni): three weeks of a detector that keeps its bound have more than three alarms in one of three runs.
    """
    looks = [(found, weeks) for found in false_alarms] + [(sum(false_alarms), weeks * len(false_alarms))]
    tails = [float(gammainc(found, per_week * of_weeks)) if found else 1.0 for found, of_weeks in looks]
    return min(1.0, min(tails) * len(looks))


def play(measures: Sequence[str], slices: int, days: int, seed: int, console: Console) -> Played:
    """Has the watch judge a quiet world, and the one with changes."""
    return played([world(measure, slices, days, seed) for measure in measures], seed, console)


def played(worlds: Sequence[World], seed: int, console: Console) -> Played:
    """The same of worlds that are drawn by whoever asks."""
    told = pl.concat([each.slices() for each in worlds])
    quiet, planted = (judged(worlds, seed, is_planted, console) for is_planted in (False, True))
    return Played(told, quiet, planted, worlds[0].days / WEEK_DAYS)


def judged(worlds: Sequence[World], seed: int, is_planted: bool, console: Console) -> pl.DataFrame:
    """Rows of `drift_1h`, in the order of hours; hour by hour, each told once, as soon as it is over."""
    watch = DriftWatch(0, 1, _policy([each.measure for each in worlds]))
    told = [hours(each, seed, is_planted) for each in worlds]
    tables = []
    label = "with changes" if is_planted else "nothing changes"
    for hour in track(range(len(told[0])), label, console=console, transient=True):
        for each, totals in zip(worlds, told, strict=True):
            watch.tell(each.family, totals[hour], 0)
        list(watch.statements(Now(START_MS + (hour + 1) * HOUR_MS)))
        tables += [pl.DataFrame(pl.from_arrow(rows)) for _, rows in watch.rows()]
    hour_of = (pl.col("bucket_start").dt.epoch("ms") - START_MS) // HOUR_MS
    return pl.concat(tables).with_columns(hour=hour_of).sort("measure", "slice", "hour")


def _ours(played: Played) -> Scored:
    return scored("turnwatch", found_in(played.quiet), found_in(played.planted), played)


def _where_wander_lasts(
    slices: int, days: int, seed: int, rivals: Sequence[Peer], console: Console, lasting: float, deviation: float
) -> Scored:
    """Ours of failed turns of slices that all wander so, printed beside the rivals."""
    of = where_wander_lasts(world("failure_rate", slices, days, seed), lasting, deviation)
    one = played([of], seed, console)
    ours = _ours(one)
    console.print(f"{slices} failure rates that wander by {deviation:.0%}, with a correlation of {lasting:g} an hour:")
    console.print(_beside([ours, *(each for peer in rivals for each in _rivals(peer, one))]))
    return ours


def found_in(rows: pl.DataFrame) -> pl.DataFrame:
    """Our alarms: a change is one, however long it lasts, raised at the end of the first hour in which it shows."""
    drifted = rows.filter(pl.col("state") == "drifted")
    return drifted.group_by("measure", "slice", "since").agg(pl.col("hour").min()).select(*ALARMS)


def scored(detector: str, quiet: pl.DataFrame, planted: pl.DataFrame, played: Played) -> Scored:
    """Alarms of the quiet world are false. A change is found by the first alarm since it began."""
    changes = played.slices.filter(pl.col("change") > 0)
    after = changes.join(planted, on=["measure", "slice"]).filter(pl.col("hour") >= pl.col("begins_h"))
    first = after.group_by("measure", "slice").agg(delay_h=(pl.col("hour") + 1 - pl.col("begins_h")).min())
    return Scored(detector, len(quiet) / played.weeks, changes.join(first, on=["measure", "slice"], how="left"))


def strays(planted: pl.DataFrame, played: Played) -> int:
    """Alarms of the world with changes that are of a slice without one, or of before it began."""
    named = planted.join(played.slices, on=["measure", "slice"])
    return named.filter((pl.col("change") == 0) | (pl.col("hour") < pl.col("begins_h"))).height


def _policy(measures: Sequence[str]) -> DriftPolicy:
    return replace(STANDARD, measures=tuple(each for each in STANDARD.measures if each.name in measures))


def _rivals(peer: Peer, played: Played) -> list[Scored]:
    """A peer by default, and set best for each figure with the share of false alarms that ours has."""
    name, measures = f"{peer.name} of {peer.series}", played.slices["measure"].unique().to_list()
    alarms_max = int(STANDARD.false_alarms_per_week * played.weeks / len(measures))
    quiet_raised, raised = (alarms(peer.default, rows, peer.series) for rows in (played.quiet, played.planted))
    best: tuple[list[pl.DataFrame], list[pl.DataFrame]] = [], []
    for measure in measures:
        quiet, planted = (rows.filter(pl.col("measure") == measure) for rows in (played.quiet, played.planted))
        make = set_best(peer, quiet, alarms_max)
        for into, rows in zip(best, (quiet, planted), strict=True):
            into.append(alarms(make, rows, peer.series))
    return [
        scored(f"{name}, default", quiet_raised, raised, played),
        scored(f"{name}, set best", pl.concat(best[0]), pl.concat(best[1]), played),
    ]


def _beside(all_scored: Sequence[Scored]) -> Table:
    table = Table("detector", "false a week", *(f"{change:.0%} more" for change in CHANGES[1:]), box=SIMPLE)
    for each in all_scored:
        cells = [each.of(pl.col("change") == change).cell() for change in CHANGES[1:]]
        table.add_row(each.detector, f"{each.false_alarms_per_week:.1f}", *cells)
    return table


def _by_kind(ours: Scored) -> Table:
    table = Table("figure", "traffic", "wanders", *(f"{change:.0%} more" for change in CHANGES[1:]), box=SIMPLE)
    kinds = ours.changes.select("measure", "traffic", "wander").unique(maintain_order=True)
    for measure, traffic, wander in kinds.iter_rows():
        mine = ours.of((pl.col("measure") == measure) & (pl.col("traffic") == traffic) & (pl.col("wander") == wander))
        cells = [mine.of(pl.col("change") == change).cell() for change in CHANGES[1:]]
        table.add_row(measure, traffic, f"{wander:.0%}", *cells)
    return table


def _finds(evident: Scored, bounds: Bounds) -> bool:
    is_found = evident.recall >= bounds.recall_min and evident.delay_h is not None
    return is_found and (evident.delay_h or 0.0) <= bounds.delay_h_max


def _figures(ours: Scored, evident: Scored, bounds: Bounds) -> str:
    delay = "never" if evident.delay_h is None else f"{evident.delay_h:.1f}"
    return (
        f"false_alarms_a_week={ours.false_alarms_per_week:.2f} limit_a_week={bounds.false_alarms_per_week_max:g} "
        f"recall={ours.recall:.2f} evident_recall={evident.recall:.2f} limit_recall={bounds.recall_min:g} "
        f"evident_delay_h_p50={delay} limit_h={bounds.delay_h_max:g}"
    )
