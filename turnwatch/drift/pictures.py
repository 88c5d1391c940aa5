"""What became of each rate: overall, and in every cut its parts by rate and by mix, with what is sure of each slice.

A slice is named as worse (or better) where its change is beyond the allowed with a chance of `CHANCE` ÷ slices judged, so that
in all of one answer the chance is at most `CHANCE` that any slice is named which did not change by more than is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.rates import RATES, Rate
from stream_jobs.operators.cost.decomposition import rounded
from stream_jobs.operators.drift.mix_or_rate import explains, split
from stream_jobs.operators.drift.rate_changes import Changes, changes
from turnwatch.drift.told import WHOLE, rate_sums

CHANCE = 0.05
BILLION = 1_000_000_000
JUDGED_SHARE_MIN = 0.8
"""How much of a rate's denominator slices that can be judged have to hold, before "no slice is worse" is said of all."""
LIFT_MIN = 1.5
"""As of the slices that a page names (`alerts/attribution.py`): below that they are a large part of all, and no finding."""
MIX_SHARE_MIN = 0.8
"""How much of the change has to be mix of slices that were there before, for traffic that moved to explain it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`share`: of what a set of slices has to explain; `least`: the relative change that counts as none."""

    share: float
    least: float
    samples_min: int


@dataclass(frozen=True, slots=True)
class CutPicture:
    """One rate over the slices of one cut.

    `slices` has a row for each of which there was anything: `slice`, `state` (of `State`, or `came`, `gone` where one period alone told of it), `old`, `new`, `low`, `high`, `p_worse`, `evidence`,
    `old_samples`, `new_samples`, `old_weight`, `new_weight`, and `rate` and `mix`, which over all rows sum to the change.
    `explained_by`: the fewest slices that add `share` of what slices that got worse added by rate, and `moved_by` those whose
    change of weight added as much of what traffic that moved did. `undivided`: what was counted in slices that had nothing to
    divide it by, such as word errors without a word, and is in no part. `empty`: how many slices were told of and had nothing
    of the rate in either period; `slices` are without them.
    """

    name: str
    change: float
    slices: pl.DataFrame
    explained_by: tuple[str, ...]
    moved_by: tuple[str, ...]
    undivided: int
    empty: int

    @property
    def worse(self) -> pl.DataFrame:
        return self.slices.filter(pl.col("state") == "worse").sort("evidence", descending=True, maintain_order=True)

    @property
    def mix_of_known(self) -> float:
        """The mix parts of slices that both periods have."""
        is_known = (pl.col("old_weight") > 0) & (pl.col("new_weight") > 0)
        return float(self.slices.filter(is_known)["mix"].sum())

    @property
    def not_enough(self) -> int:
        """How many slices were told too little of to be judged."""
        return int((self.slices["state"] == "not_enough").sum())

    @property
    def judged_share(self) -> float:
        """Of the new period's denominator, what slices hold that can be judged."""
        is_judged = pl.col("state").is_in(["worse", "better", "flat"])
        return float(self.slices.filter(is_judged)["new_weight"].sum())

    @property
    def lift(self) -> float:
        """How many times more of the change by rate than of the traffic the explaining slices have; infinite without any."""
        chosen = self.slices.filter(pl.col("slice").is_in(list(self.explained_by)))
        whole, weight = float(self.slices["rate"].sum()), float(chosen["new_weight"].sum())
        return abs(float(chosen["rate"].sum()) / whole) / weight if whole and weight else math.inf

    @property
    def is_mix(self) -> bool:
        """Whether no slice got worse, and traffic that moved between them explains that all together did."""
        return bool(
            self.change
            and self.worse.is_empty()
            and self.judged_share >= JUDGED_SHARE_MIN
            and self.mix_of_known / self.change >= MIX_SHARE_MIN
        )

    def in_billionths(self) -> pl.DataFrame:
        """`slices` with `rate` and `mix` as whole billionths, which sum to that of the change; the largest takes the rest."""
        parts = np.concatenate([self.slices["rate"].to_numpy(), self.slices["mix"].to_numpy()])
        whole = np.array(rounded(parts, round(self.change * BILLION), BILLION), dtype=np.int64)
        half = len(self.slices)
        return self.slices.with_columns(rate=pl.Series(whole[:half]), mix=pl.Series(whole[half:]))


@dataclass(frozen=True, slots=True)
class RatePicture:
    """One rate: `overall` is a row as of slices, the best cut comes first; `is_mix`: whether that explains it by mix.

    `is_everywhere`: slices that explain it add hardly more of what all slices added by rate than they have of the traffic.
    """

    rate: Rate
    overall: dict[str, float | str]
    cuts: tuple[CutPicture, ...]
    is_mix: bool
    is_everywhere: bool

    @property
    def best(self) -> CutPicture:
        return self.cuts[0]


def pictures(old: pl.DataFrame, new: pl.DataFrame, limits: Limits) -> list[RatePicture]:
    """Of every rate that both sides told; frames of `TOLD`."""
    judged = [_judge(each, limits) for each in _pairs(old, new)]
    tested = sum(int(each.found.is_enough[1:].sum()) for each in judged)
    by_rate: dict[str, list[_Judged]] = {}
    for each in judged:
        by_rate.setdefault(each.pair.rate.name, []).append(each)
    chances = CHANCE / max(len(by_rate), 1), CHANCE / max(tested, 1)
    return [_picture(RATES[name], several, chances, limits) for name, several in by_rate.items()]


