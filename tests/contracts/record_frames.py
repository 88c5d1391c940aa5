"""Records one frame of each family, in both encodings, as this version of the contract writes them.

`python -m tests.contracts.record_frames` writes `frames/vMAJOR.MINOR/`. Once a version is released its folder is never
written again: later decoders have to read it to the same rows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from producers import ndjson
from producers.collector import Collector, Frame
from producers.scenarios import canary
from producers.simulator import hosts, simulate
from schemas.families import FAMILIES
from schemas.frames import NDJSON, SCHEMA_MAJOR, SCHEMA_MINOR, decode_rows, encode

FOLDER = Path(__file__).parent / "frames" / f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}"
START_MS = 1_700_000_040_000 // 60_000 * 60_000
ROWS = 12


def recorded() -> dict[str, bytes]:
    """Relative path and content of every file; the same at every call."""
    files: dict[str, bytes] = {}
    for name, frame in _first_frames().items():
        read = decode_rows(frame.header, dict(frame.headers), frame.payload)
        assert isinstance(read, tuple)
        rows = read[0].slice(0, ROWS)
        files[f"{name}.rows.json"] = _json(rows.to_pylist())
        for suffix, (headers, payload) in _encodings(frame, rows).items():
            files[f"{name}.{suffix}"] = payload
            files[f"{name}.{suffix}.headers.json"] = _json({key: value.decode() for key, value in headers})
    return files


def _first_frames() -> dict[str, Frame]:
    scenario = canary()
    host = hosts(scenario)[0]
    collector = Collector(host.producer, host.region, incarnation=START_MS, opens_at_ms=START_MS)
    chunk = next(iter(simulate(scenario, 7, START_MS, 60_000)))
    collector.observe_turns(chunk.turns[host.producer])
    collector.observe_streams(chunk.streams[host.producer])
    collector.observe_duplex(chunk.duplex[host.producer])
    frames = list(collector.close(chunk.end_ms))
    return {name: next(frame for frame in frames if frame.header.family.name == name) for name in FAMILIES}


def _encodings(frame: Frame, rows: pa.Table) -> dict[str, tuple[list[tuple[str, bytes]], bytes]]:
    return {
        "arrow": encode(frame.header, rows),
        "ndjson": ndjson.encode(replace(frame.header, content_type=NDJSON), rows),
    }


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in recorded().items():
        (FOLDER / path).write_bytes(content)
