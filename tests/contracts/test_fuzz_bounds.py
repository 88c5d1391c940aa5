"""What a frame may unpack to is bounded before anything is unpacked, and so is everything else in it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from producers import ndjson
from producers.observation_batches import BatchHeader, MalformedBatch, decode_batch
from schemas.arrow_streams import measured
from schemas.failures import Undecodable
from schemas.families import HEARTBEATS, OPERATIONAL, TURNS
from schemas.frame_rows import Dropped, decode_rows
from schemas.frames import (
    FRAME_BATCHES_MAX,
    FRAME_BYTES_MAX,
    FRAME_ROWS_MAX,
    NDJSON,
    NDJSON_LINE_BYTES_MAX,
    SCHEMA_MINOR,
    FrameHeader,
    decode_header,
    headers_of,
)
from schemas.partials import decode as decode_partial
from schemas.refusals import Refusal
from schemas.rejections import Reason, Rejected
from schemas.rows import arrow_schema
from turnwatch.bench.fuzz.specimens import WINDOW_START_MS, written

HEADER = FrameHeader(TURNS, OPERATIONAL, "p", 1, 0, WINDOW_START_MS)
NEWER = replace(HEADER, minor=SCHEMA_MINOR + 1)
HEARTBEAT = FrameHeader(HEARTBEATS, HEARTBEATS.partitions[0], "p", 1, 0, WINDOW_START_MS, NDJSON)
LINE = (
    '{"region":"eu-west-1","reported_family":"turns","rows_sent":12,"observations_seen":340,'
    '"observations_dropped":0,"observations_held":3}'
)
ROWS = 200
LZ4_FRAME = b"\x04\x22\x4d\x18"


def rows(count: int = ROWS) -> pa.Table:
    known: dict[str, Any] = dict.fromkeys(TURNS.dimensions)
    known |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    known |= dict.fromkeys(TURNS.measure_names, 1)
    schema = arrow_schema(TURNS)
    return pa.table({name: pa.array([known[name]] * count, schema.field(name).type) for name in schema.names}, schema)


def opened(payload: bytes, header: FrameHeader = HEADER) -> tuple[pa.Table, Dropped] | Rejected:
    return decode_rows(header, dict(headers_of(header, payload)), payload)


def reason_of(payload: bytes, header: FrameHeader = HEADER) -> Reason:
    refused = opened(payload, header)
    assert isinstance(refused, Rejected), refused
    assert refused.detail.endswith(".") and "\n" not in refused.detail
    return refused.reason


def bomb(unpacked_bytes: int) -> bytes:
    """A sound frame but for its body: one compressed block of zeros, and every buffer of every column points to it."""
    payload = written(rows())
    body: bytes = struct.pack("<q", unpacked_bytes) + pa.compress(bytes(unpacked_bytes), codec="lz4", asbytes=True)
    block_bytes = len(body)
    body += bytes(-block_bytes % 8)
    batch = payload.index(b"\xff\xff\xff\xff", 8)
    metadata_bytes: int = struct.unpack_from("<i", payload, batch + 4)[0]
    metadata = bytearray(payload[batch + 8 : batch + 8 + metadata_bytes])
    old_body_bytes = len(payload) - batch - 8 - metadata_bytes - 8
    place = metadata.index(struct.pack("<q", old_body_bytes))
    metadata[place : place + 8] = struct.pack("<q", len(body))
    buffers = 3 * len(TURNS.dimensions) + 2 * len(TURNS.measures)
    first = metadata.index(struct.pack("<iq", buffers, 0)) + 4
    for number in range(buffers):
        struct.pack_into("<qq", metadata, first + 16 * number, 0, block_bytes)
    end = struct.pack("<ii", -1, 0)
    return payload[:batch] + struct.pack("<ii", -1, metadata_bytes) + bytes(metadata) + body + end


def test_the_bomb_is_real() -> None:
    """A small one, which Arrow opens without a word: hundreds of times what the payload holds."""
    payload = bomb(64_000)
    before_bytes = pa.total_allocated_bytes()
    batch = pa.ipc.open_stream(payload).read_next_batch()
    assert batch.num_rows == ROWS
    assert pa.total_allocated_bytes() - before_bytes > 300 * len(payload)
    assert measured(payload).decoded_bytes >= pa.total_allocated_bytes() - before_bytes


def test_gigabytes_in_a_small_frame_are_refused_without_allocating_them() -> None:
    payload = bomb(64_000_000)
    assert len(payload) < FRAME_BYTES_MAX
    assert measured(payload).decoded_bytes > 3 * 2**30
    peak_bytes = pa.default_memory_pool().max_memory()
    assert reason_of(payload) is Reason.FRAME_TOO_LARGE
    with pytest.raises(Undecodable, match="unpacks to"):
        about = {"format": 1, "partition": "operational", "source_partition": 0, "version": 1, "reach": []}
        decode_partial(TURNS, {"tw-partial": json.dumps(about).encode()}, payload)
    assert pa.default_memory_pool().max_memory() == peak_bytes


@pytest.mark.parametrize("claim", [2**24, 2**40, 2**62, 2**63 - 1])
def test_a_buffer_that_claims_too_much_is_refused_without_allocating_it(claim: int) -> None:
    payload = bytearray(written(rows()))
    struct.pack_into("<q", payload, payload.index(LZ4_FRAME) - 8, claim)
    peak_bytes = pa.default_memory_pool().max_memory()
    assert reason_of(bytes(payload)) is Reason.FRAME_TOO_LARGE
    assert pa.default_memory_pool().max_memory() == peak_bytes


@pytest.mark.parametrize("number", [2**63 - 1, 2**62, -1])
def test_a_number_beyond_all_memory_is_refused_wherever_it_stands(number: int) -> None:
    """A buffer that begins there would be read from where no place is."""
    payload = written(rows(2))
    answers = set()
    for place in range(0, len(payload) - 8, 8):
        try:
            measured(payload[:place] + struct.pack("<q", number) + payload[place + 8 :])
            answers.add("measured")
        except Undecodable:
            answers.add("refused")
    assert answers == {"measured", "refused"}


def test_what_is_measured_is_what_arrow_unpacks() -> None:
    for codec in ("lz4", "zstd", None):
        for count in (1, 7, ROWS, 3_000):
            payload = written(rows(count), codec, rows_per_batch=1_000)
            stream = measured(payload)
            table = pa.ipc.open_stream(payload).read_all()
            assert (stream.rows, stream.batches, stream.codec) == (count, -(-count // 1_000), codec or "none")
            padding = 64 * stream.batches * 3 * table.num_columns
            assert table.nbytes <= stream.decoded_bytes <= table.nbytes + padding


def test_rows_are_counted_before_they_are_unpacked() -> None:
    assert reason_of(written(rows(FRAME_ROWS_MAX + 1), rows_per_batch=5_000)) is Reason.FRAME_TOO_LARGE
    assert not isinstance(opened(written(rows(FRAME_ROWS_MAX))), Rejected)


def test_record_batches_are_bounded() -> None:
    table = rows(FRAME_BATCHES_MAX + 1)
    assert reason_of(written(table, rows_per_batch=1)) is Reason.FRAME_TOO_LARGE
    read = opened(written(table, rows_per_batch=2))
    assert not isinstance(read, Rejected) and read[0].equals(table)


def test_metadata_is_no_cargo() -> None:
    laden = rows().replace_schema_metadata({"note": "x" * 70_000})
    assert reason_of(written(laden)) is Reason.FRAME_TOO_LARGE
    labelled = opened(written(rows().replace_schema_metadata({"note": "x"})))
    assert not isinstance(labelled, Rejected) and labelled[0].schema.metadata is None


def test_a_newer_version_has_no_thousands_of_columns() -> None:
    table = rows(1)
    for number in range(2_000):
        table = table.append_column(f"later_{number}", pa.array([number]))
    assert reason_of(written(table), NEWER) is Reason.FRAME_TOO_LARGE


def test_what_a_newer_version_declared_is_dropped_whatever_its_type() -> None:
    table = rows(3)
    for name, values in {
        "nested": pa.array([[{"a": 1}]] * 3),
        "union": pa.UnionArray.from_sparse(pa.array([0, 0, 0], pa.int8()), [pa.array([1, 2, 3])]),
        "view": pa.array(["far-too-long-to-be-inlined"] * 3, pa.string_view()),
        "nothing": pa.nulls(3),
    }.items():
        table = table.append_column(name, values)
    read = opened(written(table), NEWER)
    assert not isinstance(read, Rejected), read
    assert read[0].equals(rows(3)) and read[1] == (Refusal.UNKNOWN_FIELD,) * 4


MAIL = "planted-ana@example.org"
HOLDERS = {
    "text": pa.array([MAIL]),
    "view": pa.array([MAIL], pa.string_view()),
    "object": pa.array([{"a": [{"b": MAIL}]}]),
    "map": pa.array([[("a", MAIL)]], pa.map_(pa.string(), pa.string())),
    "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([MAIL])]),
    "runs": pa.RunEndEncodedArray.from_arrays([1], [MAIL]),
    "list view": pa.array([[MAIL]], pa.list_view(pa.string())),
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("header", [HEADER, NEWER], ids=["known", "newer"])
def test_an_address_is_counted_as_one_wherever_nobody_declared_a_column(header: FrameHeader, holder: str) -> None:
    """Not only as an unknown column; also where a declared one is missing besides. Of a newer version the frame goes on without it."""
    laden = rows(1).append_column("later", HOLDERS[holder])
    assert reason_of(written(laden.drop_columns(["turns"])), header) is Reason.PRIVATE_VALUE
    read = opened(written(laden), header)
    if header is NEWER:
        assert not isinstance(read, Rejected) and read[0].equals(rows(1)) and read[1] == (Refusal.EMAIL,)
    else:
        assert isinstance(read, Rejected) and read.reason is Reason.PRIVATE_VALUE and MAIL not in read.detail


def test_columns_that_share_a_name_are_looked_into_all_the_same() -> None:
    for values, reason in ((["a", "b"], Reason.MALFORMED_PAYLOAD), (["a", MAIL], Reason.PRIVATE_VALUE)):
        table = rows(1)
        for value in values:
            table = table.append_column("", pa.array([value]))
        assert reason_of(written(table), NEWER) is reason


def shared_views(count: int, size: int) -> pa.Array:
    """As many texts of about that size, all of the same bytes."""
    views = b"".join(struct.pack("<i4sii", size - place, b"abab", 0, 0) for place in range(count))
    return pa.Array.from_buffers(
        pa.string_view(), count, [None, pa.py_buffer(views), pa.py_buffer(b"ab" * (size // 2))]
    )


@pytest.mark.parametrize("depth", [0, 1])
def test_views_of_the_same_bytes_do_not_become_more_than_a_frame_or_a_batch_may_be(depth: int) -> None:
    texts = shared_views(40, 1_000_000)
    laden = pa.ListArray.from_arrays(pa.array([0, 40], pa.int32()), texts) if depth else texts
    count = len(laden)
    assert reason_of(written(rows(count).append_column("later", laden)), NEWER) is Reason.MALFORMED_PAYLOAD
    with pytest.raises(MalformedBatch, match="share their bytes become more than 32000000 bytes") as told:
        decode_batch(BatchHeader("turns", "host-1", 1, 0, 40, 0), written(pa.table({"later": laden})))
    assert told.value.status == 413
    some = pa.table({"later": shared_views(40, 1_000)})
    assert decode_batch(BatchHeader("turns", "host-1", 1, 0, 40, 0), written(some)).unknown_columns == 1


def test_content_below_the_names_of_objects_is_content() -> None:
    """`input.value` is; neither `input` nor `value` is by itself."""
    for values in (pa.array([{"value": "hello"}]), pa.array([[{"value": "hello"}]])):
        for header in (HEADER, NEWER):
            assert reason_of(written(rows(1).append_column("input", values)), header) is Reason.CONTENT_FIELD


def test_a_dimension_of_another_partition_is_told_as_one_in_either_encoding() -> None:
    """Also one that no partition of the family carries; null, as Arrow has it, it says nothing."""
    sound = rows(1).to_pylist()[0] | dict.fromkeys(TURNS.measure_names, 0)
    plain = {name: sound[name] for name in (*OPERATIONAL.dimensions, *TURNS.measure_names)}
    for name in ("language", "tenant"):
        for minor in {HEADER.minor, NEWER.minor} if name in TURNS.dimensions else {HEADER.minor}:
            header = replace(HEADER, content_type=NDJSON, minor=minor)
            refused = opened(
                json.dumps(plain | {name: "de" if name == "language" else "t-0123456789abcdef"}).encode(), header
            )
            assert isinstance(refused, Rejected) and refused.reason is Reason.DIMENSION_NOT_IN_PARTITION
            assert name in refused.detail or name not in TURNS.dimensions
    nothing_said = opened(json.dumps(plain | {"language": None}).encode(), replace(HEADER, content_type=NDJSON))
    assert not isinstance(nothing_said, Rejected)
    for header, value, reason in (
        (HEADER, "t-0123456789abcdef", Reason.DIMENSION_NOT_IN_PARTITION),
        (HEADER, MAIL, Reason.PRIVATE_VALUE),
        (NEWER, "t-0123456789abcdef", Refusal.UNKNOWN_FIELD),
        (NEWER, MAIL, Refusal.EMAIL),
    ):
        read = opened(written(rows(1).append_column("tenant", pa.array([value]))), header)
        assert (read.reason if isinstance(read, Rejected) else read[1]) == (reason if header is HEADER else (reason,))


def test_what_is_private_in_ndjson_is_told_before_what_is_unknown() -> None:
    plain = dict.fromkeys(TURNS.measure_names, 0) | dict.fromkeys(OPERATIONAL.dimensions, "a")
    header = replace(HEADER, content_type=NDJSON)
    for value, reason in (
        ({"contact": MAIL}, Reason.PRIVATE_VALUE),
        ({"contact": [{"to": MAIL}]}, Reason.PRIVATE_VALUE),
        ({"input": {"value": "hello"}}, Reason.CONTENT_FIELD),
        ({"contact": "support"}, Reason.UNKNOWN_COLUMN),
    ):
        refused = opened(json.dumps(plain | value).encode(), header)
        assert isinstance(refused, Rejected) and refused.reason is reason and MAIL not in refused.detail
    newer = opened(
        json.dumps(plain | {"contact": [{"to": MAIL}], "mood": "a"}).encode(), replace(header, minor=NEWER.minor)
    )
    assert not isinstance(newer, Rejected) and newer[1] == (Refusal.EMAIL, Refusal.UNKNOWN_FIELD)


@pytest.mark.parametrize("values", [[[{"a": [1]}]], [[0.5, 0.25]], [b"0" * 16]], ids=["within", "list", "bytes"])
def test_bytes_and_lists_of_numbers_are_refused_though_a_newer_version_declared_them(values: list[Any]) -> None:
    """They are what audio and embeddings look like, and a contract of aggregates has no other use for them."""
    assert reason_of(written(rows(1).append_column("later", pa.array(values))), NEWER) is Reason.PRIVATE_VALUE


@pytest.mark.parametrize(
    ("claim", "payload"),
    [
        ("a dictionary", written(rows().append_column("later", rows()["pool"].dictionary_encode()))),
        ("another codec", written(rows(), codec="zstd")),
        ("two streams", written(rows()) + written(rows())),
        ("bytes behind the end", written(rows()) + bytes(8)),
        ("a stream of before 0.15", written(rows()).replace(b"\xff\xff\xff\xff", b"")),
        ("an Arrow file", b"ARROW1\x00\x00" + written(rows())),
        ("no schema", written(rows())[written(rows()).index(b"\xff\xff\xff\xff", 8) :]),
    ],
)
def test_what_the_contract_does_not_name_is_refused(claim: str, payload: bytes) -> None:
    assert reason_of(payload, NEWER) is Reason.MALFORMED_PAYLOAD, claim


def test_a_stream_without_its_end_marker_is_a_stream() -> None:
    assert not isinstance(opened(written(rows())[:-8]), Rejected)


def test_an_extension_type_is_not_its_storage() -> None:
    values = pa.ExtensionArray.from_storage(pa.json_(), rows()["region"].combine_chunks())
    table = rows().set_column(0, "region", values)
    assert reason_of(written(table)) is Reason.WRONG_TYPE


def lines(*each: str) -> bytes:
    return "\n".join(each).encode()


@pytest.mark.parametrize(
    ("claim", "payload", "reason"),
    [
        ("two objects on a line", lines(f"{LINE},{LINE}"), Reason.MALFORMED_PAYLOAD),
        ("two on one line and one on two", lines(f"{LINE},{LINE}", LINE[:21], LINE[22:]), Reason.MALFORMED_PAYLOAD),
        ("an object over two lines", lines(*LINE.split(",", 1)), Reason.MALFORMED_PAYLOAD),
        ("a field twice", lines(LINE[:-1] + ',"rows_sent":13}'), Reason.MALFORMED_PAYLOAD),
        ("an array", lines(f"[{LINE}]"), Reason.MALFORMED_PAYLOAD),
        ("a carriage return for a line", (LINE + "\r" + LINE).encode(), Reason.MALFORMED_PAYLOAD),
        ("deep", lines('{"region":' + "[" * 5_000 + "]" * 5_000 + "}"), Reason.MALFORMED_PAYLOAD),
        ("a number of 5,000 digits", lines(LINE.replace("340", "9" * 5_000)), Reason.MALFORMED_PAYLOAD),
        ("a number above 64 bits", lines(LINE.replace("340", str(2**63))), Reason.WRONG_TYPE),
        ("a fraction", lines(LINE.replace("340", "340.0")), Reason.WRONG_TYPE),
        ("not a number", lines(LINE.replace("340", "NaN")), Reason.WRONG_TYPE),
        ("half a character", lines(LINE.replace("eu-", "\\ud800")), Reason.MALFORMED_PAYLOAD),
        ("a long line", lines(LINE[:-1] + " " * NDJSON_LINE_BYTES_MAX + "}"), Reason.FRAME_TOO_LARGE),
        ("too many lines", b"{}\n" * (FRAME_ROWS_MAX + 1), Reason.FRAME_TOO_LARGE),
        ("only breaks", b"\n" * FRAME_BYTES_MAX, Reason.EMPTY_FRAME),
        ("all rows broken", b"{}\n" * FRAME_ROWS_MAX, Reason.MISSING_COLUMN),
    ],
)
def test_text_is_one_object_a_line_within_bounds(claim: str, payload: bytes, reason: Reason) -> None:
    assert reason_of(payload, HEARTBEAT) is reason, claim
    newer = replace(HEARTBEAT, minor=SCHEMA_MINOR + 1)
    assert reason_of(payload, newer) is reason, claim


@pytest.mark.parametrize("payload", [lines(LINE, "", LINE, ""), f" {LINE}\r\n\t{LINE} \r\n".encode()])
def test_blank_lines_and_space_around_lines_are_nothing(payload: bytes) -> None:
    read = opened(payload, HEARTBEAT)
    assert not isinstance(read, Rejected) and read[0].num_rows == 2


def test_unknown_fields_of_a_newer_version_are_counted_over_all_lines_and_may_hold_anything() -> None:
    other = LINE[:-1] + ',"later":{"a":["b:c",{}]}}'
    read = opened(lines(LINE, other, LINE[:-1] + ',"last":"}{"}'), replace(HEARTBEAT, minor=SCHEMA_MINOR + 1))
    assert not isinstance(read, Rejected) and (read[0].num_rows, read[1]) == (3, (Refusal.UNKNOWN_FIELD,) * 2)


def test_a_field_twice_in_a_newer_version_is_refused_also_within_unknown_ones() -> None:
    twice = LINE[:-1] + ',"later":{"a":1,"a":2}}'
    assert reason_of(lines(LINE, twice), replace(HEARTBEAT, minor=SCHEMA_MINOR + 1)) is Reason.MALFORMED_PAYLOAD


@pytest.mark.parametrize("name", [name for name, _ in headers_of(HEADER, b"")])
@pytest.mark.parametrize("more", [b"\n", b" ", b"\x00", b"\xc2\xb2"])
def test_no_header_passes_with_something_behind_it(name: str, more: bytes) -> None:
    payload = written(rows(1))
    headers = dict(headers_of(HEADER, payload))
    headers[name] += more
    header = decode_header("turns", headers)
    refused = header if isinstance(header, Rejected) else decode_rows(header, headers, payload)
    assert isinstance(refused, Rejected), name


def test_ndjson_of_our_producers_fits_a_line() -> None:
    """The bound on lines is several times the longest row that any family can have."""
    longest = dict.fromkeys(OPERATIONAL.dimensions, "x" * 63) | dict.fromkeys(TURNS.measure_names, 2**40)
    table = pa.Table.from_pylist([longest], schema=arrow_schema(TURNS))
    payload = ndjson.encode(replace(HEADER, content_type=NDJSON), table)[1]
    assert len(payload) * 5 < NDJSON_LINE_BYTES_MAX
