"""Frames as NDJSON, one row a line, for producers that have no Arrow. Same rows, same headers, same identity."""

from __future__ import annotations

import json

import pyarrow as pa

from schemas.frames import NDJSON, FrameHeader, headers_of


def encode(header: FrameHeader, rows: pa.Table) -> tuple[list[tuple[str, bytes]], bytes]:
    """Kafka headers and payload of an NDJSON frame; its lines carry the columns of its privacy partition only."""
    assert header.content_type == NDJSON
    columns = [*header.partition.dimensions, *header.family.key_names, *header.family.measure_names]
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows.select(columns).to_pylist()]
    payload = "".join(f"{line}\n" for line in lines).encode()
    return headers_of(header, payload), payload
