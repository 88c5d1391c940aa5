"""`turnwatch redrive`: refused records once more, after what refused them was mended.

Each is read at its position and appended, as it is, to the partition that it came from, with a header that says from
where. A frame that was refused has passed no fence, which remembers for a week that its number is missing, so it is taken
in then, and once: what is put through twice, by two runs or a crash between, is a repeat. Partials, decisions and rollups are absolutes, so a repeat of those is harmless.
Topic `redriven` keeps what was put through, so that the next run leaves it out; what is refused again has a letter of its
own, at its new position.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.counted import counted
from schemas.failures import BadInput, Foreseen
from schemas.families import FAMILIES
from schemas.kafka import KafkaAddress
from schemas.rejections import DeadLetter, Position, Reason, shown
from schemas.topics import BURNS, FINDINGS, GROWTHS, REDRIVEN, ROLLUPS, SILENCES, SPEND, aggregates, partials
from stream_jobs.agents.reading import Reader
from turnwatch.dead_letters import Choice, chosen, find
from turnwatch.places import kafka
from turnwatch.reading import reader_of
from turnwatch.settings import load

REDRIVEN_FROM = "tw-redriven-from"
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""What our client sends at most; the broker judges what is too large for it."""
BATCH_RECORDS = 200

REDRIVABLE = frozenset(
    {*map(aggregates, FAMILIES), *map(partials, FAMILIES), BURNS, SILENCES, GROWTHS, FINDINGS, SPEND, ROLLUPS}
)
"""What a stage reads. A letter about another topic is none of ours."""

LEFT_OUT = {
    Reason.WINDOW_TOO_OLD: "windows only get older; `--reason window_too_old` puts them through all the same",
    Reason.FENCE_EXPIRED: "a frame whose number was given up cannot be told from a repeat, so these are never put through",
}
"""Reasons that no fix mends, and why they stay where they are unless they are named."""
NEVER = frozenset({Reason.FENCE_EXPIRED})


class NotRedriven(Foreseen):
    """Kafka did not take a record; the message says which, and what became of the others."""


@dataclass(slots=True)
class Tally:
    """What became of the letters that were meant."""

    sent: Counter[str] = field(default_factory=Counter)
    before: int = 0
    gone: Counter[str] = field(default_factory=Counter)
    too_large: int = 0
    foreign: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def run_redrive(since: str | None, reason: str | None, topic: str | None, dry_run: bool) -> int:
    """Puts through what is meant, says what became of it, and returns 1 where Kafka did not take a record."""
    choice = chosen(since, reason, topic)
    _refuse_hopeless(choice)
    tally = asyncio.run(redrive(kafka(load()), choice, dry_run, Console(stderr=True)))
    for line in told(tally, choice, dry_run):
        print(line)
    return 1 if tally.too_large else 0


async def redrive(address: KafkaAddress, choice: Choice, dry_run: bool, console: Console) -> Tally:
    """Puts through again what `choice` means and no run before has put through."""
    async with reader_of(address) as reader, _producer(address) as producer:
        tally = Tally()
        found = await find(reader, choice)
        before = await _put_through_before(reader)
        letters = [each.letter for each in found.letters if _is_wanted(each.letter, choice, before, tally)]
        with _progress(console, len(letters)) as advance:
            for topic, of_topic in groupby(letters, key=lambda letter: letter.topic):
                async for batch in _originals(reader, topic, list(of_topic), tally):
                    if not dry_run:
                        await _put_through(producer, batch, tally)
                    else:
                        tally.sent[topic] += len(batch)
                    advance(len(batch))
    return tally


def told(tally: Tally, choice: Choice, dry_run: bool) -> Iterable[str]:
    """What became of everything, a sentence each."""
    total = tally.sent.total()
    each = f" ({', '.join(f'{topic} {count:,}' for topic, count in sorted(tally.sent.items()))})" if total else ""
    put = ("record would be put", "records would be put") if dry_run else ("record was put", "records were put")
    yield f"{counted(total, *put)} through again{choice.words}{each}."
    if tally.before:
        yield f"{tally.before:,} had been before."
    for topic, count in sorted(tally.gone.items()):
        yield f"{counted(count, 'is', 'are')} gone from {topic}: retention has removed them."
    if tally.too_large:
        yield f"{tally.too_large:,} are too large for the broker to take: raise max.message.bytes of their topic."
    if tally.foreign:
        yield f"{tally.foreign:,} are about topics that no stage reads: somebody else wrote those letters."
    for reason, count in sorted(tally.left_out.items()):
        yield f"{count:,} were left out: {LEFT_OUT[Reason(reason)]}."


