"""`turnwatch ingest`: NDJSON observations of a file or of standard input, and what became of them."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator
from io import BufferedReader
from pathlib import Path

from producers.drive import WallClock
from producers.ingesting import Ingested, Ingestion, ingest
from producers.line_reading import Lines
from producers.observation_lines import COLUMNS, ObservationLines
from producers.transport import KafkaTransport
from schemas.dimensions import DIMENSIONS, SLUG
from schemas.failures import BadInput
from schemas.refusals import MEANINGS
from turnwatch.places import kafka
from turnwatch.settings import load

REFUSED = 1
MOMENT_S = 1.0
"""A live pipe that is quiet for so long lets windows end."""


def run_ingest(source: str, kind: str | None, producer: str, region: str, is_live: bool) -> int:
    """Ingests and says what became of the lines; 1 where some were refused."""
    _require(kind, producer, region)
    address = kafka(load())
    ingestion = Ingestion(producer, region, ObservationLines(secrets.token_bytes(32), kind), WallClock(), is_live)

    async def all_of_it() -> Ingested:
        with _opened(source) as stream:
            async with KafkaTransport(address) as transport:
                return await ingest(ingestion, _chunks(stream, is_live), transport)

    try:
        return _told(asyncio.run(all_of_it()))
    except KeyboardInterrupt:
        return _told(ingestion.ingested)


def _require(kind: str | None, producer: str, region: str) -> None:
    if kind is not None and kind not in COLUMNS:
        raise BadInput(f"--kind has to be one of {', '.join(COLUMNS)}.")
    if not re.fullmatch(SLUG, producer):
        raise BadInput(f"--producer has to match {SLUG}.")
    if not re.fullmatch(DIMENSIONS["region"].full_pattern, region):
        raise BadInput("--region has to be a region of the contract, such as eu-west-1.")


def _opened(source: str) -> BufferedReader:
    try:
        return open(0, "rb", closefd=False) if source == "-" else Path(source).open("rb")
    except OSError as error:
        raise BadInput(f"{source}: {error.strerror}.") from None


async def _chunks(stream: BufferedReader, is_live: bool) -> AsyncIterator[list[bytes]]:
    """Lines, as many at once as there are up to a bound; of a quiet live pipe an empty list now and then."""
    lines = Lines(stream)
    reading = asyncio.ensure_future(asyncio.to_thread(lines.some))
    while True:
        done, _ = await asyncio.wait({reading}, timeout=MOMENT_S if is_live else None)
        if not done:
            yield []
            continue
        some = reading.result()
        if some is None:
            return
        yield some
        reading = asyncio.ensure_future(asyncio.to_thread(lines.some))


def _told(ingested: Ingested) -> int:
    """Says what became of the lines, without a value of any."""
    tidings = ingested.tidings
    taken = ", ".join(f"{count:,} {kind}" for kind, count in sorted(tidings.taken.items()) if count) or "nothing"
    print(f"{tidings.lines:,} lines: took {taken}; sent {sum(ingested.frames.values()):,} frames.")
    for sentence in tidings.sentences():
        print(sentence, file=sys.stderr)
    for reason, count in sorted((+tidings.refused).items()):
        print(f"Refused: {count:,} × {reason.value} ({MEANINGS[reason]}).", file=sys.stderr)
    for reason, count in sorted((+tidings.dropped).items()):
        print(f"Dropped: {count:,} fields × {reason.value} ({MEANINGS[reason]}).", file=sys.stderr)
    if ingested.untimely:
        print(f"{ingested.untimely:,} of the inconsistent are from the future, or older than 7 days.", file=sys.stderr)
    if ingested.held_turns:
        print(f"{ingested.held_turns:,} turns too few shared stay private, in the operational partition only.")
    return REFUSED if tidings.refused.total() else 0