@dataclass(frozen=True, slots=True)
class _Pair:
    """One rate in one cut: rows of both sides, of the same slices; the first is of all together. `is_told`: whether a side told
    of a slice at all, which has zeros otherwise.
    """

    rate: Rate
    cut: str
    slices: list[str]
    old: pl.DataFrame
    new: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Judged:
    pair: _Pair
    found: Changes


def _pairs(old: pl.DataFrame, new: pl.DataFrame) -> list[_Pair]:
    found = []
    keys = pl.concat([old.select("rate", "cut"), new.select("rate", "cut")]).unique(maintain_order=True)
    for name, cut in keys.iter_rows():
        sides = [side.filter(rate=name, cut=cut) for side in (old, new)]
        if all(float(side["denominator"].sum()) > 0 for side in sides):
            texts = pl.concat([side.select("slice") for side in sides]).unique().sort("slice")
            aligned = [texts.join(side, on="slice", how="left", maintain_order="left") for side in sides]
            told = [side.with_columns(is_told=pl.col("cut").is_not_null()) for side in aligned]
            filled = [side.with_columns(pl.col(pl.Float64).fill_null(0.0)) for side in told]
            assert texts["slice"][0] == WHOLE, "nothing sorts before the empty text"
            found.append(_Pair(RATES[name], cut, texts["slice"].to_list(), filled[0], filled[1]))
    return sorted(found, key=lambda pair: list(RATES).index(pair.rate.name))


def _judge(pair: _Pair, limits: Limits) -> _Judged:
    sums = [rate_sums(side, pair.rate) for side in (pair.old, pair.new)]
    return _Judged(pair, changes(sums[0], sums[1], limits.least, limits.samples_min))


def _picture(rate: Rate, judged: Sequence[_Judged], chances: tuple[float, float], limits: Limits) -> RatePicture:
    overall = _rows(max(judged, key=_width), chances[0]).row(0, named=True)
    cuts = sorted((_cut(each, chances[1], limits) for each in judged), key=_strength)
    mixed = [cut for cut in cuts if cut.is_mix] if overall["state"] == "worse" else []
    if mixed:
        best = max(mixed, key=lambda cut: abs(cut.mix_of_known))
        cuts = [best, *(cut for cut in cuts if cut is not best)]
    is_everywhere = overall["state"] == "worse" and not mixed and cuts[0].lift < LIFT_MIN
    return RatePicture(rate, overall, tuple(cuts), bool(mixed), is_everywhere)


def _width(judged: _Judged) -> tuple[float, float, float]:
    """What a cut was told of; of cuts told of the same, the one that sees best what had nothing to divide by."""
    denominator, samples, numerator = (
        float(judged.pair.old[name][0] + judged.pair.new[name][0]) for name in ("denominator", "samples", "numerator")
    )
    return denominator, -samples, -numerator


def _strength(cut: CutPicture) -> tuple[float, int, str]:
    """Cuts by the evidence of the slice that got worse most surely; of equal ones those that name less come first."""
    evidence = cut.worse["evidence"]
    return (-float(evidence[0]) if len(evidence) else math.inf), cut.name.count(","), cut.name


def _cut(judged: _Judged, chance: float, limits: Limits) -> CutPicture:
    pair = judged.pair
    sums = [side[name].to_numpy()[1:] for side in (pair.old, pair.new) for name in ("numerator", "denominator")]
    undivided = sum(float(sums[side][sums[side + 1] == 0].sum()) for side in (0, 2))
    parts = split(*(np.where(sums[place | 1] > 0, sums[place], 0.0) for place in range(4)))
    rows = _rows(judged, chance)[1:].with_columns(
        state=pl.when(~pair.old["is_told"][1:] & pl.Series(sums[3] > 0))
        .then(pl.lit("came"))
        .when(~pair.new["is_told"][1:] & pl.Series(sums[1] > 0))
        .then(pl.lit("gone"))
        .otherwise("state"),
        old_weight=pl.Series(sums[1] / sums[1].sum()),
        new_weight=pl.Series(sums[3] / sums[3].sum()),
        rate=pl.Series(parts.rate),
        mix=pl.Series(parts.mix),
    )
    worse = np.where(rows["state"].to_numpy() == "worse", parts.rate, 0.0)
    names = [tuple(rows["slice"][int(each)] for each in explains(of, limits.share)) for of in (worse, parts.mix)]
    is_empty = pl.Series(~np.any(np.stack(sums) > 0, axis=0))
    return CutPicture(
        pair.cut, parts.change, rows.filter(~is_empty), names[0], names[1], round(undivided), int(is_empty.sum())
    )


def _rows(judged: _Judged, chance: float) -> pl.DataFrame:
    found, pair = judged.found, judged.pair
    columns: dict[str, NDArray[np.float64] | list[str]] = {
        "slice": pair.slices,
        "state": found.states(chance).tolist(),
        "old": found.old,
        "new": found.new,
        "low": found.low,
        "high": found.high,
        "p_worse": found.p_worse,
        "evidence": found.evidence,
        "old_samples": pair.old["samples"].to_numpy(),
        "new_samples": pair.new["samples"].to_numpy(),
    }
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
