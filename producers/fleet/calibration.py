"""Figures derived from recordings that the simulated fleet is calibrated on; `calibration.json` names source and licence of each.

Nothing recorded is in there, only means, quantiles and shares; `calibrate.py` derives them again.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

CALIBRATED = Path(__file__).with_suffix(".json")


class Figures(BaseModel):
    """What every group of derived figures says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    meaning: str
    source: str
    licence: str


class DayCurve(Figures):
    """Demand of each UTC hour of a day relative to the day's mean, of working days and of weekends."""

    working_day: tuple[float, ...]
    weekend: tuple[float, ...]


class Bursts(Figures):
    """How the rate of arrivals varies besides the day curve: its squared coefficient of variation in windows of 10 s
    beyond what Poisson arrivals have, and how much of it is still there 10 s later.
    """

    rate_cv2: float
    correlation_10s: float


class PromptTokens(Figures):
    """Prompt tokens at 101 evenly spaced quantiles, from 0 to 1."""

    quantiles: tuple[float, ...]


class PrefixCache(Figures):
    """The share of prompt blocks that an earlier request had as a prefix."""

    hit_share: float


class KvCache(Figures):
    """The share of one GPU's KV cache that a running request holds, in the mean."""

    share_per_running: float


class WordErrors(Figures):
    """Word errors per reference word by accent, their spread over speakers, and what a release changed.

    `dispersion` is the intra-speaker correlation of a beta-binomial; `release_ratio` the error rate of a later release of
    one recogniser relative to the one before it.
    """

    rate: dict[str, float]
    speaker_share: dict[str, float]
    dispersion: float
    words_mean: float
    release_ratio: dict[str, float]


class Calibration(BaseModel):
    """All of the figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    day_curve: DayCurve
    bursts: Bursts
    prompt_tokens: PromptTokens
    prefix_cache: PrefixCache
    kv_cache: KvCache
    word_errors: WordErrors


@cache
def load_calibration(path: Path = CALIBRATED) -> Calibration:
    """The committed figures."""
    return Calibration(**json.loads(path.read_text()))
