"""Records one frame of each family, in both encodings, and what the contract says, as this version writes them.

`python -m tests.contracts.record_frames` writes `frames/vMAJOR.MINOR/`. Once a version is released its folder is never
written again: later decoders have to read it to the same rows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from producers import ndjson
from producers.collector import Collector, Frame
from producers.counting import rows_of
from producers.releases import nobody_serves, release_rows, served
from producers.scenarios import canary
from producers.simulator import hosts, simulate
from schemas.declarations import Family
from schemas.evolution import described
from schemas.families import FAMILIES, RELEASES, TENANTS
from schemas.families.privacy import BECAUSE, FATES
from schemas.frame_rows import decode_rows
from schemas.frames import NDJSON, SCHEMA_MAJOR, SCHEMA_MINOR, FrameHeader, encode
from schemas.rows import arrow_schema
from tests.producers.observed import OBSERVED

FOLDER = Path(__file__).parent / "frames" / f"v{SCHEMA_MAJOR}.{SCHEMA_MINOR}"
START_MS = 1_700_000_040_000 // 60_000 * 60_000
ROWS = 12


def recorded() -> dict[str, bytes]:
    """Relative path and content of every file; the same at every call."""
    files = {"contract.json": _json(described((SCHEMA_MAJOR, SCHEMA_MINOR), FAMILIES.values()))}
    for name, frame in (_first_frames() | _counted_frames()).items():
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
    told = {frame.header.family.name for frame in frames}
    return {name: next(frame for frame in frames if frame.header.family.name == name) for name in told}


def _counted_frames() -> dict[str, Frame]:
    """Frames of families that are not counted from turns, streams or events, of their first privacy partition."""
    counted = {name: rows_of(FAMILIES[name], FAMILIES[name].partitions[0], OBSERVED[name](7)) for name in _COUNTED}
    changes = served(nobody_serves(), OBSERVED["releases"](7))
    counted["releases"] = release_rows(changes, RELEASES.partitions[0])
    fates = {"region": "eu-west-1", "pool": "realtime", "reported_family": "turns"}
    counted["privacy"] = pl.DataFrame(
        [
            fates | {"fate": fate, "because": because, "observations": 20}
            for fate, because in zip(FATES, BECAUSE, strict=False)
        ]
    )
    counted["tenants"] = pl.DataFrame(
        [
            {"pool": "realtime", "tenant": tenant, **dict.fromkeys(TENANTS.measure_names, 20)}
            for tenant in ("*", "t-00000000000000aa")
        ]
    )
    return {name: _frame(FAMILIES[name], rows) for name, rows in counted.items()}


_COUNTED = ("queues", "quality", "costs")


def _frame(family: Family, rows: pl.DataFrame) -> Frame:
    partition = family.partitions[0]
    start_ms = START_MS // (partition.k_window_s * 1_000) * partition.k_window_s * 1_000
    header = FrameHeader(family, partition, "host-eu-west-1-00", START_MS, 0, start_ms)
    absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in rows.columns]
    schema = arrow_schema(family)
    table = rows.with_columns(absent).select(schema.names).to_arrow().cast(schema)
    return Frame(header, *encode(header, table), len(table))


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
