"""How well labelled calls were understood, slice by slice: error rates, and how sure the word error rate is.

Words of one call are not independent, so the spread of a rate r is that of its calls: the standard error is
√(Σe² - 2rΣew + r²Σw²) ÷ Σw, of errors e and words w of each call (the ratio estimator's, by linearisation).
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.drift import DIMENSIONS_OF_DRIFT, HOUR_S
from dashboards.queries.selection import given_buckets, largest, matches, step_of
from schemas.families import QUALITY

BREAKDOWNS = tuple(
    dict.fromkeys(cut.dimensions[-1] for cut in QUALITY.cuts if len(cut.dimensions) > 1 and cut.name.count(",") < 3)
)
"""The last dimension of each cut: what its slices are told apart by beside pool and bundle."""
CUTS = {
    name: min((cut for cut in QUALITY.cuts if name == cut.dimensions[-1]), key=lambda cut: len(cut.dimensions)).name
    for name in BREAKDOWNS
}
_SERIES_MAX, _SLICES_MAX = 8, 100
_NORMAL_95 = 1.96

_DIMENSIONS = tuple(dict.fromkeys(name for cut in QUALITY.cuts for name in cut.dimensions))
_CHOSEN_BY = "decodeURLComponent('${by:percentencode}')"
_BY = f"if({_CHOSEN_BY} IN {BREAKDOWNS}, {_CHOSEN_BY}, '{BREAKDOWNS[0]}') AS broken_down_by"
_CUT = f"[{', '.join(repr(cut) for cut in CUTS.values())}][indexOf({list(CUTS)}, broken_down_by)]"
_ROWS = f"""(SELECT * FROM quality_1h FINAL
  WHERE cut = {_CUT} AND bucket_start >= range_from AND bucket_start < $__toTime
    AND {" AND ".join(matches(name) for name in _DIMENSIONS)})"""


def _opening() -> str:
    return given_buckets(HOUR_S, _BY, variables=tuple(dict.fromkeys((*DIMENSIONS_OF_DRIFT, *_DIMENSIONS))))


_RATE = "sum(word_errors) / sum(words)"

OVER_TIME = Query(
    "word_error_rate_over_time",
    f"""{_opening()}
SELECT time, series, value FROM (
  SELECT time, series, value, sum(heard) OVER (PARTITION BY series) AS peak FROM (
    SELECT {step_of("bucket_start")} AS time, toString(slice) AS series, {_RATE} AS value, sum(words) AS heard
    FROM {_ROWS}
    GROUP BY time, series
    HAVING heard > 0))
QUALIFY {largest(_SERIES_MAX)}
ORDER BY time, series""",
    "time_series",
)
"""Of the slices with most words: those with few stray too far to be read."""

_SPREAD = (
    "sqrt(greatest(0, toFloat64(sum(word_errors_sumsq)) - 2 * wer * sum(word_errors_by_words) "
    "+ wer * wer * sum(words_sumsq))) / sum(words)"
)


def _share(errors: str, of: str) -> str:
    return f"sum({errors}) / nullIf(sum({of}), 0)"


BY_SLICE = Query(
    "labelled_quality_by_slice",
    f"""{_opening()}
SELECT slice, sum(calls) AS labelled_calls, sum(words) AS heard_words, {_RATE} AS wer, {_NORMAL_95} * {_SPREAD} AS wer_plus_minus,
  {_share("character_errors", "characters")} AS character_errors_share, {_share("entity_errors", "entities")} AS entity_errors_share,
  {_share("endpoint_errors", "endpoints")} AS endpoint_errors_share,
  {_share("partials_rewritten", "partials")} AS rewritten_share, {_share("answers_corrected", "answers")} AS corrected_share,
  {_share("answers_ungrounded", "answers")} AS ungrounded_share, {_share("citations_stale", "citations")} AS stale_share,
  {_share("index_age_s_sum", "lookups_aged")} AS index_age_s, {", ".join(_DIMENSIONS)}
FROM {_ROWS}
GROUP BY slice, {", ".join(_DIMENSIONS)}
HAVING heard_words > 0
ORDER BY wer DESC, slice
LIMIT {_SLICES_MAX}""",
)
