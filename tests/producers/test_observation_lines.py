"""NDJSON observations: each bad line is refused by itself, told by its number and reason, and nothing of it is repeated."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from producers import observation_lines
from producers.line_reading import Lines
from producers.line_tidings import TOLD_MAX
from producers.observation_lines import COLUMNS, LINE_BYTES_MAX, ObservationLines
from schemas.refusals import MEANINGS, Refusal

TURN: dict[str, Any] = {
    "kind": "turns", "ended_at_ms": 1_700_000_000_000, "session": "call-1", "region": "eu-west-1", "pool": "realtime",
    "route": "voice", "bundle": "v2", "language": "en", "device_class": "phone", "audio_in_ms": 2_000,
    "audio_out_ms": 3_000, "tokens_in": 300, "tokens_out": 40, "turn_ms": 900.0, "is_error": False, "is_abandoned": False,
}  # fmt: skip


def line(**changed: Any) -> bytes:
    return json.dumps({name: value for name, value in {**TURN, **changed}.items() if value is not None}).encode()


def read(lines: list[bytes], kind: str | None = None) -> tuple[dict[str, pl.DataFrame], ObservationLines]:
    reader = ObservationLines(b"a key of this process", kind)
    return dict(reader.read(lines)), reader


def test_lines_become_the_columns_of_their_kind() -> None:
    tables, reader = read([line(), line(session=17, turn_ms=950)])
    assert dict(tables["turns"].schema.items()) == COLUMNS["turns"]
    assert tables["turns"]["turn_ms"].to_list() == [900.0, 950.0]
    assert reader.tidings.refused == {} and reader.tidings.sentences() == []


def test_kinds_may_be_mixed_or_be_said_once_for_all() -> None:
    queue = {"kind": "queues", "at_ms": 1_700_000_000_000, "host": "gpu-07", "region": "eu-west-1", "pool": "realtime",
             "bundle": "v2", "queue": "llm_first_token", "depth": 3}  # fmt: skip
    tables, _ = read([line(), json.dumps(queue).encode()])
    assert tables["queues"]["depth"].to_list() == [3] and len(tables["turns"]) == 1
    tables, _ = read([line(kind=None), line(kind="whatever")], kind="turns")
    assert len(tables["turns"]) == 2


def test_sessions_that_are_texts_are_told_apart_and_cannot_be_looked_up() -> None:
    tables, _ = read([line(), line(session="call-2"), line()])
    first, second, third = tables["turns"]["session"]
    assert first == third != second
    other = dict(ObservationLines(b"another key").read([line()]))
    assert other["turns"]["session"][0] != first


WAIT = {"kind": "duplex", "at_ms": 1_700_000_000_000, "region": "eu-west-1", "pool": "realtime", "route": "voice", "bundle": "v2",
        "language": "en", "device_class": "phone"}  # fmt: skip
BAD = [
    (b"nope", Refusal.MALFORMED, ""),
    (b"[1, 2]", Refusal.MALFORMED, ""),
    (b'{"kind": "turns", "tokens_in": 3', Refusal.MALFORMED, ""),
    (b'{"kind": "turns"} {"kind": "turns"}', Refusal.MALFORMED, ""),
    (b'{"kind": "turns", "kind": "turns"}', Refusal.MALFORMED, ""),
    (b'{"kind": "turns", "route": "\xff"}', Refusal.MALFORMED, ""),
    (b'{"tokens_in": 3}', Refusal.MALFORMED, "kind"),
    (b"[" * 30_000, Refusal.MALFORMED, ""),
    (line(kind="dreams"), Refusal.OUTSIDE_VOCABULARY, "kind"),
    (line(tokens_in="300"), Refusal.MALFORMED, "tokens_in"),
    (line(tokens_in=1.5), Refusal.MALFORMED, "tokens_in"),
    (line(is_error=1, route=5), Refusal.MALFORMED, "route, is_error"),
    (line(is_error=float("nan")), Refusal.NOT_FINITE, "is_error"),
    (line(ended_at_ms="2026-11-22T17:00:00Z"), Refusal.MALFORMED, "ended_at_ms"),
    (line(ended_at_ms="1732294800000"), Refusal.MALFORMED, "ended_at_ms"),
    (line(ended_at_ms="4915112345678"), Refusal.PHONE, "ended_at_ms"),
    (line(session=-1), Refusal.MALFORMED, "session"),
    (line(session=" "), Refusal.NO_SESSION, "session"),
    (line(session="\u200b\u2060"), Refusal.NO_SESSION, "session"),
    (line(session=None), Refusal.NO_SESSION, "session"),
    (line(is_error=None), Refusal.MALFORMED, "is_error"),
    (line(turn_ms=float("nan")), Refusal.NOT_FINITE, "turn_ms"),
    (line(turn_ms=float("inf")), Refusal.NOT_FINITE, "turn_ms"),
    (line(turn_ms=-1.0), Refusal.NEGATIVE, "turn_ms"),
    (line(tokens_in=-3), Refusal.NEGATIVE, "tokens_in"),
    (line(llm_first_token_ms=5_000.0), Refusal.INCONSISTENT, "llm_first_token_ms, turn_ms"),
    (line(tool_calls=1, tool_calls_unsafe=2), Refusal.INCONSISTENT, "tool_calls_unsafe, tool_calls"),
    (line(pool="live"), Refusal.OUTSIDE_VOCABULARY, "pool"),
    (line(pool=None), Refusal.OUTSIDE_VOCABULARY, "pool"),
    (line(tenant="acme"), Refusal.OUTSIDE_VOCABULARY, "tenant"),
    (line(route="ana@example.com"), Refusal.EMAIL, "route"),
    (line(route="x" * 300), Refusal.FREE_TEXT, "route"),
    (line(route="ana@example.com", bundle="bob@example.com", turn_ms=-1.0), Refusal.EMAIL, "route, bundle"),
    (line(route="x" * LINE_BYTES_MAX), Refusal.TOO_LARGE, ""),
    (json.dumps({**WAIT, "duplex_event": "interruption", "was_stopped": True}).encode(), Refusal.MALFORMED, "answered_new_intent"),
    (json.dumps({**WAIT, "duplex_event": "playback", "frames_played": 1, "gaps_ms": [1, 2]}).encode(), Refusal.INCONSISTENT, "gaps_ms, frames_played"),
    (b'{"kind": "streams", "at_ms": 1700000000000, "is_start": false}', Refusal.NO_SESSION, "session"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "reason", "columns"), BAD)
def test_a_bad_line_is_refused_alone_and_told_with_its_columns(bad: bytes, reason: Refusal, columns: str) -> None:
    tables, reader = read([line(), bad, line(tokens_in=7)])
    assert tables["turns"]["tokens_in"].to_list() == [300, 7]
    assert +reader.tidings.refused == {reason: 1}
    (sentence,) = reader.tidings.sentences()
    named = f"; {'columns' if ',' in columns else 'column'}: {columns}" if columns else ""
    assert sentence == f"Line 2 is refused ({reason.value}): {MEANINGS[reason]}{named}."


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_lies_too_deep_is_refused_and_ends_nothing(opened: bytes, closed: bytes) -> None:
    """Arrow reads it on the stack: 5,000 lists within one another ended the process."""
    deep = line(unheard_of=0.5).replace(b"0.5", opened * 6_000 + b"0" + closed * 6_000)
    tables, reader = read([line(), deep, line()], kind="turns")
    assert len(tables["turns"]) == 2 and reader.tidings.first == [(2, Refusal.MALFORMED)]


@pytest.mark.parametrize(
    "strange",
    [
        lambda at: {f"{at}-{n}": 1 for n in range(50)},
        lambda at: {f"n{at}": "ann@example.org"},
        lambda at: {f"n{at}": {"b": [{"c": 1}]}},
    ],
)
def test_names_of_lines_own_are_no_columns(
    strange: Callable[[int], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of all that are read with a line: 446 KB of names took more than 9 GB, and an address under each 5 ms a line."""
    read_whole, widths = observation_lines._as_numbered_table, set[int]()

    def measured(lines: list[tuple[int, bytes]], kind: str) -> pl.DataFrame | None:
        widths.update(each.count(b":") for _, each in lines)
        return read_whole(lines, kind)

    monkeypatch.setattr(observation_lines, "_as_numbered_table", measured)
    tables, reader = read([line(**strange(at)) for at in range(300)])
    assert len(tables["turns"]) == 300 and widths == {len(TURN) - 1}
    assert reader.tidings.dropped.total() == 300 * len(strange(0))


