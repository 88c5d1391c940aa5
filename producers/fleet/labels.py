"""Labelled calls: a sample of the calls that end, with how well they were understood; rows of kind `quality`.

Word errors are beta-binomial: a call has an error rate of its own around that of its accent, as recorded speakers do,
times what background noise and events add. Only counts are made here; there are no words.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.calibration import load_calibration
from producers.fleet.calls import Calls_
from producers.fleet.crowd import Crowd
from producers.fleet.fleet_file import Fleet
from producers.fleet.timeline import STEP_MS, InForce
from schemas.arrays import Floats

Counts = dict[str, NDArray[np.int64]]

ERROR_SHARE_MAX = 0.95
CHARACTERS_PER_WORD, CHARACTER_ERRORS_PER_WORD_ERROR = 4.7, 2.2
ENTITIES_PER_WORD, ENTITY_ERRORS_TIMES = 0.08, 1.3
PARTIALS_PER_TURN, CITATIONS_PER_LOOKUP = 4, 1.5
ENDPOINT_ERROR_SHARE, REWRITTEN_SHARE, CORRECTED_SHARE, UNGROUNDED_SHARE = 0.03, 0.12, 0.02, 0.015
STALE_AGE_TIMES = 40
"""How many times as old as a fresh index a stale one is. What is not in `calibration.json` is an assumption."""


def labelled(fleet: Fleet, calls: Calls_, begin_ms: int, rng: Generator) -> NDArray[np.intp]:
    """The places of the calls with audio that end in the step and are labelled."""
    is_over = (calls["ends_ms"] < begin_ms + STEP_MS) & (calls["ends_ms"] >= begin_ms)
    is_labelled = rng.random(len(calls)) < fleet.label_share
    return np.flatnonzero(is_over & is_labelled & ~calls["is_batch"])


def error_shares(fleet: Fleet, crowd: Crowd) -> Floats:
    """Expected word errors per reference word, by the codes of accent and noise class."""
    rates, like = load_calibration().word_errors.rate, fleet.accents_like
    accents = [rates.get(like.get(name, name), rates["other"]) for name in crowd.vocabularies["accent"].names]
    noise = [fleet.noise_times[name] for name in crowd.vocabularies["noise_class"].names]
    shares: Floats = np.minimum(np.outer(accents, noise), ERROR_SHARE_MAX)
    return shares


def counts_of(fleet: Fleet, crowd: Crowd, calls: Calls_, in_force: InForce, rng: Generator) -> Counts:
    """The counts of each of these calls."""
    lasted_s = (calls["ends_ms"] - calls["started_ms"]) / 1_000
    turns = 1 + rng.poisson(calls["turns_per_s"] * lasted_s)
    words = 1 + rng.poisson(load_calibration().word_errors.words_mean * turns)
    expected = error_shares(fleet, crowd)[calls["accent"], calls["noise_class"]]
    share = np.minimum(expected * in_force.word_errors_times(calls), ERROR_SHARE_MAX)
    errors = over_dispersed(rng, words, share)
    entities = rng.poisson(words * ENTITIES_PER_WORD)
    lookups = rng.binomial(turns, fleet.retrieval_share)
    stale_share = in_force.stale_share(calls, fleet.stale_share)
    stale = rng.binomial(lookups, stale_share)
    citations = np.floor(lookups * CITATIONS_PER_LOOKUP).astype(np.int64)
    characters = np.ceil(words * CHARACTERS_PER_WORD).astype(np.int64)
    age_s = np.rint(fleet.index_age_s * (lookups + stale * (STALE_AGE_TIMES - 1)))
    return {
        "words": words,
        "word_errors": errors,
        "characters": characters,
        "character_errors": np.minimum(characters, np.rint(errors * CHARACTER_ERRORS_PER_WORD_ERROR)).astype(np.int64),
        "entities": entities,
        "entity_errors": rng.binomial(entities, np.minimum(share * ENTITY_ERRORS_TIMES, 1.0)),
        "endpoints": turns,
        "endpoint_errors": rng.binomial(turns, ENDPOINT_ERROR_SHARE),
        "partials": turns * PARTIALS_PER_TURN,
        "partials_rewritten": rng.binomial(turns * PARTIALS_PER_TURN, REWRITTEN_SHARE),
        "answers": turns,
        "answers_corrected": rng.binomial(turns, CORRECTED_SHARE),
        "answers_ungrounded": rng.binomial(turns, UNGROUNDED_SHARE),
        "citations": citations,
        "citations_stale": rng.binomial(citations, stale_share),
        "lookups_aged": lookups,
        "index_age_s_sum": age_s.astype(np.int64),
    }


def over_dispersed(rng: Generator, words: NDArray[np.int64], share: Floats) -> NDArray[np.int64]:
    """Beta-binomial errors: variance n p (1 − p) (1 + (n − 1) ρ), ρ as over recorded speakers."""
    weight = 1 / load_calibration().word_errors.dispersion - 1
    of_call = rng.beta(share * weight, (1 - share) * weight)
    errors: NDArray[np.int64] = rng.binomial(words, of_call)
    return errors
