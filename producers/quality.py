"""Quality: from labelled calls to the rows of an hour. Sums of squares and of products are there so that variances add."""

from __future__ import annotations

import polars as pl

from producers.observations import QUALITY_COLUMNS, with_unsaid
from producers.sifting import Sifted, at_least_zero, counted, known, sift
from schemas.families import QUALITY, PrivacyPartition
from schemas.refusals import Refusal

WORDS_MAX = 100_000
"""Most words, and most errors, of one call: a day of speech. Squares of ten thousand such calls still fit into a row."""


def sift_quality(calls: pl.DataFrame) -> Sifted:
    """Keeps the labelled calls that can be right. There may be more errors than words: insertions have no reference."""
    rules = [
        *known(Refusal.NO_SESSION, "session"),
        *at_least_zero("at_ms"),
        *counted(QUALITY, QUALITY_COLUMNS),
        *((Refusal.INCONSISTENT, pl.col(name) <= WORDS_MAX) for name in ("words", "word_errors")),
    ]
    return sift(with_unsaid(calls, QUALITY_COLUMNS), rules, QUALITY.dimensions)


def quality_rows(calls: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell of the partition, with every measure of family `quality`."""
    words, errors = pl.col("words"), pl.col("word_errors")
    reckoned = {
        "calls": pl.len(),
        "words_sumsq": (words * words).sum(),
        "word_errors_sumsq": (errors * errors).sum(),
        "word_errors_by_words": (errors * words).sum(),
    }
    measures = [reckoned.get(name, pl.col(name).sum()).cast(pl.Int64).alias(name) for name in QUALITY.measure_names]
    return calls.group_by(partition.dimensions).agg(measures).sort(partition.dimensions)