def test_a_field_of_its_own_counts_as_it_would_as_a_column() -> None:
    """Whether lines are read as a table or one by one."""
    fields: list[dict[str, Any]] = [
        *({"prompt": "x"}, {"a": [[0.5], [1]]}, {"a": {"b": [0.5] * 9}}, {"a": None}, {"a": True, "b": 7}),
        *({"a": [{"b": "ann@example.org"}]}, {"a": {"gen_ai": {"input": {"messages": "x"}, "b": "+49 151 1234 5678"}}}),
    ]
    for each in fields:
        (_, alone), (_, among) = read([line(**each)]), read([line(**each), line(tokens_in=2.0)])
        assert alone.tidings.dropped == among.tidings.dropped, each
        assert alone.tidings.withheld_since == among.tidings.withheld_since, each
    (_, mixed) = read([line(a=[1, "a", "ann@example.org"], session=7), line(a={"b": 1})])
    assert mixed.tidings.taken.total() == 2 and mixed.tidings.dropped == {Refusal.EMAIL: 1, Refusal.UNKNOWN_FIELD: 1}


def test_a_gauge_that_is_told_as_unknown_is_no_zero_and_one_that_is_left_out_is_one() -> None:
    """As of what a host observes by its recorder."""
    place = {"region": "eu-west-1", "pool": "realtime", "bundle": "v2", "host": "gpu-1", "queue": "vad"}
    sample = {"kind": "queues", "at_ms": 1_700_000_000_000, **place, "running": 2, "kv_blocks": 90, "kv_blocks_used": 9}
    said: list[dict[str, Any]] = [{"depth": 3}, {"depth": None}, {}, {"kv_blocks_used": None}, {"arrivals": None}]
    tables, reader = read([json.dumps(sample | each).encode() for each in said])
    rows = tables["queues"].select("depth", "running", "kv_blocks", "kv_blocks_used").rows()
    assert rows == [(3, 2, 90, 9), (0, 2, 90, 9), (0, 2, 0, 0), (0, 2, 90, 9)]
    (sentence,) = reader.tidings.sentences()
    assert sentence.startswith("Line 2 is refused (malformed)") and sentence.endswith("column: depth.")


