"""Batches at which a collector fails again and again: none of them holds up those behind it for ever.

A collector that fails (a 500, or an answer that is none of a collector) may be broken, or fail at one batch alone. So a
batch has a few tries, and then the next one has. As soon as one is taken the collector is well, and what had used up its tries is to blame:
when it fails once more it is set aside, and tried again every five minutes. It stays in the spool, and is lost
only as the oldest there. A collector that is away, or says that it has no room, is none that fails: batches keep their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from producers.observation_batches import Answer
from producers.recorder.spool import Entry

TRIES = 5
"""Of one batch, before the next one is tried."""
ASIDE_S = 300.0
"""After which a batch that was set aside is tried again."""
_AWAY, _NO_ROOM, _ENDING = 0, 429, 503


@dataclass(slots=True)
class Suspects:
    """`blamed` are batches that failed until another one was taken; `aside` are those that wait, and until when."""

    failed: Counter[Path] = field(default_factory=Counter)
    blamed: set[Path] = field(default_factory=set)
    aside: dict[Path, float] = field(default_factory=dict)

    def in_line(self, waiting: Sequence[Entry], now_s: float) -> list[Entry]:
        """What waits and is not set aside, oldest first; whatever has failed for long stands behind the others."""
        if self.blamed:
            self.blamed &= {entry.path for entry in waiting}
            self.aside = {
                path: until_s for path, until_s in self.aside.items() if path in self.blamed and until_s > now_s
            }
        ready = [entry for entry in waiting if entry.path not in self.aside]
        return sorted(ready, key=lambda entry: self.failed[entry.path] // TRIES) if self.failed else ready

    def note_failed(self, entry: Entry, answer: Answer, now_s: float) -> bool:
        """Takes in an answer that did not take the batch; returns whether it is set aside now."""
        if answer.status in (_AWAY, _NO_ROOM, _ENDING):
            return False
        if entry.path in self.blamed:
            self.aside[entry.path] = now_s + ASIDE_S
            return True
        self.failed[entry.path] += 1
        return False

    def note_done(self, entry: Entry) -> None:
        """Takes in that the batch needs no further try: the collector is well, and whatever failed for long is to blame."""
        self.blamed |= {path for path, tries in self.failed.items() if tries >= TRIES}
        self.blamed.discard(entry.path)
        self.failed.clear()
