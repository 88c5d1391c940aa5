"""Rows from a folder of frames: what producers sent, opened and cut into slices as intake does.

A frame is a file `NAME.arrow` or `NAME.ndjson` with its Kafka headers as JSON beside it, `NAME.arrow.headers.json`. A
repeat counts once; a frame that breaks the contract is named, with what is wrong with it. Nothing is late here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from schemas.families import STAGE_LATENCIES, Family
from schemas.frames import FrameHeader, decode_header
from schemas.rejections import Rejected
from schemas.slos import Slo
from stream_jobs.operators.totals.opening import Record, open_records
from turnwatch.backtest.bounds import Threshold, bounded
from turnwatch.backtest.series import TEN_SECONDS_MS, Batch, Gathering, Series, Span

HEADERS = ".headers.json"
BATCH_FRAMES = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it stands in its files."""

    path: Path
    header: FrameHeader
    headers: dict[str, bytes]

    @property
    def identity(self) -> tuple[str, int, str, int]:
        """By which repeats are known."""
        header = self.header
        return header.producer, header.incarnation, header.family.name, header.sequence

    @property
    def order(self) -> tuple[int, str]:
        return self.header.window_end_ms, self.path.name


def has_frames(folder: Path) -> bool:
    return any(folder.glob(f"*{HEADERS}"))


def read_frames(folder: Path, slo: Slo, threshold: Threshold | None) -> tuple[Series, ...]:
    """The counts of the objective; of an uncounted threshold the fewest bad turns, and the most."""
    family = slo.family if threshold is None else STAGE_LATENCIES
    frames = [frame for frame in _frames(folder) if frame.header.family is family]
    if not frames:
        raise BadInput(f"{folder}: there are no frames of family {family.name}, from which this is counted.")
    rows = _totals(family, frames).sort("slice", "bucket_start_ms")
    if threshold is None:
        counted = [rows.select("slice", "bucket_start_ms", bad=slo.indicator.bad, total=slo.indicator.total)]
    else:
        counted = _between(rows, threshold)
    return tuple(_gathered(folder, slo, each) for each in counted)


def _frames(folder: Path) -> Iterator[Frame]:
    for beside in sorted(folder.glob(f"*{HEADERS}")):
        path = beside.with_name(beside.name.removesuffix(HEADERS))
        if not path.is_file():
            raise BadInput(f"{beside}: the frame of these headers is missing: it would be {path.name}.")
        try:
            written = json.loads(beside.read_text(encoding="utf-8"))
            headers = {name: str(value).encode() for name, value in written.items()}
        except (ValueError, AttributeError):
            raise BadInput(f"{beside}: these are no headers of a frame: write a JSON object of texts.") from None
        header = decode_header(headers.get("tw-family", b"").decode("ascii", "replace"), headers)
        if isinstance(header, Rejected):
            raise BadInput(f"{beside}: {header.detail}")
        yield Frame(path, header, headers)


def _totals(family: Family, frames: Iterable[Frame]) -> pl.DataFrame:
    """Slice, the family's keys, bucket_start_ms and measures, summed over producers. `frames` are all of one family."""
    ordered = sorted({frame.identity: frame for frame in frames}.values(), key=lambda frame: frame.order)
    slices: list[pl.DataFrame] = []
    for first in range(0, len(ordered), BATCH_FRAMES):
        records = [_record(offset, ordered[offset]) for offset in range(first, min(first + BATCH_FRAMES, len(ordered)))]
        opened = open_records(family, records)
        for refusal in opened.refusals:
            raise BadInput(f"{ordered[refusal.offset].path}: {refusal.rejected.detail}")
        for frames_of in opened.frames:
            for place, (reason, column) in frames_of.broken.items():
                path = ordered[frames_of.frames[place].offset].path
                raise BadInput(f"{path}: column {column} breaks the contract ({reason.value}).")
            slices.append(frames_of.slices)
    return (
        pl.concat(slices)
        .group_by("slice", *family.key_names, "bucket_start_ms")
        .agg(pl.col(family.measure_names).sum())
    )


def _record(offset: int, frame: Frame) -> Record:
    return Record(offset, frame.header.window_end_ms, frame.headers, frame.path.read_bytes())


def _between(rows: pl.DataFrame, threshold: Threshold) -> list[pl.DataFrame]:
    surely, possibly = bounded(threshold)
    of_stage = rows.filter(pl.col("stage") == threshold.stage)
    summed = of_stage.group_by("slice", "bucket_start_ms", maintain_order=True).agg(
        surely=surely, possibly=possibly, total=pl.col("observations").sum()
    )
    return [summed.select("slice", "bucket_start_ms", name, "total") for name in ("surely", "possibly")]


def _gathered(folder: Path, slo: Slo, rows: pl.DataFrame) -> Series:
    rows = rows.rename({rows.columns[2]: "bad"})
    if rows.is_empty():
        raise BadInput(f"{folder}: the frames count nothing that {slo.name} judges.")
    instants_ms = rows["bucket_start_ms"].to_numpy()
    span = Span(int(instants_ms.min()), int(instants_ms.max()) + TEN_SECONDS_MS, TEN_SECONDS_MS)
    gathering = Gathering(span, slo, str(folder))
    names = rows["slice"].unique(maintain_order=True)
    slices = rows["slice"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    bad, total = (rows[name].to_numpy() for name in ("bad", "total"))

    def where(row: int) -> str:
        return f"{folder}, {names[int(slices[row])]}"

    gathering.add(Batch(names.to_list(), slices, instants_ms, bad, total, where))
    return gathering.series()
