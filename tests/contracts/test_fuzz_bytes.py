"""Any bytes, anywhere: a decoder answers with a sentence, or with what it read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import burns, partials, rollups
from schemas.arrow_streams import measured
from schemas.failures import Foreseen, Undecodable
from schemas.families import FAMILIES, OPERATIONAL, TURNS
from schemas.frame_rows import decode_rows
from schemas.frames import ARROW, NDJSON, FrameHeader, decode_header, headers_of
from schemas.partials import Partial, partial_schema
from schemas.rejections import Rejected
from schemas.tables import TABLES
from stream_jobs.operators.totals.blocks import UnreadableState, applied_offset, body, stamped, unpack_json, unpack_rows
from turnwatch.bench.fuzz.specimens import WINDOW_START_MS, specimens, written

ANYTHING = st.binary(max_size=300)
STREAM_LIKE = st.builds(
    lambda pieces: b"".join(pieces),
    st.lists(
        st.sampled_from([b"\xff\xff\xff\xff", b"\x10\x00\x00\x00", bytes(8), b"\x04\x22\x4d\x18"]) | ANYTHING,
        max_size=8,
    ),
)
BYTES = ANYTHING | STREAM_LIKE
HEADERS = tuple(name for name, _ in headers_of(specimens(1)[0].header, b""))
SOUND = [specimen for specimen in specimens(1) if specimen.header.content_type == ARROW][:4]


def is_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text


@given(payload=BYTES, content_type=st.sampled_from([ARROW, NDJSON]), minor=st.sampled_from([0, 1]))
def test_no_payload_is_more_than_refused(payload: bytes, content_type: Any, minor: int) -> None:
    header = FrameHeader(TURNS, OPERATIONAL, "p", 1, 0, WINDOW_START_MS, content_type, minor)
    refused = decode_rows(header, dict(headers_of(header, payload)), payload)
    assert isinstance(refused, Rejected) and is_sentence(refused.detail)


@given(headers=st.dictionaries(st.sampled_from(HEADERS) | st.text(max_size=5), st.none() | ANYTHING, max_size=12))
def test_no_headers_are_more_than_refused(headers: dict[str, Any]) -> None:
    refused = decode_header("turns", headers)
    assert isinstance(refused, Rejected) and is_sentence(refused.detail)


@given(data=st.data())
def test_headers_that_are_nearly_right_are_read_or_refused(data: st.DataObject) -> None:
    specimen = data.draw(st.sampled_from(SOUND))
    headers: dict[str, Any] = dict(specimen.headers)
    numeric = st.integers(-(10**20), 10**20).map(lambda number: str(number).encode())
    for name in data.draw(st.sets(st.sampled_from(HEADERS), max_size=3)):
        headers[name] = data.draw(ANYTHING | numeric)
    header = decode_header(specimen.header.family.name, headers)
    if isinstance(header, FrameHeader):
        read = decode_rows(header, headers, specimen.payload)
        assert isinstance(read, Rejected | tuple)


@given(payload=BYTES)
def test_no_bytes_are_measured_with_anything_but_a_sentence(payload: bytes) -> None:
    try:
        assert measured(payload).rows >= 0
    except Undecodable as error:
        assert is_sentence(str(error))


def read_rows(payload: bytes) -> object:
    return unpack_rows(payload, TURNS.measure_names)


def read_partial(payload: bytes) -> object:
    return partials.decode(TURNS, {"tw-partial": payload}, written(empty_rows()))


READERS: list[Callable[[bytes], object]] = [
    burns.decode, burns.decode_alert, applied_offset, unpack_json, read_rows, read_partial,
]  # fmt: skip


@pytest.mark.parametrize("read", READERS)
@given(payload=BYTES)
def test_no_record_of_ours_is_answered_with_anything_but_a_sentence(
    read: Callable[[bytes], object], payload: bytes
) -> None:
    try:
        read(payload)
    except Foreseen as error:
        assert is_sentence(str(error))


@given(
    payload=BYTES,
    headers=st.dictionaries(
        st.just("tw-table"), st.none() | st.sampled_from(sorted(TABLES)).map(str.encode) | ANYTHING
    ),
)
def test_no_rollup_is_more_than_refused(payload: bytes, headers: Mapping[str, bytes]) -> None:
    refused = rollups.decode(headers, payload)
    assert isinstance(refused, Rejected) and is_sentence(refused.detail)


def empty_rows() -> pa.Table:
    return partial_schema(TURNS).empty_table()


def partial_of(**values: Any) -> tuple[dict[str, bytes], bytes]:
    known: dict[str, Any] = {"slice": "pool=realtime", "bucket_start_ms": WINDOW_START_MS}
    known |= dict.fromkeys(TURNS.measure_names, 1) | values
    rows = pa.Table.from_pylist([known], schema=partial_schema(TURNS))
    headers, payload = partials.encode(Partial(TURNS, OPERATIONAL, 0, 7, ((WINDOW_START_MS, 30),), rows))
    return dict(headers), payload


@pytest.mark.parametrize(
    "values",
    [
        {"slice": "pool"},
        {"slice": ""},
        {"slice": "pool=a=b"},
        {"slice": "pool=realtime,"},
        {"slice": None},
        {"bucket_start_ms": -10_000},
        {"bucket_start_ms": WINDOW_START_MS + 1},
        {"turns": -1},
        {"turns": None},
        {"turn_4000ms_total": 3, "turn_4000ms_bad": 4},
    ],
)
def test_a_partial_that_no_total_can_be_is_undecodable(values: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        partials.decode(TURNS, *partial_of(**values))


@given(text=st.text(max_size=40))
def test_the_slice_of_a_partial_that_is_read_always_reads_back(text: str) -> None:
    from schemas.slices import cut_of

    try:
        read = partials.decode(TURNS, *partial_of(slice=text))
    except Undecodable:
        return
    assert cut_of(read.rows["slice"][0].as_py())


@pytest.mark.parametrize(
    "about",
    [
        {"format": "1"}, {"format": 1.5}, {"format": 0}, {"partition": "nobody's"}, {"source_partition": -1},
        {"source_partition": True}, {"version": 2**63}, {"version": None}, {"reach": [[1]]}, {"reach": [[-1, 1]]}, {"reach": 7},
    ],
)  # fmt: skip
def test_a_partial_whose_header_is_wrong_is_undecodable(about: dict[str, Any]) -> None:
    headers, payload = partial_of()
    sound = json.loads(headers["tw-partial"])
    assert partials.decode(TURNS, headers, payload).version == 7
    with pytest.raises(Undecodable):
        partials.decode(TURNS, {"tw-partial": json.dumps(sound | about).encode()}, payload)


def test_a_partial_of_a_newer_format_stops_the_worker_and_is_not_diverted() -> None:
    headers, payload = partial_of()
    newer = json.loads(headers["tw-partial"]) | {"format": partials.PARTIALS_VERSION + 1, "shape": "unknown"}
    with pytest.raises(Foreseen, match="deploy the newer worker") as raised:
        partials.decode(TURNS, {"tw-partial": json.dumps(newer).encode()}, payload)
    assert not isinstance(raised.value, Undecodable)


def test_a_measure_that_another_version_declared_is_dropped_or_counts_as_zero() -> None:
    headers, payload = partial_of(turns=5)
    rows = pa.ipc.open_stream(payload).read_all()
    newer = rows.append_column("declared_later", pa.array([9]))
    assert partials.decode(TURNS, headers, written(newer)).rows.equals(rows)
    older = rows.drop_columns(["tokens_in"])
    assert partials.decode(TURNS, headers, written(older)).rows["tokens_in"].to_pylist() == [0]
    with pytest.raises(Undecodable, match="slice"):
        partials.decode(TURNS, headers, written(rows.drop_columns(["slice"])))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_partial_is_read_to_what_was_written(family: Any) -> None:
    partition = family.partitions[0]
    partial = Partial(family, partition, 3, 9, ((1, 2), (3, 4)), partial_schema(family).empty_table())
    headers, payload = partials.encode(partial)
    assert partials.decode(family, dict(headers), payload) == partial


def test_state_that_cannot_be_read_is_never_taken_for_a_record_to_divert() -> None:
    for value in (b"", b"\x00" * 9, stamped(3, b"")[:5]):
        with pytest.raises(UnreadableState):
            applied_offset(value)
    with pytest.raises(UnreadableState, match="changelog"):
        unpack_rows(body(stamped(3, b"nothing")), TURNS.measure_names)
    with pytest.raises(UnreadableState):
        unpack_rows(written(pa.table({"a": [[1]]})), TURNS.measure_names)
    assert not issubclass(UnreadableState, Undecodable)


@pytest.mark.parametrize(
    "change",
    [
        {"long_total": 0}, {"factor": -1}, {"long_bad": 101}, {"slice": "pool"}, {"long_burn": float("inf")}, {"long_s": 10**9},
        {"slo": ""}, {"exhausted_in_s": -1},
    ],
)  # fmt: skip
def test_a_burn_that_no_page_could_be_written_of_is_undecodable(change: dict[str, Any]) -> None:
    burn = {
        "slo": "s", "slice": "all", "row": "r", "severity": "page", "factor": 2, "threshold": 0.1, "long_s": 60, "short_s": 5,
        "long_bad": 4, "long_total": 100, "short_bad": 1, "short_total": 9, "long_burn": 1, "short_burn": 1, "budget_left": 0,
        "exhausted_in_s": None, "one_failure_costs": 0.1,
    }  # fmt: skip
    decision = {"shard": 0, "decided_ms": WINDOW_START_MS, "completeness": 1, "burns": [burn]}
    assert burns.decode(json.dumps(decision).encode()).burns[0].slo == "s"
    with pytest.raises(Undecodable):
        burns.decode(json.dumps(decision | {"burns": [burn | change]}).encode())
