"""`turnwatch dead-letters`: what was refused, by reason, topic and producer, and where it lies.

The topic is read to the end that it has when the command starts. A letter that was written twice, as after a crash, is
counted once; what is no letter at all is counted and said.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.counted import counted
from schemas.failures import BadInput, Undecodable
from schemas.instants import utc_text
from schemas.kafka import KafkaAddress
from schemas.rejections import DeadLetter, Position, Reason, shown
from schemas.topics import DEAD_LETTERS
from stream_jobs.agents.reading import Reader
from turnwatch.places import kafka
from turnwatch.printable import printable
from turnwatch.reading import reader_of
from turnwatch.settings import load

Format = Literal["table", "json"]

EXAMPLES_MAX = 3
PIPED_WIDTH = 10_000
_SPAN = re.compile(r"^(\d{1,6})([smhd])$")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant: those refused since then, for this reason, in this topic."""

    since_ms: int | None = None
    reason: str | None = None
    topic: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        return self.reason in (None, letter.reason) and self.topic in (None, letter.topic)

    @property
    def words(self) -> str:
        """What was asked for, for the end of a sentence."""
        told = [f" for reason {self.reason}"] if self.reason else []
        told += [f" in topic {self.topic}"] if self.topic else []
        told += [f" since {utc_text(self.since_ms)}"] if self.since_ms is not None else []
        return "".join(told)


@dataclass(frozen=True, slots=True)
class Written:
    """A letter, and when it was written."""

    letter: DeadLetter
    at_ms: int


@dataclass(frozen=True, slots=True)
class Found:
    """Letters by position, each once, and how many records of the topic were none."""

    letters: tuple[Written, ...]
    unreadable: int


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one reason, topic and producer."""

    reason: str
    topic: str
    producer: str | None
    count: int
    first_ms: int
    last_ms: int
    detail: str
    examples: tuple[Position, ...]


def run_dead_letters(since: str | None, reason: str | None, output: Format) -> int:
    """Prints the dead letters of the settings' Kafka, and returns the exit code."""
    choice = chosen(since, reason, None)
    found = asyncio.run(_found(kafka(load()), choice))
    if output == "json":
        print(json.dumps([_as_json(group) for group in grouped(found.letters)], indent=2))
    else:
        show(found, choice, sys.stdout)
    if found.unreadable:
        print(
            f"turnwatch: topic {DEAD_LETTERS} has {counted(found.unreadable, 'record that is no dead letter', 'records that are no dead letters')}.",
            file=sys.stderr,
        )
    return 0


def chosen(since: str | None, reason: str | None, topic: str | None) -> Choice:
    """What the options mean, or `BadInput`."""
    known = [each.value for each in Reason]
    if reason is not None and reason not in known:
        (nearest,) = get_close_matches(reason, known, n=1, cutoff=0)
        raise BadInput(f"There is no reason {reason!r}: did you mean {nearest}?")
    return Choice(None if since is None else int(time.time() * 1_000) - span_ms(since), reason, topic)


def span_ms(text: str) -> int:
    """A span as one writes it.

    >>> span_ms("90s"), span_ms("2d")
    (90000, 172800000)
    """
    match = _SPAN.match(text)
    if match is None:
        raise BadInput(f"{text!r} is no span of time: write a number and a unit (s, m, h or d), such as 30m.")
    return int(match[1]) * _UNIT_MS[match[2]]


async def find(reader: Reader, choice: Choice) -> Found:
    """The letters that are meant, by position; of one that was written twice, the first."""
    letters: dict[Position, Written] = {}
    unreadable = 0
    async for record in reader.records(DEAD_LETTERS, choice.since_ms):
        try:
            letter = DeadLetter.decode(record.value)
        except Undecodable:
            unreadable += 1
            continue
        if choice.takes(letter):
            letters.setdefault(letter.position, Written(letter, record.timestamp))
    return Found(tuple(letters[position] for position in sorted(letters)), unreadable)


def grouped(letters: Sequence[Written]) -> list[Group]:
    """Letters by reason, topic and producer; the most frequent first."""
    by: dict[tuple[str, str, str | None], list[Written]] = {}
    for each in letters:
        by.setdefault((each.letter.reason, each.letter.topic, each.letter.producer), []).append(each)
    groups = [
        Group(
            *key,
            count=len(written),
            first_ms=min(each.at_ms for each in written),
            last_ms=max(each.at_ms for each in written),
            detail=written[0].letter.detail,
            examples=tuple(each.letter.position for each in written[:EXAMPLES_MAX]),
        )
        for key, written in by.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.reason, group.topic, group.producer or ""))


def show(found: Found, choice: Choice, stream: TextIO) -> None:
    """A table of what was refused, or a sentence where nothing was."""
    console = Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, highlight=False)
    if not found.letters:
        console.print(f"Nothing was refused{choice.words}: there are no dead letters.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("reason", "topic", "producer", "count", "first", "last", "why", "for example"):
        table.add_column(name, justify="right" if name == "count" else "left", overflow="fold")
    for group in grouped(found.letters):
        table.add_row(*map(_printable, _cells(group)))
    console.print(table)
    count = counted(len(found.letters), "dead letter")
    console.print(f"{count}{choice.words}; `turnwatch redrive` puts them through again.")


def _cells(group: Group) -> Iterable[str]:
    return (
        group.reason,
        group.topic,
        group.producer or "unknown",
        f"{group.count:,}",
        utc_text(group.first_ms),
        utc_text(group.last_ms),
        group.detail,
        ", ".join(f"{partition}:{offset}" for _, partition, offset in group.examples),
    )


def _as_json(group: Group) -> dict[str, Any]:
    return {
        "reason": group.reason,
        "topic": group.topic,
        "producer": group.producer,
        "count": group.count,
        "first": utc_text(group.first_ms),
        "last": utc_text(group.last_ms),
        "detail": group.detail,
        "examples": [shown(position) for position in group.examples],
    }


def _printable(text: str) -> Text:
    """Plain text: whoever may write to the topic must not move a terminal's cursor."""
    return Text(printable(text))


async def _found(address: KafkaAddress, choice: Choice) -> Found:
    async with reader_of(address) as reader:
        return await find(reader, choice)
