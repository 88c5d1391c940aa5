"""The producers: one connection a region, window by window at the pace of the round, with what goes wrong on the way.

A duplicated frame is sent again at once and once more a few windows later. A corrupted one has a bit of its payload
flipped; its producer hears nothing of that, and sends the good one a window or two later. Besides, every window is
shuffled, and some frames are held back for up to three windows, which is within every family's lateness. A broker that is
away is waited for: what was not acknowledged is sent again, as any producer has to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Self

import polars as pl

from producers.collector import Frame
from producers.transport import KafkaTransport, NotDelivered
from schemas.frames import encode
from schemas.kafka import KafkaAddress
from schemas.rows import arrow_schema
from turnwatch.bench.faults.schedule import STORM_WINDOWS, WINDOWS, FrameFault
from turnwatch.bench.faults.world import REGIONS, Told, World

log = logging.getLogger("turnwatch.bench.faults")

HELD_SHARE = 0.03
HELD_WINDOWS_MAX = 3
DELIVERY_TIMEOUT_S = 20.0
"""A broker that restarts is back in a few seconds; after this long a producer starts anew and sends again."""
PAUSE_S = 0.5

OnFault = Callable[[FrameFault, str], None]


@dataclass(slots=True)
class Sent:
    """What went out, for whoever watches."""

    windows: int = 0
    frames: int = 0
    turns: int = 0
    duplicated: int = 0
    corrupted: int = 0
    held_back: int = 0
    sent_again: int = 0


def framed(told: Told) -> Frame:
    """A frame as its producer sends it."""
    family = told.header.family
    table = told.rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema(family))
    headers, payload = encode(told.header, table)
    return Frame(told.header, headers, payload, len(told.rows))


def corrupted(frame: Frame, chance: Random) -> Frame:
    """The frame with one bit of its payload flipped, under the headers of the good one."""
    payload = bytearray(frame.payload)
    payload[chance.randrange(len(payload))] ^= 1 << chance.randrange(8)
    return Frame(frame.header, frame.headers, bytes(payload), frame.rows)


@dataclass(slots=True)
class Disturbance:
    """Decides what is sent with each window: its frames, what was held back before, and what goes wrong with them."""

    chance: Random
    faults: Iterable[FrameFault]
    on_fault: OnFault
    sent: Sent
    _due: defaultdict[int, list[Frame]] = field(default_factory=lambda: defaultdict(list))

    def of_window(self, number: int, frames: list[Frame]) -> list[Frame]:
        """What goes out now. `number` counts from 0 in each round; when the storm ends nothing is held back."""
        outgoing = [frame for frame in frames if not self._is_held(number, frame)]
        for fault in self.faults:
            if fault.window == number:
                self._disturb(fault, outgoing, number)
        outgoing += self._due.pop(number, [])
        if number == STORM_WINDOWS - 1:
            outgoing += [frame for due in self._due.values() for frame in due]
            self._due.clear()
        self.chance.shuffle(outgoing)
        return outgoing

    def _is_held(self, number: int, frame: Frame) -> bool:
        if self.chance.random() >= HELD_SHARE or number + HELD_WINDOWS_MAX >= STORM_WINDOWS:
            return False
        self._due[number + self.chance.randint(1, HELD_WINDOWS_MAX)].append(frame)
        self.sent.held_back += 1
        return True

    def _disturb(self, fault: FrameFault, outgoing: list[Frame], number: int) -> None:
        place = int(fault.pick * len(outgoing))
        frame = outgoing[place]
        if fault.kind == "duplicated":
            outgoing.append(frame)
            self._due[number + self.chance.randint(1, HELD_WINDOWS_MAX)].append(frame)
            self.sent.duplicated += 1
        else:
            outgoing[place] = corrupted(frame, self.chance)
            self._due[number + self.chance.randint(1, 2)].append(frame)
            self.sent.corrupted += 1
        header = frame.header
        self.on_fault(fault, f"{header.family.name} {header.sequence} of {header.producer}")


class Producers:
    """One transport a region, each begun anew when it could not deliver."""

    def __init__(self, kafka: KafkaAddress, sent: Sent) -> None:
        self._kafka, self._sent = kafka, sent
        self._transports: dict[str, tuple[AsyncExitStack, KafkaTransport]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for region in list(self._transports):
            await self._close(region)

    async def send(self, frames: Iterable[Frame]) -> None:
        """Returns when Kafka has every frame, however long that takes."""
        of_region: defaultdict[str, list[Frame]] = defaultdict(list)
        for frame in frames:
            of_region[next(name for name in REGIONS if name in frame.header.producer)].append(frame)
        await asyncio.gather(*(self._persist(region, mine) for region, mine in of_region.items()))

    async def _persist(self, region: str, frames: list[Frame]) -> None:
        while True:
            try:
                transport = await self._transport(region)
                await transport.send(frames)
                return
            except NotDelivered as error:
                log.info("not_delivered: %s", error)
                self._sent.sent_again += len(frames)
                await self._close(region)
                await asyncio.sleep(PAUSE_S)

    async def _transport(self, region: str) -> KafkaTransport:
        if region not in self._transports:
            stack = AsyncExitStack()
            transport = KafkaTransport(self._kafka, DELIVERY_TIMEOUT_S)
            self._transports[region] = (stack, await stack.enter_async_context(transport))
        return self._transports[region][1]

    async def _close(self, region: str) -> None:
        if region not in self._transports:
            return
        stack, _ = self._transports.pop(region)
        await stack.__aexit__(NotDelivered, NotDelivered("begun anew"), None)


async def send_windows(
    world: World, round_: int, numbers: range, producers: Producers, disturbance: Disturbance, lasting_s: float
) -> list[Told]:
    """Sends windows of a round evenly over `lasting_s`, unless the broker was away for longer; what was told in them."""
    clock = asyncio.get_running_loop().time
    begun, told = clock(), []
    for place, number in enumerate(numbers):
        await asyncio.sleep(max(0.0, begun + place * lasting_s / len(numbers) - clock()))
        window = world.window(round_ * WINDOWS + number)
        told += window
        await producers.send(disturbance.of_window(number, [framed(each) for each in window]))
        _count(disturbance.sent, window)
    return told


def _count(sent: Sent, window: list[Told]) -> None:
    sent.windows += 1
    sent.frames += len(window)
    sent.turns += sum(
        int(each.rows["turns"].sum())
        for each in window
        if (each.header.family.name, each.header.partition.name) == ("turns", "operational")
    )
