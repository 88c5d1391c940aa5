"""The table of names: every line leads somewhere, the page shows it as it is, and two ways never count the same turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.aggregated import partition_of
from producers.otlp.mapping import (
    ATTRIBUTES,
    LINES,
    NOT_TAKEN,
    OTHERS,
    STAGE_METRIC,
    TURNS_FROM,
    TURNS_FROM_ANY,
    Line,
    lines_by_metric,
)
from producers.otlp.receiver import FUTURE_MS_MAX, PAST_MS_MAX
from producers.otlp.requests import BODY_BYTES_MAX
from producers.otlp.series import SERIES_MAX
from schemas.dimensions import DIMENSIONS
from schemas.families import FAMILIES, STAGES
from schemas.refusals import Refusal
from tests.otlp.mapping_tables import attributes_table, mapping_table, not_taken_table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "otlp.md").read_text(encoding="utf-8")


def test_every_line_leads_to_a_measure_or_a_stage() -> None:
    for line in LINES:
        assert (
            (line.stage in STAGES) if line.takes == "buckets" else (line.measure in FAMILIES[line.family].measure_names)
        )
        dimensions = partition_of(FAMILIES[line.family]).dimensions
        assert set(dimensions) <= set(ATTRIBUTES), line.metric
        assert not any(DIMENSIONS[name].is_identifying for name in dimensions)


def test_no_line_stands_twice_and_what_is_not_taken_has_none() -> None:
    assert len(set(LINES)) == len(LINES)
    assert not {line.metric for line in LINES} & set(NOT_TAKEN)


@pytest.mark.parametrize("turns_from", TURNS_FROM_ANY)
def test_one_metric_of_a_deployment_counts_turns(turns_from: str) -> None:
    chosen = [line for lines in lines_by_metric(turns_from).values() for line in lines]
    assert {line.metric for line in chosen if _counts_turns(line)} == {turns_from}
    assert TURNS_FROM in TURNS_FROM_ANY


def _counts_turns(line: Line) -> bool:
    return line in OTHERS and (line.family, line.measure) == ("turns", "turns")


def test_ours_are_every_measure_that_needs_no_session() -> None:
    names = {line.metric for line in LINES}
    told = {name for name in FAMILIES if f"turnwatch.{name}.{FAMILIES[name].measure_names[0]}" in names}
    assert told == {"turns", "outcomes", "duplex", "costs", "quality", "queues"}
    assert {line.stage for line in LINES if line.metric == STAGE_METRIC} == set(STAGES)


def test_the_page_shows_the_mapping_as_it_is() -> None:
    """`python -c "from tests.otlp.mapping_tables import *; print(mapping_table())"` prints what has to stand there."""
    for table in (mapping_table(), not_taken_table(), attributes_table()):
        assert table in PAGE


def test_the_page_states_the_bounds_and_explains_every_word_that_can_be_answered() -> None:
    assert f"413 above {BODY_BYTES_MAX >> 20} MiB" in PAGE
    assert f"more than {FUTURE_MS_MAX // 1_000} s ahead" in PAGE and PAST_MS_MAX < 7 * 86_400_000
    assert f"({SERIES_MAX:,})" in PAGE
    never = {
        Refusal.CONTENT_FIELD,
        Refusal.AUDIO,
        Refusal.EMBEDDING,
        Refusal.NO_SESSION,
    }  # Of attributes, and of partitions.
    assert [word for word in set(Refusal) - never if f"`{word}`" not in PAGE] == []
