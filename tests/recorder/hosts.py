"""A host with a recorder but no thread and no network: whoever tests it says when a second passes and who answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from producers.observation_batches import Answer, Batch, decode_batch, decode_header
from producers.recorder.buffer import Buffer
from producers.recorder.cells import Defaults
from producers.recorder.clock import Clock, EventTime
from producers.recorder.delivery import Delivery
from producers.recorder.sender import Sender
from producers.recorder.sessions import Keys, SessionHashes
from producers.recorder.spool import NoSpool, Spool
from producers.recorder.tally import Tally
from producers.recorder.turns import RecordsTurns, Turn

START_S = 1_790_000_000.0
KEY = b"a key of the region"
CELL = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
COLLECTOR = "http://collector-0:9471"


@dataclass
class HeldClock:
    """Both clocks stand still until they are moved, together or apart."""

    wall_s: float = START_S
    monotonic_s: float = 100.0

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.wall_s, lambda: self.monotonic_s)


@dataclass
class FakeCollector:
    """Takes every batch once. `answer` is what it says instead, `loses_answers` whether it takes and does not say so; it fails
    at batches whose numbers are in `fails_at`."""

    answer: Answer | None = None
    loses_answers: bool = False
    fails_at: set[int] = field(default_factory=set)
    taken: dict[tuple[str, str, int, str, int], Batch] = field(default_factory=dict)
    asked: int = 0

    def __call__(self, address: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        self.asked += 1
        if self.answer is not None:
            return self.answer
        header = decode_header(headers)
        if header.sequence in self.fails_at:
            return Answer(500, error="The collector failed at this request.")
        batch = decode_batch(header, body)
        known = (address, header.recorder, header.incarnation, header.kind, header.sequence)
        is_repeated = known in self.taken
        self.taken.setdefault(known, batch)
        return Answer(0) if self.loses_answers else Answer(200, len(batch.rows), {}, is_repeated)

    def rows(self, kind: str = "turns") -> pl.DataFrame:
        return pl.concat([batch.rows for batch in self.taken.values() if batch.header.kind == kind])

    def sequences(self, incarnation: int, address: str = COLLECTOR, kind: str = "turns") -> list[int]:
        """In the order in which they came."""
        return [known[4] for known in self.taken if (known[0], known[2], known[3]) == (address, incarnation, kind)]

    def told(self, kind: str = "turns") -> tuple[int, int]:
        """What was seen and dropped according to the newest batch of every stream."""
        newest: dict[tuple[str, str, int], tuple[int, int, int]] = {}
        for (address, recorder, incarnation, of, sequence), batch in self.taken.items():
            stream, totals = (address, recorder, incarnation), (sequence, batch.header.seen, batch.header.dropped)
            if of == kind:
                newest[stream] = max(newest.get(stream, totals), totals)
        return sum(seen for _, seen, _ in newest.values()), sum(dropped for _, _, dropped in newest.values())

    def refused(self, kind: str = "turns") -> dict[str, int]:
        """What the recorders of one kind refused themselves, as the newest batch says it."""
        (header,) = [batch.header for batch in self.taken.values() if batch.header.kind == kind][-1:]
        return dict(header.refused)

    def withheld(self, kind: str = "turns") -> dict[str, int]:
        """What the newest batch of a kind says of fields that were dropped, and of observations of no known kind."""
        (header,) = [batch.header for batch in self.taken.values() if batch.header.kind == kind][-1:]
        return dict(header.withheld)


@dataclass
class Host(RecordsTurns):
    """One start of a recorder on a host."""

    root: Path | None
    collector: FakeCollector
    time: HeldClock = field(default_factory=HeldClock)
    incarnation: int = 1
    addresses: tuple[str, ...] = (COLLECTOR,)
    rows_max: int = 10_000
    spool_bytes_max: int = 10_000_000
    name: str = "host-1"
    keys: Keys = field(default_factory=lambda: SessionHashes(KEY))

    def __post_init__(self) -> None:
        clock = self.time.clock
        self.tally = Tally()
        self.buffer = self._buffer = Buffer(clock.monotonic, self.rows_max, self.tally)
        self._defaults = Defaults().changed(CELL)
        name = f"{self.name}-{self.incarnation}"
        self.spool = NoSpool() if self.root is None else Spool(self.root, name, self.spool_bytes_max)
        delivery = Delivery(
            self.name, self.incarnation, self.addresses, self.collector, self.spool, self.tally, clock.monotonic
        )
        self.delivery = delivery
        self.sender = Sender(self.name, self.addresses, self.buffer, self.keys, EventTime(clock), delivery, self.tally)

    def turn(self, /, session: object = "call-1", **dimensions: Any) -> Turn:
        return super().turn(session, **dimensions)

    def change(self, **dimensions: str | None) -> None:
        self._defaults = self._defaults.changed(dimensions)

    def turns(self, count: int) -> None:
        for number in range(count):
            with self.turn(f"call-{number}"):
                self.time.pass_s(0.001)

    def event(self, kind: str, session: object = None, **values: Any) -> None:
        self.buffer.put_event(kind, [session, self._defaults, values, self.time.monotonic_s])

    def cycle(self, seconds: float = 1.0, is_last: bool = False) -> None:
        """A round of sending, after this many seconds."""
        self.time.pass_s(seconds)
        self.sender.cycle(self.time.monotonic_s + 10.0, is_last)

    def close(self) -> None:
        self.delivery.try_at_once()
        self.cycle(is_last=True)
        self.spool.close()

    def killed(self) -> None:
        """Nothing is flushed; the operating system lets go of the locks."""
        self.spool.disown()

    def dropped(self) -> Counter[str]:
        """Turns, by reason."""
        prefix = "turns_dropped_"
        return Counter({name[len(prefix) :]: count for name, count in self.tally.totals().items() if prefix in name})
