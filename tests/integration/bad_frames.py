"""Frames that must not be taken in, each as the bytes that a broken, outdated or malicious producer would send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from aiokafka import AIOKafkaProducer

from producers.collector import Frame
from schemas.families import AUDIENCE, COUNT_MAX, OPERATIONAL, TURNS
from schemas.frames import FRAME_BYTES_MAX, FRAME_ROWS_MAX, NDJSON, FrameHeader, checksum, encode, headers_of
from schemas.kafka import KafkaAddress
from schemas.rejections import Reason
from schemas.rows import arrow_schema
from schemas.topics import aggregates

SECRET = "open-sesame-4711"
"""Stands in whatever part of a bad frame can carry text; no dead letter may repeat it."""

YEAR_MS = 365 * 86_400_000
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class BadFrame:
    claim: str
    reason: Reason
    payload: bytes | None
    headers: Headers = field(repr=False)


def bad_frames(window_start_ms: int) -> Iterator[BadFrame]:
    """One of every kind, for a window of the present that starts at a whole minute."""
    header = FrameHeader(TURNS, OPERATIONAL, "intruder", 1, 0, window_start_ms)
    headers, payload = encode(header, _rows())
    yield from _of_payloads(header, payload)
    yield from _of_headers(header, headers, payload)
    yield from _of_windows(header)
    yield from _of_values(header)
    yield from _of_ndjson(replace(header, content_type=NDJSON))


def _of_payloads(header: FrameHeader, payload: bytes) -> Iterator[BadFrame]:
    def of(claim: str, reason: Reason, bad: bytes | None) -> BadFrame:
        return BadFrame(claim, reason, bad, headers_of(header, bad or b""))

    yield of("not Arrow", Reason.MALFORMED_PAYLOAD, SECRET.encode() * 20)
    yield of("cut off", Reason.MALFORMED_PAYLOAD, payload[: len(payload) // 2])
    yield of("no payload", Reason.EMPTY_FRAME, b"")
    yield of("a tombstone", Reason.EMPTY_FRAME, None)
    yield of("no rows", Reason.EMPTY_FRAME, encode(header, _rows().slice(0, 0))[1])
    yield of("too many bytes", Reason.FRAME_TOO_LARGE, b"x" * (FRAME_BYTES_MAX + 1))
    yield of("too many rows", Reason.FRAME_TOO_LARGE, encode(header, _rows(count=FRAME_ROWS_MAX + 1))[1])
    yield of("a bomb", Reason.FRAME_TOO_LARGE, encode(header, _nothing(count=200_000))[1])
    changed = bytearray(payload)
    changed[len(changed) // 2] ^= 1
    yield BadFrame("changed on its way", Reason.CHECKSUM_MISMATCH, bytes(changed), headers_of(header, payload))


def _of_headers(header: FrameHeader, headers: Headers, payload: bytes) -> Iterator[BadFrame]:
    def having(claim: str, reason: Reason, **values: bytes) -> BadFrame:
        changed = {name.replace("_", "-"): value for name, value in values.items()}
        return BadFrame(claim, reason, payload, [(name, changed.get(name, value)) for name, value in headers])

    yield BadFrame("no headers", Reason.MISSING_HEADER, payload, [])
    yield BadFrame("no checksum", Reason.MISSING_HEADER, payload, headers[:-1])
    yield having("a newer major version", Reason.UNSUPPORTED_VERSION, tw_schema=b"2.0")
    yield having("a version in words", Reason.MALFORMED_HEADER, tw_schema=SECRET.encode())
    yield having("a producer in words", Reason.MALFORMED_HEADER, tw_producer=f"{SECRET} !".encode())
    yield having("bytes for a sequence", Reason.MALFORMED_HEADER, tw_sequence=b"\xff\xfe")
    yield having("a negative sequence", Reason.MALFORMED_HEADER, tw_sequence=b"-1")
    yield having("another family", Reason.UNKNOWN_FAMILY, tw_family=b"stages")
    yield having("no such partition", Reason.UNKNOWN_PRIVACY_PARTITION, tw_privacy_partition=SECRET.encode())
    yield having("another k-window", Reason.WINDOW_MISALIGNED, tw_k_window_s=b"7")
    yield having("an unknown content type", Reason.UNKNOWN_CONTENT_TYPE, tw_content_type=SECRET.encode())
    askew = str(header.window_start_ms + 1).encode()
    yield having("a window askew", Reason.WINDOW_MISALIGNED, tw_window_start_ms=askew)


def _of_windows(header: FrameHeader) -> Iterator[BadFrame]:
    def at(claim: str, reason: Reason, start_ms: int) -> BadFrame:
        headers, payload = encode(replace(header, window_start_ms=start_ms), _rows())
        return BadFrame(claim, reason, payload, headers)

    yield at("a year ahead", Reason.WINDOW_FROM_FUTURE, header.window_start_ms + YEAR_MS)
    yield at("a year behind", Reason.WINDOW_TOO_OLD, header.window_start_ms - YEAR_MS)


def _of_values(header: FrameHeader) -> Iterator[BadFrame]:
    def of(claim: str, reason: Reason, rows: pa.Table, at: FrameHeader = header) -> BadFrame:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        payload = sink.getvalue().to_pybytes()
        return BadFrame(claim, reason, payload, headers_of(at, payload))

    rows = _rows()
    text = pa.array([SECRET] * rows.num_rows)
    yield of("free text", Reason.CONTENT_FIELD, rows.append_column("transcript", text))
    yield of("a column missing", Reason.MISSING_COLUMN, rows.drop_columns(["turns"]))
    yield of("a column twice", Reason.MALFORMED_PAYLOAD, rows.append_column("turns", rows["turns"]))
    yield of("text for a count", Reason.WRONG_TYPE, rows.set_column(rows.schema.names.index("turns"), "turns", text))
    yield of("a pool nobody knows", Reason.OUTSIDE_VOCABULARY, _rows(pool=SECRET))
    yield of("a sentence for a route", Reason.OUTSIDE_VOCABULARY, _rows(route=f"{SECRET}, please"))
    yield of("no region", Reason.OUTSIDE_VOCABULARY, _rows(region=None))
    yield of("a language without its k-window", Reason.DIMENSION_NOT_IN_PARTITION, _rows(language="de"))
    yield of(
        "a region in the audience",
        Reason.DIMENSION_NOT_IN_PARTITION,
        _rows(language="de", device_class="phone"),
        replace(header, partition=AUDIENCE),
    )
    yield of("a negative count", Reason.NEGATIVE_COUNT, _rows(turns=-1))
    yield of("no count", Reason.NEGATIVE_COUNT, _rows(turns=None))
    yield of("a count that breaks sums", Reason.COUNT_TOO_LARGE, _rows(tokens_in=COUNT_MAX + 1))
    yield of("more bad than all", Reason.BAD_EXCEEDS_TOTAL, _rows(turn_4000ms_total=3, turn_4000ms_bad=4))


def _of_ndjson(header: FrameHeader) -> Iterator[BadFrame]:
    def of(claim: str, reason: Reason, payload: str) -> BadFrame:
        return BadFrame(claim, reason, payload.encode(), headers_of(header, payload.encode()))

    assert header.content_type == NDJSON and checksum(b"")
    yield of("a line that is no JSON", Reason.MALFORMED_PAYLOAD, f"{{{SECRET}")
    yield of("a line with free text", Reason.CONTENT_FIELD, f'{{"transcript": "{SECRET}"}}')


def _rows(count: int = 1, **values: Any) -> pa.Table:
    """Sound rows, but for the `values` given."""
    known: dict[str, Any] = dict.fromkeys(TURNS.dimensions)
    known |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    known |= dict.fromkeys(TURNS.measure_names, 1) | values
    schema = arrow_schema(TURNS)
    return pa.table({name: pa.array([known[name]] * count, schema.field(name).type) for name in schema.names}, schema)


def _nothing(count: int) -> pa.Table:
    """Nulls and zeros, which compress to next to nothing."""
    return _rows(count, **dict.fromkeys(TURNS.dimensions), **dict.fromkeys(TURNS.measure_names, 0))


async def send_bad(kafka: KafkaAddress, frames: list[BadFrame], partition: int) -> dict[tuple[str, int, int], Reason]:
    """Sends them as they are; where each came to lie, and why it must be refused."""
    producer = AIOKafkaProducer(**kafka.aiokafka_options())
    await producer.start()
    try:
        places = [
            await producer.send_and_wait(
                aggregates(TURNS.name), frame.payload, key=b"intruder", partition=partition, headers=frame.headers
            )
            for frame in frames
        ]
    finally:
        await producer.stop()
    return {
        (place.topic, place.partition, place.offset): frame.reason for place, frame in zip(places, frames, strict=True)
    }


async def send_garbled(kafka: KafkaAddress, frames: list[Frame]) -> dict[tuple[str, int, int], Reason]:
    """One frame of each family that the world has, damaged on its way. The same frame comes whole afterwards, and must be taken then."""
    producer = AIOKafkaProducer(**kafka.aiokafka_options())
    await producer.start()
    sent = {}
    try:
        first = {frame.header.family.name: frame for frame in reversed(frames)}
        assert first.keys() >= {"turns", "stages", "streams", "heartbeats"}
        for name, frame in first.items():
            damaged = frame.payload[:-1] + bytes([frame.payload[-1] ^ 0xFF])
            place = await producer.send_and_wait(
                aggregates(name), damaged, key=frame.header.producer.encode(), headers=frame.headers
            )
            sent[place.topic, place.partition, place.offset] = Reason.CHECKSUM_MISMATCH
    finally:
        await producer.stop()
    return sent


async def partition_of(kafka: KafkaAddress, frame: Frame) -> int:
    """Where the frames of this one's producer go."""
    producer = AIOKafkaProducer(**kafka.aiokafka_options())
    await producer.start()
    try:
        topic = aggregates(frame.header.family.name)
        await producer.partitions_for(topic)
        return int(producer._partition(topic, None, None, None, frame.header.producer.encode(), None))
    finally:
        await producer.stop()
