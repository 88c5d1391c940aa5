"""The recorder: what a serving process makes once, and tells of every turn.

Recording costs a few microseconds on the serving thread and never waits, blocks or raises; a thread of its own does the
rest every second. Only making a recorder raises, with a sentence, where its settings cannot be meant.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import socket
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from producers.observation_batches import OBSERVATIONS
from producers.recorder.buffer import TURNS, Buffer
from producers.recorder.cells import Defaults, is_allowed
from producers.recorder.clock import Clock, EventTime
from producers.recorder.delivery import Delivery, Post
from producers.recorder.http import Http
from producers.recorder.sender import Sender
from producers.recorder.sessions import Keys, SessionHashes, pseudonym_of
from producers.recorder.spool import NoSpool, Spool
from producers.recorder.streams import Stream
from producers.recorder.tally import Tally
from producers.recorder.turns import RecordsTurns
from schemas.counted import counted
from schemas.dimensions import DIMENSIONS, SLUG
from schemas.failures import BadInput
from schemas.families import UNKNOWN

FLUSH_INTERVAL_S = 1.0
CYCLE_S_MAX = 10.0
"""Longest that one round of sending takes before what was recorded meanwhile is taken from the buffer."""
CLOSE_S = 5.0
BUFFER_ROWS = 20_000
SPOOL_BYTES_MIN, SPOOL_BYTES_MAX = 100_000, 64_000_000
_newest_incarnation = 0
_incarnations = threading.Lock()


class Recorder(RecordsTurns):
    """Records turns and what else a serving process sees, and reports it to collectors.

    `collectors` are the addresses of the region's collectors; each session is reported to one of them. `session_key` is
    the key of the session hashes, the same for all recorders of a region, or somebody who holds keys that change. `spool` is a folder for what no collector has
    taken yet; processes may share it. `dimensions` are the values of everything that is recorded, unless it says
    otherwise. Make it after a fork, not before.
    """

    def __init__(
        self,
        collectors: Sequence[str],
        session_key: bytes | Keys,
        spool: Path | str,
        dimensions: Mapping[str, str | None] | None = None,
        *,
        name: str | None = None,
        cafile: str | None = None,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        buffer_rows: int = BUFFER_ROWS,
        spool_bytes_max: int = SPOOL_BYTES_MAX,
        clock: Clock | None = None,
        post: Post | None = None,
    ) -> None:
        if spool_bytes_max < SPOOL_BYTES_MIN:
            raise BadInput(
                f"The spool of a recorder needs room for {SPOOL_BYTES_MIN} bytes: every batch names its columns."
            )
        self._clock = clock or Clock()
        self._addresses = _addresses(collectors)
        self._post = post or Http(self._addresses, cafile).post
        self._spool_root, self._spool_bytes_max = Path(spool), spool_bytes_max
        self._interval_s = flush_interval_s
        self._sessions = _keys(session_key)
        self._defaults = Defaults().changed(self._sound(dimensions or {}))
        self.name = _name(name)
        self.incarnation = _incarnation(self._clock)
        self._tally = Tally()
        self._buffer = Buffer(self._clock.monotonic, buffer_rows, self._tally)
        self._spool: NoSpool = NoSpool()
        self._stop = threading.Event()
        self._close_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="turnwatch-recorder", daemon=True)
        self._thread.start()
        self._at_exit = _close_later(weakref.ref(self))
        atexit.register(self._at_exit)
        os.register_at_fork(after_in_child=_shut_later(weakref.ref(self)))

    def stream(self, session: object, **dimensions: Any) -> Stream:
        """A call of this session: it starts with the `with` block and ends with it."""
        return Stream(self, session, dimensions)

    def stream_started(self, session: object, **dimensions: Any) -> None:
        self.observe("streams", session, **{**dimensions, "is_start": True})

    def stream_ended(self, session: object) -> None:
        self.observe("streams", session, is_start=False)

    def duplex(self, duplex_event: str, session: object = None, **values: Any) -> None:
        """A full-duplex event whose outcome is known now, with dimensions and what its kind asks for."""
        self.observe("duplex", session, **{**values, "duplex_event": duplex_event})

    def observe(self, kind: str, session: object = None, /, **values: Any) -> None:
        """An observation of any kind but turns, as of now: dimensions and columns of the kind, by name."""
        try:
            known = kind if isinstance(kind, str) and kind in OBSERVATIONS and kind != TURNS else UNKNOWN
            self._buffer.put_event(known, [session, self._defaults, values, self._clock.monotonic()])
        except Exception as error:
            self._tally.fail("internal", "an observation could not be recorded", error)

    def change(self, **dimensions: str | None) -> None:
        """Other values from now on, or none of an identifying dimension (`None`). Turns that have begun keep theirs; a value that is
        not allowed changes nothing."""
        try:
            self._defaults = self._defaults.changed(self._sound(dimensions))
        except Exception as error:
            self._tally.fail("change_refused", "a change of dimensions is not allowed; they stay as they were", error)

    def totals(self) -> dict[str, int]:
        """What became of everything so far, by kind and reason; `waiting` is still in memory, `spool_…` went through the spool."""
        return self._tally.totals() | self._spool.flow.totals() | {"waiting": len(self._buffer)}

    def close(self, deadline_s: float = CLOSE_S) -> None:
        """Sends what waits, for at most `deadline_s`, and leaves the rest in the spool. Afterwards nothing is recorded."""
        if not self._stop.is_set():
            self._close_at_s = self._clock.monotonic() + deadline_s
            self._stop.set()
            atexit.unregister(self._at_exit)
        self._thread.join(deadline_s + 1.0)

    async def aclose(self, deadline_s: float = CLOSE_S) -> None:
        """`close`, without holding up the event loop."""
        await asyncio.to_thread(self.close, deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def _sound(self, dimensions: Mapping[str, str | None]) -> Mapping[str, str | None]:
        """The same dimensions; raises `BadInput` where a name or a value is not allowed."""
        is_named = pseudonym_of(self._sessions) is not None
        for name, value in dimensions.items():
            if name not in DIMENSIONS:
                raise BadInput(
                    f"A recorder was given a dimension that there is not; there are {', '.join(DIMENSIONS)}."
                )
            if value is None and DIMENSIONS[name].is_identifying:
                continue
            if not is_allowed(name, value) and not (name == "tenant" and is_named and isinstance(value, str)):
                raise BadInput(f"The value given for dimension {name} is not one of those that it allows.")
        return dimensions

    def _run(self) -> None:
        """The sending thread, from the first second to the last."""
        try:
            self._send_until_closed()
        except Exception as error:
            self._buffer.shut("internal")
            self._tally.fail("internal", "the sending thread ended; nothing is recorded from now on", error)

    def _send_until_closed(self) -> None:
        event_time = EventTime(self._clock)
        self._spool = spool = self._open_spool()
        delivery = Delivery(
            self.name, self.incarnation, self._addresses, self._post, spool, self._tally, self._clock.monotonic
        )
        sender = Sender(self.name, self._addresses, self._buffer, self._sessions, event_time, delivery, self._tally)
        while not self._stop.wait(self._interval_s):
            self._cycle(sender, self._clock.monotonic() + CYCLE_S_MAX)
        delivery.try_at_once()
        self._cycle(sender, self._close_at_s)
        self._buffer.shut("closed")
        # Who had begun to append before that is done by now.
        self._cycle(sender, self._close_at_s, is_last=True)
        spool.close()

    def _cycle(self, sender: Sender, deadline_s: float, is_last: bool = False) -> None:
        try:
            sender.cycle(deadline_s, is_last)
        except Exception as error:
            self._tally.fail("internal", "a round of sending failed; the next one goes on", error)

    def _open_spool(self) -> NoSpool:
        try:
            spool = Spool(self._spool_root, f"{self.name}-{self.incarnation}", self._spool_bytes_max)
        except OSError as error:
            self._tally.fail("spool_unwritable", "the spool cannot be used; what cannot be sent is dropped", error)
            return NoSpool()
        if spool.damaged:
            self._tally.fail(
                "spool_damaged",
                f"the spool has {counted(spool.damaged, 'batch that cannot be read and is', 'batches that cannot be read and are')} dropped",
            )
        if spool.newer:
            self._tally.fail(
                "spool_newer",
                f"the spool has {counted(spool.newer, 'batch', 'batches')} of a newer version; what only that one knows of them is not sent",
            )
        return spool

    def _forked(self) -> None:
        """In a child process there is no sending thread, and the spool is the parent's."""
        self._tally = Tally()
        self._buffer.fork("forked", self._tally)
        self._spool.disown()
        self._spool = NoSpool()
        # The parent's sending thread may have held the lock of the old one, and never lets go of it here.
        self._stop = threading.Event()
        self._stop.set()
        self._tally.fail("forked", "this process was forked after its recorder was made; make it after the fork")


