"""Fences: has this frame been applied already?

There is a fence (`fence.py`) for every incarnation of every producer. They last as long as what they judge may come: a
window that is older than `FENCE_KEPT_MS` is refused for its age, so nobody has to know its number.

All is bounded. A page takes `page_max` fences and refuses further producers; one of a producer's many incarnations makes
room for a newer one; and of more than `GAPS_MAX` gaps the oldest is given up, counted, and refused if it comes after all.

Everything that a verdict depends on lies in the page of its producer, which is one block; gaps are saved before it. What a
restored page says is as of the record in its stamp: up to there a record was judged, and is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import xxhash

from schemas.rejections import PRODUCERS_MAX
from stream_jobs.operators.totals.fence import Fence, Passage, end_of_gap
from stream_jobs.operators.totals.opening import PAST_MAX_MS

GAPS_MAX = 65_536
"""Gaps remembered for one family and Kafka partition: 0.9 KB each, 60 MB. A fence has 33 at most."""
FENCE_KEPT_MS = PAST_MAX_MS + 3_600_000
"""A fence that nothing passed for so long, in event time, is forgotten: what it knows is too old to be taken in, with an
hour for brokers whose clocks differ."""
INCARNATIONS_MAX = 32
"""Fences kept per producer: one that starts over and over must not fill the state."""
PAGES = 64
_SWEEP_MS = 60_000


@dataclass(frozen=True, slots=True)
class Admitted:
    """How a frame passes, and how many numbers were passed over and given up on the way."""

    passage: Passage
    missing: int = 0
    given_up: int = 0


@dataclass(slots=True)
class _Producer:
    """Fences by incarnation; what is below `floor` had to make room. `stored`: as it was saved last, while it is like that.

    Most producers of a page are gone, with the deploys of a week, and are saved again and again with those that live.
    """

    floor: int = 0
    fences: dict[int, Fence] = field(default_factory=dict)
    stored: str = ""


_GapKey = tuple[str, int, int]
"""Producer, incarnation, gap."""


class Fences:
    """The fences of one family in one source partition, by producer and incarnation; saved in pages of producers."""

    def __init__(self, producers_max: int = PRODUCERS_MAX) -> None:
        assert producers_max <= PRODUCERS_MAX, "a page of more might not fit into a block"
        self._page_max = -(-producers_max * 5 // 4 // PAGES)
        self._pages: list[dict[str, _Producer]] = [{} for _ in range(PAGES)]
        self._sizes = [0] * PAGES
        self.newest_ms = 0
        """Newest window end that was judged."""
        self._swept_ms = [0] * PAGES
        self._unsaved: set[int] = set()
        self._judged_until: dict[int, int] = {}
        self._gaps: dict[_GapKey, None] = {}
        self._unsaved_gaps: set[_GapKey] = set()
        self._filled: list[_GapKey] = []
        self._given_up = 0

    def __len__(self) -> int:
        return sum(self._sizes)

    # -- judging -------------------------------------------------------------------------------------------------------

    def admit(self, producer: str, incarnation: int, sequence: int, window_end_ms: int, offset: int) -> Admitted:
        """How the frame at `offset` passes; one that a restored page has judged already changes nothing."""
        self.newest_ms = max(self.newest_ms, window_end_ms)
        page = page_of(producer)
        known = self._pages[page].get(producer)
        fence = known.fences.get(incarnation) if known else None
        if self._judged_until and offset <= self._judged_until.get(page, -1):
            return Admitted("repeated" if fence and fence.came(sequence) else "judged")
        self._given_up = 0
        if fence is None:
            begun = self._begun(page, producer, incarnation)
            if not isinstance(begun, Fence):
                return Admitted(begun)
            fence = begun
        missing, given_up = fence.missing, fence.given_up
        passage = fence.admit(sequence)
        fence.last_window_end_ms = max(fence.last_window_end_ms, window_end_ms)
        self._change(page, self._pages[page][producer])
        self._given_up += fence.given_up - given_up
        if fence.touched:
            self._note_gaps(producer, incarnation, fence)
            self._bound_gaps()
        return Admitted(passage, fence.missing - missing, self._given_up)

    def _begun(self, page: int, producer: str, incarnation: int) -> Fence | Passage:
        """A fence for an incarnation that has none.

        One that is older than those that had to make room is expired: a repeat of it could not be told from news.
        """
        is_crowded = self._is_crowded(page)
        known = self._pages[page].get(producer)
        lasts_ms = 0
        if known is None:
            if is_crowded:
                return "crowded"
            known = self._pages[page][producer] = _Producer()
        elif incarnation < known.floor:
            return "expired"
        elif is_crowded or len(known.fences) >= INCARNATIONS_MAX:
            if incarnation < min(known.fences):
                return "expired"
            lasts_ms = self._make_room(page, producer, known)
        self._sizes[page] += 1
        fence = known.fences[incarnation] = Fence(last_window_end_ms=lasts_ms)
        return fence

    def _is_crowded(self, page: int) -> bool:
        """Whether the page has no room, even without what has been idle for so long that it could be forgotten."""
        if self._sizes[page] >= self._page_max and self.newest_ms > self._swept_ms[page]:
            self._sweep(page)
        return self._sizes[page] >= self._page_max

    def _make_room(self, page: int, producer: str, known: _Producer) -> int:
        """Lets go of the oldest incarnation; until when the next one has to last, so that the floor does as well."""
        oldest = min(known.fences)
        known.floor = oldest + 1
        return self._drop(page, producer, known, oldest).last_window_end_ms

    def _drop(self, page: int, producer: str, known: _Producer, incarnation: int) -> Fence:
        fence = known.fences.pop(incarnation)
        self._sizes[page] -= 1
        self._give_up(producer, incarnation, fence, fence.mark)
        self._change(page, known)
        return fence

    def _give_up(self, producer: str, incarnation: int, fence: Fence, below: int) -> None:
        before = fence.given_up
        fence.give_up_below(below)
        self._given_up += fence.given_up - before
        self._note_gaps(producer, incarnation, fence)

    def _change(self, page: int, known: _Producer) -> None:
        known.stored = ""
        self._unsaved.add(page)

    def forget_idle(self) -> int:
        """Forgets fences that were idle for long, now and then; how many numbers were given up with them."""
        self._given_up = 0
        for page in range(PAGES):
            if self.newest_ms >= self._swept_ms[page] + _SWEEP_MS:
                self._sweep(page)
        return self._given_up

    def _sweep(self, page: int) -> None:
        """When it is done changes nothing: only what was to be refused for its age loses its fence."""
        self._swept_ms[page] = self.newest_ms
        oldest_ms = self.newest_ms - FENCE_KEPT_MS
        for producer, known in list(self._pages[page].items()):
            idle = [each for each, fence in known.fences.items() if fence.last_window_end_ms < oldest_ms]
            for incarnation in idle:
                self._drop(page, producer, known, incarnation)
            if not known.fences:
                del self._pages[page][producer]

    # -- gaps ----------------------------------------------------------------------------------------------------------

    def _note_gaps(self, producer: str, incarnation: int, fence: Fence) -> None:
        for gap in fence.touched:
            key = (producer, incarnation, gap)
            self._unsaved_gaps.add(key)
            if gap in fence.gaps:
                self._gaps.setdefault(key)
            else:
                self._gaps.pop(key, None)
        fence.touched = ()

    def _bound_gaps(self) -> None:
        while len(self._gaps) > GAPS_MAX:
            producer, incarnation, gap = next(iter(self._gaps))
            page = page_of(producer)
            known = self._pages[page][producer]
            self._give_up(producer, incarnation, known.fences[incarnation], end_of_gap(gap))
            self._change(page, known)

    # -- saving and recovering -----------------------------------------------------------------------------------------

    def filled_gaps(self) -> Iterator[str]:
        """Keys of gaps that are to be forgotten: in what was saved last nothing of them is missing, or it is given up."""
        yield from (_gap_key(key) for key in self._filled if key not in self._gaps)
        self._filled.clear()

    def unsaved_gaps(self) -> Iterator[tuple[str, Any]]:
        """(key, what to store) of gaps that changed since the last call. To be confirmed before the pages are saved.

        One that was given up stays as it is until the page that says so is saved.
        """
        for key in sorted(self._unsaved_gaps):
            producer, incarnation, gap = key
            known = self._pages[page_of(producer)].get(producer)
            fence = known.fences.get(incarnation) if known else None
            missing = fence.gaps.get(gap) if fence else None
            if fence is not None and missing is not None:
                yield _gap_key(key), f"{missing:x}"
            if not missing:
                self._filled.append(key)
                self._gaps.pop(key, None)
                if fence is not None:
                    fence.gaps.pop(gap, None)
        self._unsaved_gaps.clear()

    def unsaved_pages(self, marked: int) -> Iterator[tuple[int, bytes]]:
        """(page number, JSON to store) of the pages that changed since the last call.

        One that was restored ahead of the marker waits for it, or its stamp would say less than it has judged.
        """
        ahead = {page for page in self._unsaved if self._judged_until.get(page, marked) > marked}
        for page in sorted(self._unsaved - ahead):
            for producer, known in self._pages[page].items():
                known.stored = known.stored or _stored(producer, known)
            yield page, f"[{','.join(known.stored for known in self._pages[page].values())}]".encode()
        self._unsaved = ahead

    def restore(self, page: int, content: Any, judged_until: int) -> None:
        """`judged_until`: the offset of the newest record that this page had judged when it was saved."""
        self._judged_until[page] = judged_until
        for producer, floor, *fences in content:
            known = self._pages[page][producer] = _Producer(floor)
            for incarnation, mark, above, *others in fences:
                known.fences[incarnation] = Fence(mark, int(above, 16), *others)
            self._sizes[page] += len(fences)

    def restore_older(self, page: int, content: Any, judged_until: int) -> None:
        """The same for a page of format 1 or 2, which knows of no missing numbers below the mark."""
        self._judged_until[page] = judged_until
        for producer, incarnation, mark, above, given_up, given_up_below, last_ms in content:
            known = self._pages[page].setdefault(producer, _Producer())
            fence = known.fences[incarnation] = Fence(mark, int(above, 36), given_up, given_up, given_up_below, last_ms)
            fence.shorten()
            self._note_gaps(producer, incarnation, fence)
            self._sizes[page] += 1
        self._unsaved.add(page)

    def restore_gap(self, key: str, content: Any) -> None:
        """To be called when all pages are restored, for the gaps in the order of their writing."""
        producer, incarnation, gap = key.split("|")
        at = (producer, int(incarnation), int(gap))
        known = self._pages[page_of(producer)].get(producer)
        fence = known.fences.get(at[1]) if known else None
        if fence is not None:
            fence.restore_gap(at[2], int(content, 16))
        if fence is not None and at[2] in fence.gaps:
            self._gaps.setdefault(at)
        else:
            self._unsaved_gaps.add(at)


@lru_cache(maxsize=100_000)
def page_of(producer: str) -> int:
    return xxhash.xxh3_64_intdigest(producer.encode()) % PAGES


def _gap_key(key: _GapKey) -> str:
    return "|".join(map(str, key))


def _stored(producer: str, known: _Producer) -> str:
    """As JSON. A producer's name has no character that would have to be escaped."""
    fences = ",".join(
        f'[{incarnation},{fence.mark},"{fence.above:x}",{fence.missing},{fence.given_up},{fence.given_up_below},'
        f"{fence.last_window_end_ms}]"
        for incarnation, fence in known.fences.items()
    )
    return f'["{producer}",{known.floor},{fences}]'