def _refuse_hopeless(choice: Choice) -> None:
    if choice.reason in NEVER:
        raise BadInput(f"Reason {choice.reason} cannot be redriven: {LEFT_OUT[Reason(choice.reason)]}.")
    if choice.topic is not None and choice.topic not in REDRIVABLE:
        (nearest,) = get_close_matches(choice.topic, sorted(REDRIVABLE), n=1, cutoff=0)
        raise BadInput(f"No stage reads a topic {choice.topic!r}: did you mean {nearest}?")


def _is_wanted(letter: DeadLetter, choice: Choice, before: set[Position], tally: Tally) -> bool:
    if letter.topic not in REDRIVABLE:
        tally.foreign += 1
        return False
    if letter.reason in NEVER or (letter.reason in LEFT_OUT and choice.reason != letter.reason):
        tally.left_out[letter.reason] += 1
        return False
    if letter.position in before:
        tally.before += 1
        return False
    return True


async def _put_through_before(reader: Reader) -> set[Position]:
    """Positions that the redrive log has; what in it is no entry can at worst cause a repeat."""
    before: set[Position] = set()
    async for record in reader.records(REDRIVEN):
        topic, _, rest = (record.key or b"").decode(errors="replace").partition(":")
        partition, _, offset = rest.partition(":")
        if partition.isdecimal() and offset.isdecimal():
            before.add((topic, int(partition), int(offset)))
    return before


async def _originals(
    reader: Reader, topic: str, letters: Sequence[DeadLetter], tally: Tally
) -> AsyncIterator[list[Any]]:
    """The records that the letters of one topic are about, in batches, in the order of their log."""
    batch: list[Any] = []
    for partition, of_partition in groupby(letters, key=lambda letter: letter.partition):
        offsets = [letter.offset for letter in of_partition]
        async for _, record in reader.records_at(topic, partition, offsets):
            if record is None:
                tally.gone[topic] += 1
                continue
            batch.append(record)
            if len(batch) >= BATCH_RECORDS:
                yield batch
                batch = []
    if batch:
        yield batch


async def _put_through(producer: AIOKafkaProducer, batch: Sequence[Any], tally: Tally) -> None:
    """Appends the records to their partitions, and once Kafka has them, notes in the log that it does."""
    places = await asyncio.gather(*[await _append(producer, record) for record in batch], return_exceptions=True)
    taken = []
    for record, place in zip(batch, places, strict=True):
        if isinstance(place, MessageSizeTooLargeError | RecordListTooLargeError):
            tally.too_large += 1
        elif isinstance(place, BaseException):
            raise NotRedriven(
                f"Kafka did not take {shown(_position(record))} again ({type(place).__name__}): run the command again, "
                "what was put through already is left out or repeats without harm."
            ) from place
        else:
            taken.append((record, place))
    await asyncio.gather(*[await _note(producer, record, place) for record, place in taken])
    for record, _ in taken:
        tally.sent[record.topic] += 1


async def _append(producer: AIOKafkaProducer, record: Any) -> asyncio.Future[Any]:
    """The record as it is, with where it came from in place of where it came from before."""
    headers = [(name, value) for name, value in record.headers if name != REDRIVEN_FROM]
    headers.append((REDRIVEN_FROM, shown(_position(record)).encode()))
    try:
        future: asyncio.Future[Any] = await producer.send(
            record.topic, record.value, key=record.key, partition=record.partition, headers=headers
        )
    except KafkaError as error:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(error)
    return future


async def _note(producer: AIOKafkaProducer, record: Any, place: Any) -> asyncio.Future[Any]:
    entry = {"from": shown(_position(record)), "to": shown((place.topic, place.partition, place.offset))}
    about = json.dumps({**entry, "at_ms": int(time.time() * 1_000)}).encode()
    future: asyncio.Future[Any] = await producer.send(REDRIVEN, about, key=entry["from"].encode(), partition=0)
    return future


def _position(record: Any) -> Position:
    return record.topic, record.partition, record.offset


@asynccontextmanager
async def _producer(address: KafkaAddress) -> AsyncIterator[AIOKafkaProducer]:
    """Not idempotent: what a retry doubles is a repeat, and one record that is too large must not fail the others."""
    producer = AIOKafkaProducer(**address.aiokafka_options(), acks="all", max_request_size=MESSAGE_BYTES_MAX)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """A bar while records go through; how many more have gone is told to what it gives."""
    columns = (TextColumn("putting through"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