def _close_later(recorder: weakref.ref[Recorder]) -> Any:
    def close() -> None:
        if (alive := recorder()) is not None:
            alive.close()

    return close


def _shut_later(recorder: weakref.ref[Recorder]) -> Any:
    def shut() -> None:
        if (alive := recorder()) is not None:
            alive._forked()

    return shut


def _addresses(collectors: Sequence[str]) -> tuple[str, ...]:
    addresses = tuple(dict.fromkeys(address.rstrip("/") for address in collectors))
    if isinstance(collectors, str) or not addresses:
        raise BadInput("A recorder needs a list of collectors' addresses, such as ['http://127.0.0.1:9471'].")
    return addresses


def _keys(session_key: bytes | Keys) -> Keys:
    """Who numbers sessions; a key as text is refused, for nobody knows what encoding makes it the key of other hosts."""
    if isinstance(session_key, bytes):
        return SessionHashes(session_key)
    if not callable(getattr(session_key, "of", None)):
        raise BadInput(
            "The session key of a recorder has to be bytes, or keys such as RingOnDisk: of a text take its bytes, such as "
            "bytes.fromhex(text), the same on every host."
        )
    return session_key


def _name(given: str | None) -> str:
    """Which process of which host this is: collectors tell recorders apart by it."""
    name = given or f"{re.sub(r'[^a-z0-9._-]', '-', socket.gethostname().lower())[:50].lstrip('._-')}-{os.getpid()}"
    if not re.fullmatch(SLUG, name):
        raise BadInput(f"The name of a recorder has to match {SLUG}.")
    return name


def _incarnation(clock: Clock) -> int:
    """The start in ms, or one more than the newest of this process: no two recorders have the same."""
    global _newest_incarnation
    with _incarnations:
        _newest_incarnation = max(_newest_incarnation + 1, int(clock.wall() * 1_000))
        return _newest_incarnation
