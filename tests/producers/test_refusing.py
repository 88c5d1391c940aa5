"""What arrives is admitted field by field, whichever way it came; what is not is counted once, and said nowhere."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.observations import TURN_COLUMNS
from producers.refusing import LIST_LENGTH_MAX, POOLS, admit_rows, is_blank, known_pool
from producers.refusing_attributes import admit_attributes
from schemas.dimensions import DIMENSIONS
from schemas.refusals import Refusal
from tests.security.planted import PRIVATE

ROWS = 4
DECLARED = {
    "route": pl.String(),
    "region": pl.String(),
    "turn_ms": pl.Float64(),
    "turns": pl.Int64(),
    "is_error": pl.Boolean(),
    "gaps_ms": pl.List(pl.Float64()),
    "at_ms": pl.Int64(),
}


def rows(**columns: object) -> pl.DataFrame:
    sound = {"route": ["support"] * ROWS, "region": ["eu-west-1"] * ROWS, "turn_ms": [1.5] * ROWS, "turns": [1] * ROWS}
    return pl.DataFrame(sound | columns, strict=False)


def test_sound_rows_are_admitted_as_they_are_and_absent_columns_are_null() -> None:
    answer = admit_rows(rows(), DECLARED)
    assert answer.rows.schema == pl.Schema(DECLARED)
    assert answer.rows.select(rows().columns).equals(rows())
    assert answer.rows["is_error"].null_count() == ROWS
    assert (answer.refused.total, answer.dropped.total) == (0, 0)


def test_no_rows_are_no_refusals() -> None:
    assert admit_rows(pl.DataFrame(schema=TURN_COLUMNS), TURN_COLUMNS).rows.schema == pl.Schema(TURN_COLUMNS)


@pytest.mark.parametrize(("reason", "value"), [(reason, value) for reason in PRIVATE for value in PRIVATE[reason]])
def test_a_row_is_refused_for_what_a_declared_field_holds_and_the_others_go_on(reason: Refusal, value: str) -> None:
    for column in ("route", "region"):
        answer = admit_rows(rows(**{column: [None, value, value, "eu-west-1"]}), DECLARED)
        assert answer.refused.as_dict() == {reason.value: 2}
        assert len(answer.rows) == 2


@pytest.mark.parametrize(("reason", "value"), [(reason, values[0]) for reason, values in PRIVATE.items()])
def test_an_undeclared_field_is_dropped_and_counted_under_what_it_was(reason: Refusal, value: str) -> None:
    answer = admit_rows(rows(note=[value, None, "fine", None]), DECLARED)
    assert answer.dropped.as_dict() == {reason.value: 1, "unknown_field": 1}
    assert len(answer.rows) == ROWS and "note" not in answer.rows.columns
    assert [why.to_list() for why in answer.withheld_why] == [[reason.value, None, None, None]]


def test_which_row_a_field_was_dropped_from_is_known_of_all_but_what_was_only_unknown() -> None:
    answer = admit_rows(rows(prompt=[None, "a", None, 3], mood=["so", "sad", None, "x"]), DECLARED)
    assert answer.dropped.as_dict() == {"content_field": 2, "unknown_field": 3}
    assert [why.to_list() for why in answer.withheld_why] == [[None, "content_field", None, "content_field"]]


NESTED: list[tuple[Any, Refusal]] = [
    ({"email": "x"}, Refusal.UNKNOWN_FIELD),
    ({"user": {"email": "x"}}, Refusal.CONTENT_FIELD),
    ({"input": {"messages": ["hi"]}}, Refusal.CONTENT_FIELD),
    ({"who": {"what": "ana@example.com"}}, Refusal.EMAIL),
    (["calm", "ana@example.com"], Refusal.EMAIL),
    ([{"to": ["49-151-12345678", None]}, {"to": []}], Refusal.PHONE),
    ({"a": "49-151-12345678", "b": {"c": "ana@example.com"}}, Refusal.EMAIL),
    ([["calm"], []], Refusal.UNKNOWN_FIELD),
    ({}, Refusal.UNKNOWN_FIELD),
]


@pytest.mark.parametrize(("value", "reason"), NESTED)
def test_what_lies_within_an_undeclared_field_counts_as_what_it_is(value: Any, reason: Refusal) -> None:
    """The same in tables and among attributes, and once for a field."""
    said = pl.from_arrow(pa.Table.from_pylist([{"note": value}, {"note": None}]))
    assert isinstance(said, pl.DataFrame)
    table = admit_rows(rows().head(2).hstack(said), DECLARED)
    assert [why.to_list() for why in table.dropped_why] == [[reason.value, None]]
    assert admit_attributes([{"note": value}], {}).dropped.as_dict() == {reason.value: 1}


@pytest.mark.parametrize(
    ("text", "is_nothing"),
    [
        ("\u2003", True),
        ("\u200b\u2060 \ufeff", True),
        ("\u3164", True),
        ("a\u200b", False),
        ("_", False),
        ("\x00", False),
    ],
)
def test_what_nobody_can_see_is_blank(text: str, is_nothing: bool) -> None:
    assert is_blank(text) is is_nothing


@pytest.mark.parametrize(
    ("name", "values", "dropped"),
    [
        ("gen_ai.input.messages", ["hi", None, None, "x"], {"content_field": 2}),
        ("transcript", ["hi"] * ROWS, {"content_field": ROWS}),
        ("blob", [b"RIFF"] * ROWS, {"audio": ROWS}),
        ("vector", [[0.5] * 192] * ROWS, {"embedding": ROWS}),
        ("declared_later", [7] * ROWS, {"unknown_field": ROWS}),
        ("nested", [{"gen_ai": "x"}] * ROWS, {"unknown_field": ROWS}),
        ("empty", [None] * ROWS, {}),
    ],
)
def test_columns_count_by_name_and_by_type(name: str, values: list[object], dropped: dict[str, int]) -> None:
    assert admit_rows(rows(**{name: values}), DECLARED).dropped.as_dict() == dropped


@pytest.mark.parametrize(
    ("column", "values", "refused"),
    [
        ("turn_ms", [float("nan"), float("inf"), -float("inf"), 1.0], {"not_finite": 3}),
        ("turn_ms", ["fast", None, "4915112345678", None], {"phone": 1, "malformed": 1}),
        ("turn_ms", [[0.1] * 9, None, None, None], {"embedding": 1}),
        ("turn_ms", [b"RIFF", None, None, None], {"audio": 1}),
        ("turns", [2.0**70, 1.0, 2.0, 3.0], {"malformed": 1}),
        ("turns", [2.0, 1.5, float("nan"), 3.0], {"malformed": 1, "not_finite": 1}),
        ("is_error", ["yes", None, None, None], {"malformed": 1}),
        ("is_error", [float("nan"), 0.5, 0.0, 1.0], {"malformed": 1, "not_finite": 1}),
        ("is_error", [2, 0, 1, None], {"malformed": 1}),
        ("at_ms", ["2026-11-22T17:00:00.5+01:00", "1732294800", "1732294800000000000", None], {"malformed": 3}),
        (
            "at_ms",
            ["4915112345678", "ana@example.com", "Sun, 22 Nov 2026 17:00:00 GMT", None],
            {"email": 1, "phone": 1, "malformed": 1},
        ),
        ("route", [1, 2, 3, None], {"malformed": 3}),
        ("route", [b"a", None, None, None], {"audio": 1}),
        ("gaps_ms", [[1.0] * (LIST_LENGTH_MAX + 1), [1.0] * LIST_LENGTH_MAX, [], None], {"embedding": 1}),
        ("gaps_ms", [["a"], None, None, None], {"malformed": 1}),
        ("gaps_ms", [0.5, None, None, None], {"malformed": 1}),
        ("region", ["atlantis", "eu-west-1", "eu-west-1", None], {"outside_vocabulary": 1}),
    ],
)
def test_a_declared_column_of_another_kind_is_refused_row_by_row(
    column: str, values: list[object], refused: dict[str, int]
) -> None:
    answer = admit_rows(rows(**{column: values}), DECLARED)
    assert answer.refused.as_dict() == refused
    assert len(answer.rows) == ROWS - answer.refused.total


def test_a_row_with_two_faults_counts_once_under_the_first_reason() -> None:
    answer = admit_rows(
        rows(route=["ana@example.com", "a", "a", "a"], turn_ms=[float("nan"), float("nan"), 1.0, 1.0]), DECLARED
    )
    assert answer.refused.as_dict() == {"email": 1, "not_finite": 1}


def test_a_tenants_pseudonym_is_one_only_as_tenant() -> None:
    """Anywhere else it would pass by the gate that protects tenants."""
    answer = admit_rows(rows(tenant=["t-9f86d081884c7d65"] * ROWS), {**DECLARED, "tenant": pl.String()})
    assert len(answer.rows) == ROWS
    assert admit_rows(rows(route=["t-9f86d081884c7d65"] * ROWS), DECLARED).refused.as_dict() == {"high_entropy": ROWS}


TEXT = st.text(st.characters(codec=None), max_size=80) | st.sampled_from(sum(PRIVATE.values(), ()))
VALUES = st.recursive(
    TEXT | st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(
    sets=st.lists(
        st.dictionaries(st.sampled_from(["region", "route", "tenant"]) | TEXT, VALUES, max_size=6), max_size=6
    )
)
def test_whatever_attributes_hold_each_set_is_admitted_or_refused_and_each_other_attribute_counted(
    sets: list[dict[str, object]],
) -> None:
    mapped = {"region": "region", "route": "route", "tenant": "tenant"}
    answer = admit_attributes(sets, mapped)
    assert answer.dimensions.count(None) == answer.refused.total
    others = [value for each in sets for name, value in each.items() if name not in mapped]
    assert answer.dropped.total == sum(value is not None for value in others)
    for admitted in answer.dimensions:
        assert all(re.fullmatch(DIMENSIONS[name].full_pattern, value) for name, value in (admitted or {}).items())


def test_halves_of_characters_are_no_surprise() -> None:
    half = "\ud83d"
    answer = admit_attributes([{"route": half}, {"note": f"{half} 4915112345678", half: 1}], {"route": "route"})
    assert answer.refused.as_dict() == {"outside_vocabulary": 1}
    assert answer.dropped.as_dict() == {"phone": 1, "unknown_field": 1}


def test_a_host_may_have_a_random_name_and_no_telephone_number() -> None:
    hosts = ["i-0abcd1234ef567890", "gateway-5d78c9bcf7-x2k4z", "4915112345678", "0b5e9d2a-6c1f-4a3e-9d41-2f7d1f0a9c11"]
    answer = admit_rows(rows(host=hosts), {**DECLARED, "host": pl.String()})
    assert answer.refused.as_dict() == {"phone": 1} and len(answer.rows) == 3


def test_attributes_become_dimensions_or_are_dropped() -> None:
    sets: list[dict[str, object]] = [
        {
            "cloud.region": "eu-west-1",
            "model": "llama-3",
            "service.instance.id": "0b5e9d2a-6c1f-4a3e-9d41-2f7d1f0a9c11",
        },
        {"cloud.region": "eu-west-1", "model": None, "gen_ai.prompt.0.content": "hi", "le": "0.5"},
        {"cloud.region": "atlantis"},
        {"cloud.region": 7},
        {"model": "4915112345678", "pcm_bytes": b"RIFF", "x": [0.1] * 192, "body": {"a": 1}, "y": {"transcript": "hi"}},
        {"z": [0.1, 0.5], "w": True, "v": {"a": {"b": 1}}},
    ]
    answer = admit_attributes(sets, {"cloud.region": "region", "model": "model_version"})
    assert answer.dimensions == [
        {"region": "eu-west-1", "model_version": "llama-3"},
        {"region": "eu-west-1"},
        None,
        None,
        None,
        {},
    ]
    assert answer.refused.as_dict() == {"malformed": 1, "phone": 1, "outside_vocabulary": 1}
    assert answer.dropped.as_dict() == {
        "content_field": 3,
        "audio": 1,
        "embedding": 1,
        "high_entropy": 1,
        "unknown_field": 4,
    }


class _Pool(str, Enum):  # noqa: UP042  # As hosts write it; its text is not its value.
    BATCH = "batch"


def _fails_when_asked(_: object) -> type:
    raise RuntimeError("outside of a request")


_Unaskable = type("_Unaskable", (), {"__class__": property(_fails_when_asked)})
"""As proxies of web frameworks are outside of a request."""


def test_a_pool_is_told_in_a_word_of_ours_whatever_type_it_is_said_in() -> None:
    """An enum's text would be `_Pool.BATCH` in a header, and every batch after it refused."""
    said = (_Pool.BATCH, "batch", "nope", None, 5, _Unaskable())
    assert [f"{known_pool(each)}:x" for each in said] == ["batch:x"] * 2 + [f"{POOLS[0]}:x"] * 4
