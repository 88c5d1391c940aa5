"""What Kafka's clients log, made readable.

While a broker is away they say so a hundred and more times a second, each in its own words. `KafkaWatch` says it once
and says why, so that is left out here. So is that a timer of Faust's took longer than its interval: of one timer no two rounds run
at once, and its next one only comes later. That happens whenever a worker catches up, for a commit of offsets waits for its turn in the loop, and for
the broker. Offsets that are committed late cost a restart a few seconds of reading, and no exactness; a loop that stands still
ends the worker (`stream_jobs/agents/pulse.py`). So is that an agent "crashed" of being cancelled, which is how all of them end. Advice in
further paragraphs is about Faust's settings, which nobody here sets, and for its authors: the first line stays. Whatever else they repeat is said once a
minute, with how often it was left out, of whatever topic.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CLIENTS = ("aiokafka", "faust", "mode", "kafka")
SAID_AGAIN_S = 60.0
KINDS_MAX = 1_000

_OF_AN_OUTAGE = re.compile(
    "Unable connect to node|Unable to update metadata|Unable to request metadata|KafkaConnectionError|NodeNotReadyError"
    "|Connect call failed|coordinator dead|GroupCoordinatorNotAvailable|Heartbeat|RequestTimedOut|NotLeaderForPartition"
)
_OF_A_BUSY_LOOP = re.compile(r"Timer \w+ is overlapping")
_OF_AN_END = re.compile(r"Crashed reason=CancelledError\b")
_CHANGING = re.compile(r"\d+|(?<=topic=')[^']*")


@dataclass(slots=True)
class _Said:
    at_s: float
    left_out: int = 0


@dataclass(slots=True)
class ClientChatter(logging.Filter):
    """A filter for a handler: what is not from a client passes as it is."""

    clock_s: Callable[[], float] = time.monotonic
    _said: dict[tuple[str, str], _Said] = field(default_factory=dict)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in CLIENTS or record.levelno >= logging.CRITICAL:
            return True
        text = record.getMessage()
        if _OF_AN_OUTAGE.search(text) or _OF_A_BUSY_LOOP.match(text) or _OF_AN_END.search(text):
            return False
        first, _, advice = text.partition("\n\n")
        if advice:
            record.msg, record.args = first.strip(), ()
        return self._is_due(record, first.strip())

    def _is_due(self, record: logging.LogRecord, text: str) -> bool:
        """Whether it was not said lately; then with a note of how often it was left out."""
        kind = (record.name, _CHANGING.sub("#", text))
        said, now_s = self._said.get(kind), self.clock_s()
        if said is not None and now_s - said.at_s < SAID_AGAIN_S:
            said.left_out += 1
            return False
        if len(self._said) >= KINDS_MAX:
            self._said.clear()
        self._said[kind] = _Said(now_s)
        if said is not None and said.left_out:
            record.msg, record.args = f"{text} (and {said.left_out} times before that)", ()
        return True
