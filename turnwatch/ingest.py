"""`turnwatch ingest`: NDJSON observations of a file or of standard input, and what became of them."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from io import FileIO
from threading import Thread

from producers.drive import WallClock
from producers.ingesting import Ingested, Ingestion, ingest
from producers.line_reading import Lines
from producers.observation_lines import COLUMNS, ObservationLines
from producers.transport import KafkaTransport, NotDelivered
from schemas.counted import counted
from schemas.dimensions import DIMENSIONS, SLUG
from schemas.failures import BadInput
from schemas.families import FAMILIES, TURNS
from schemas.kafka import KafkaAddress
from schemas.refusals import MEANINGS
from turnwatch.long_running import asked_to_stop
from turnwatch.places import kafka
from turnwatch.settings import load

REFUSED = 1
MOMENT_S = 1.0
"""A pipe that is quiet for so long lets windows end."""
CHUNKS_AHEAD = 4


def run_ingest(source: str, kind: str | None, producer: str, region: str, is_live: bool) -> int:
    """Ingests and says what became of the lines; 1 where some were refused."""
    _require(kind, producer, region)
    address = kafka(load())
    lines = ObservationLines(secrets.token_bytes(32), kind, region)
    ingestion = Ingestion(producer, region, lines, WallClock(), is_live)
    with _opened(source) as stream:
        try:
            return _told(asyncio.run(_all_of(stream, ingestion, address)))
        except NotDelivered:
            _tell_how_far(ingestion.ingested, source)
            raise


async def _all_of(stream: FileIO, ingestion: Ingestion, address: KafkaAddress) -> Ingested:
    """Until the stream ends, or somebody asks for the end."""
    stop = asked_to_stop()
    async with KafkaTransport(address) as transport:
        return await ingest(ingestion, _chunks(stream, stop), transport, stop)


def _require(kind: str | None, producer: str, region: str) -> None:
    if kind is not None and kind not in COLUMNS:
        raise BadInput(f"--kind has to be one of {', '.join(COLUMNS)}.")
    if not re.fullmatch(SLUG, producer):
        raise BadInput(f"--producer has to match {SLUG}.")
    if not re.fullmatch(DIMENSIONS["region"].full_pattern, region):
        raise BadInput("--region has to be a region of the contract, such as eu-west-1.")


def _opened(source: str) -> FileIO:
    """Without a buffer: a read returns what there is."""
    try:
        return FileIO(0, closefd=False) if source == "-" else FileIO(source)
    except OSError as error:
        raise BadInput(f"{source}: {error.strerror}.") from None


async def _chunks(stream: FileIO, stop: asyncio.Event) -> AsyncIterator[list[bytes]]:
    """Lines, as many at once as there are up to a bound, and an empty list now and then where none come."""
    chunks: asyncio.Queue[list[bytes] | None] = asyncio.Queue(CHUNKS_AHEAD)
    # A thread that waits for a pipe cannot be called back: nobody waits for this one.
    Thread(target=_read, args=(Lines(stream), chunks, asyncio.get_running_loop()), daemon=True).start()
    while not stop.is_set():
        try:
            lines = await asyncio.wait_for(chunks.get(), MOMENT_S)
        except TimeoutError:
            lines = []
        if lines is None:
            return
        yield lines


def _read(lines: Lines, chunks: asyncio.Queue[list[bytes] | None], loop: asyncio.AbstractEventLoop) -> None:
    """Puts what there is into the queue, and `None` behind the last."""
    some: list[bytes] | None = []
    while some is not None:
        some = lines.some()
        putting = chunks.put(some)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except (RuntimeError, CancelledError):
            putting.close()
            return  # The loop has ended first.


def _tell_how_far(ingested: Ingested, source: str) -> None:
    """Says what became of the lines until Kafka was away, and with which line to go on; nothing where none was read."""
    lines, progress = ingested.tidings.lines, ingested.progress
    if not lines:
        return
    _tell_lines(ingested)
    there = ingested.tidings.taken.total() - progress.waiting
    doubt = counted(ingested.in_doubt, "frame more may have arrived", "frames more may have arrived")
    ahead = ""
    if progress.arrived_ahead:
        count, last = progress.arrived_ahead
        have = "has arrived and counts" if count == 1 else "have arrived and count"
        ahead = f", and {counted(count, 'line')} behind it, up to line {last:,}, {have} twice if told again"
    print(
        f"Kafka has acknowledged the windows of {counted(there, 'line')} of those that were taken, and not of {progress.waiting:,}"
        f"{f'; {doubt}' if ingested.in_doubt else ''}. Go on with line {progress.first_waiting or lines + 1:,} of "
        f"{'what was read' if source == '-' else source}: what comes before it counts{ahead}. Windows of a minute and longer that were not "
        "over lack it.",
        file=sys.stderr,
    )


def _told(ingested: Ingested) -> int:
    """Says what became of the lines, without a value of any."""
    _tell_lines(ingested)
    if ingested.held_turns:
        held = counted(ingested.held_turns, "turn too few shared stays", "turns too few shared stay")
        print(f"{held} private, in the operational partition only.")
    for family, count in ingested.unfinished.items():
        minutes = FAMILIES[family].partitions[0].k_window_s // 60
        print(
            f"{counted(count, 'observation')} of {family} in a window of {counted(minutes, 'minute')} that is not over: not sent, so ingest "
            "those lines again when it is.",
            file=sys.stderr,
        )
    return REFUSED if ingested.tidings.refused or ingested.unfinished else 0


def _tell_lines(ingested: Ingested) -> None:
    """What was taken, refused and dropped, and how many frames Kafka has."""
    tidings = ingested.tidings
    taken = ", ".join(_taken(kind, count) for kind, count in sorted(tidings.taken.items()) if count) or "nothing"
    blank = f", {tidings.blank:,} of them blank" if tidings.blank else ""
    refused = tidings.refused.total()
    turned_away = f", refused {refused:,}" if refused else ""
    sent = counted(sum(ingested.frames.values()), "frame")
    print(f"{counted(tidings.lines, 'line')}{blank}: took {taken}{turned_away}; sent {sent}.")
    for sentence in tidings.sentences():
        print(sentence, file=sys.stderr)
    for reason, count in sorted((+tidings.refused).items()):
        print(f"Refused: {count:,} × {reason.value} ({MEANINGS[reason]}).", file=sys.stderr)
    for reason, count in sorted((+tidings.dropped).items()):
        print(f"Dropped: {counted(count, 'field')} × {reason.value} ({MEANINGS[reason]}).", file=sys.stderr)


def _taken(kind: str, count: int) -> str:
    """Such as "1 turn"; what is called by no plural is "3 of quality"."""
    return counted(count, "turn") if kind == TURNS.name else f"{count:,} of {kind}"