@pytest.mark.parametrize(("told", "counted"), [(2.0, 2), (2e3, 2_000), (0.0, 0)])
def test_a_count_may_be_told_as_a_number_with_nothing_behind_its_point(told: float, counted: int) -> None:
    tables, reader = read([line(tokens_in=told, ended_at_ms=1.7952876e12), line()])
    assert tables["turns"]["tokens_in"].to_list() == [counted, 300] and not +reader.tidings.refused


def test_lines_that_are_no_objects_are_refused_wherever_they_stand_and_end_nothing() -> None:
    """In a process of its own: Arrow's reader ended it where the first of its lines was `null`."""
    code = """if True:
        from tests.producers.test_observation_lines import line, read
        for bad in (b"null", b" null ", b"nullnull", b"null{}", b"\\xef\\xbb\\xbfnull", b"{}null", b'{"a":1}{"b":2}'):
            for lines in ([bad, line()], [line(), bad], [bad]):
                for kind in ("turns", None):
                    told = read(lines, kind)[1].tidings
                    assert (told.refused, told.taken.total()) == ({"malformed": 1}, len(lines) - 1), (bad, told)
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_halves_of_an_object_are_not_put_together() -> None:
    """Two objects in one line would make up for their number."""
    tables, reader = read([line().removesuffix(b"}"), b"}", line() + line()], "turns")
    assert not tables and reader.tidings.first == [(n, Refusal.MALFORMED) for n in (1, 2, 3)]


def test_brackets_in_a_text_are_no_depth() -> None:
    tables, reader = read([line(unheard_of='["{' * 500)], kind="turns")
    assert len(tables["turns"]) == 1 and reader.tidings.dropped.total() == 1


def test_many_bad_lines_are_found_among_many_good_ones() -> None:
    lines = [line(tokens_in=place) for place in range(2_000)]
    bad = {place * 150: each for place, (each, *_) in enumerate(BAD[:12], 1)}
    for place, each in bad.items():
        lines[place] = each
    tables, reader = read(lines)
    assert tables["turns"]["tokens_in"].to_list() == [place for place in range(2_000) if place not in bad]
    assert reader.tidings.refused.total() == 12
    assert [int(told.split()[1]) for told in reader.tidings.sentences()] == [place + 1 for place in bad]


def test_numbers_of_lines_go_on_from_chunk_to_chunk_and_empty_lines_count() -> None:
    reader = ObservationLines(b"key")
    for lines in ([line(), b"", line()], [b"  ", b"nope"]):
        list(reader.read(lines))
    assert reader.tidings.first == [(5, Refusal.MALFORMED)] and reader.tidings.lines == 5


def test_only_the_first_bad_lines_are_told_and_all_are_counted() -> None:
    _, reader = read([*[line(turn_ms=-1.0)] * 58, line(pool="live"), b"{"])
    *told, more = reader.tidings.sentences()
    assert (len(told), len(reader.tidings.meant)) == (TOLD_MAX, TOLD_MAX)
    assert more == "40 more lines are refused: 1 × malformed, 1 × outside_vocabulary, 38 × negative."
    assert reader.tidings.refused == {Refusal.NEGATIVE: 58, Refusal.OUTSIDE_VOCABULARY: 1, Refusal.MALFORMED: 1}


SECRETS = {
    "prompt": "My doctor says that I may go home",
    "gen_ai.input.messages": [{"role": "user", "content": "call me back"}],
    "caller": "+49 170 1234567",
    "key": "sk-9fQ2xLr8TzV1bNw7KcYp3mHd6sGj4uEa",
    "note": {"nested": "anything"},
}


def test_undeclared_fields_are_dropped_counted_and_forgotten() -> None:
    tables, reader = read([line(**SECRETS), line(note="text")])
    assert len(tables["turns"]) == 2
    dropped = {reason.value: count for reason, count in reader.tidings.dropped.items()}
    assert dropped["content_field"] == 2 and {"phone", "high_entropy", "unknown_field"} <= set(dropped)
    everything = repr(tables["turns"].to_dicts()) + repr(reader.tidings) + repr(reader.tidings.sentences())
    assert not any(word in everything for word in ("doctor", "call me back", "170 1234567", "sk-9f", "anything"))


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1_000_000])
def test_lines_are_those_of_the_stream_however_it_arrives(chunk_bytes: int) -> None:
    lines = Lines(io.BytesIO(b"one\r\n\ntwo\nlast"), chunk_bytes)
    read_lines: list[bytes] = []
    while (some := lines.some()) is not None:
        read_lines += some
    assert read_lines == [b"one", b"", b"two", b"last"]


def test_a_line_without_an_end_takes_no_more_memory_than_it_may() -> None:
    lines = Lines(io.BytesIO(b"x" * 5_000_000 + b"\n" + b"short\n"), chunk_bytes=100_000)
    longest: list[int] = []
    while (some := lines.some()) is not None:
        longest += map(len, some)
        assert len(lines._begun) <= LINE_BYTES_MAX + 1
    assert longest[-1] == 5 and LINE_BYTES_MAX < longest[0] <= LINE_BYTES_MAX + 100_001
