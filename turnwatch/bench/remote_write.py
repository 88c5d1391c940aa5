"""Counters of many slices as Prometheus's remote write takes them: a protobuf message in Snappy, some thousand series each.

A series with its whole past is one `TimeSeries` (labels, then samples), which Prometheus takes in far faster than scrapes,
or blocks that promtool makes. Layout: `prompb/remote.proto` and `prompb/types.proto` of Prometheus.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.metrics import SLO_BAD_EVENTS, SLO_EVENTS
from schemas.slices import slice_dimensions
from stack.failures import StackFailure
from stack.machine import LOOPBACK

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
REQUEST_BYTES = 4 << 20
"""About so many a request, before Snappy."""
TIMEOUT_S = 60.0
_SERIES, _LABEL, _SAMPLE = 0x0A, 0x0A, 0x12
_VALUE, _TIMESTAMP = 0x09, 0x10
_TIMESTAMP_BYTES = 6
"""What a varint takes for milliseconds since the epoch, from the year 1971 to the year 2109."""
_SAMPLE_DTYPE = np.dtype(
    [("key", "u1"), ("size", "u1"), ("value_key", "u1"), ("value", "<f8"), ("time_key", "u1"), ("time", "u1", 6)]
)


@dataclass(frozen=True, slots=True)
class Past:
    """Samples of both counters of one slice, as bytes of their messages."""

    bad: bytes
    events: bytes


def past(times_ms: NDArray[np.int64], bad: NDArray[np.int64], events: NDArray[np.int64]) -> Past:
    """Counters that are at so much at these instants."""
    return Past(samples(times_ms, bad), samples(times_ms, events))


def samples(times_ms: NDArray[np.int64], values: NDArray[np.int64]) -> bytes:
    """The `samples` of a `TimeSeries`."""
    assert times_ms.min() >= 1 << 35 and times_ms.max() < 1 << 42, "timestamps are ms since the epoch"
    rows = np.zeros(len(times_ms), _SAMPLE_DTYPE)
    rows["key"], rows["size"] = _SAMPLE, _SAMPLE_DTYPE.itemsize - 2
    rows["value_key"], rows["value"] = _VALUE, values
    rows["time_key"], rows["time"] = _TIMESTAMP, _varints(times_ms)
    return rows.tobytes()


def counters(slices: Iterable[str], slos: Sequence[str], pasts: Sequence[Past]) -> Iterator[bytes]:
    """Both counters of each slice and objective, as a worker names them; the pasts in turn."""
    pairs = ((text, slo) for text in slices for slo in slos)
    for place, (text, slo) in enumerate(pairs):
        labels, told = {"slo": slo, "slice": text, **slice_dimensions(text)}, pasts[place % len(pasts)]
        yield _series({**labels, "__name__": f"{SLO_BAD_EVENTS}_total"}, told.bad)
        yield _series({**labels, "__name__": f"{SLO_EVENTS}_total"}, told.events)


def requests(series: Iterable[bytes]) -> Iterator[bytes]:
    """Bodies of requests with all the series."""
    gathered: list[bytes] = []
    size = 0
    for each in series:
        gathered.append(each)
        size += len(each)
        if size >= REQUEST_BYTES:
            yield _body(gathered)
            gathered, size = [], 0
    if gathered:
        yield _body(gathered)


def send(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Hands one request to Prometheus; `StackFailure` with its own words where it refuses."""
    connection.request("POST", "/api/v1/write", body, HEADERS)
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace").strip()
    if answer.status >= 300:
        raise StackFailure(f"Prometheus did not take the counters in: {answer.status}, {said[:200]!r}.")


def connected(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)


def _body(series: Sequence[bytes]) -> bytes:
    compressed: bytes = pa.compress(b"".join(series), codec="snappy", asbytes=True)
    return compressed


def _series(labels: Mapping[str, str], told: bytes) -> bytes:
    """One `TimeSeries` of a `WriteRequest`; Prometheus wants labels in order."""
    named = b"".join(_delimited(_LABEL, _label(name, value)) for name, value in sorted(labels.items()))
    return _delimited(_SERIES, named + told)


def _label(name: str, value: str) -> bytes:
    return _delimited(0x0A, name.encode()) + _delimited(0x12, value.encode())


def _delimited(key: int, content: bytes) -> bytes:
    return bytes((key,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set."""
    told = bytearray()
    while number > 0x7F:
        told.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*told, number))


def _varints(times_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The same for many numbers of six such bytes; of shape (n, 6)."""
    septets = times_ms[:, None] >> (7 * np.arange(_TIMESTAMP_BYTES)) & 0x7F
    septets[:, :-1] |= 0x80
    return septets.astype(np.uint8)
