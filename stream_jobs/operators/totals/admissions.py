"""Which frames are let in: fences and reach of one family in one source partition.

Every frame is judged once, in offset order: a fence says whether it came before, the reach of its privacy partition whether
it is late. Both are saved in pages, each with the offset up to which it has judged, so a crash may leave any of them behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.families import Family
from schemas.rejections import Reason, Rejected
from stream_jobs.operators.totals.blocks import applied_offset, body, pack_json, state_format, unpack_json
from stream_jobs.operators.totals.fences import Fences
from stream_jobs.operators.totals.opening import Opened, OpenedFrame, Refusal
from stream_jobs.operators.totals.reach import SourceReach, remembered_ms

Admission = Literal["in time", "late", "repeated"]


@dataclass(slots=True)
class Admitted:
    """What becomes of the sound frames of a batch, by offset, and what was refused or is missing."""

    by_offset: dict[int, Admission] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    frames_repeated: int = 0
    frames_missing: int = 0
    frames_given_up: int = 0


class Admissions:
    """State of what was let in, and the judgement on what comes."""

    def __init__(self, family: Family, producers_max: int) -> None:
        self.family = family
        self.is_reach_changed = False
        """Since the shards were told of it last."""
        self.fences = Fences(producers_max)
        self._reach: dict[str, SourceReach] = {
            partition.name: SourceReach(remembered_ms=remembered_ms(partition.k_window_s))
            for partition in family.partitions
        }

    def judged(self, opened: Opened) -> Admitted:
        """What becomes of each frame.

        In the order of the log: privacy partitions share their fences, and what a fence gives up must not depend on
        which records came in one batch.
        """
        frames = [(frame, of.broken.get(place)) for of in opened.frames for place, frame in enumerate(of.frames)]
        told = Admitted()
        for frame, broken in sorted(frames, key=lambda each: each[0].offset):
            if broken:
                reason, column = broken
                sentence = f"Column {column} of family {self.family.name} breaks the contract ({reason.value})."
                admitted: Rejected | Admission = Rejected(reason, sentence)
            else:
                admitted = self._admit(frame, told)
            if isinstance(admitted, Rejected):
                told.refusals.append(Refusal(frame.offset, admitted, frame.header.producer))
            else:
                told.by_offset[frame.offset] = admitted
        return told

    def _admit(self, frame: OpenedFrame, told: Admitted) -> Rejected | Admission:
        """What becomes of a sound frame; a repeat is passed over, and is no fault.

        After a crash fences may have been saved by which the marker was not: they know frames above it, of which the
        reach has to hear all the same, or what is late would be judged otherwise than before the crash.
        """
        header = frame.header
        admitted = self.fences.admit(
            header.producer, header.incarnation, header.sequence, header.window_end_ms, frame.offset
        )
        told.frames_missing += admitted.missing
        told.frames_given_up += admitted.given_up
        if admitted.passage in _REFUSALS:
            return _REFUSALS[admitted.passage]
        reach = self._reach[header.partition.name]
        is_late = header.window_end_ms + self.family.lateness_s * 1_000 < reach.newest_ms
        report = (header.producer, header.window_end_ms, frame.volume, frame.offset)
        if admitted.passage != "fresh":
            told.frames_repeated += 1
            may_be_news = admitted.passage == "repeated" and not is_late
            if may_be_news and reach.hear_again(*report):
                self.is_reach_changed = True
            return "repeated"
        if is_late:
            return "late"
        reach.report(*report)
        self.is_reach_changed = True
        return "in time"

    def reach_of(self, partition: str) -> SourceReach:
        """How far the producers of a privacy partition have come."""
        return self._reach[partition]

    def forget_idle(self) -> int:
        """Lets go of fences that nothing can pass any more; how many frames are given up with them."""
        return self.fences.forget_idle()

    # -- saving --------------------------------------------------------------------------------------------------------

    def filled_gaps(self) -> Iterator[str]:
        """Keys of gaps that are none any more, since the last call."""
        return self.fences.filled_gaps()

    def unsaved_gaps(self) -> Iterator[tuple[str, bytes]]:
        """(key, content) of what is missing; to be confirmed before pages."""
        for key, missing in self.fences.unsaved_gaps():
            yield f"gaps|{key}", pack_json(missing)

    def unsaved_pages(self, marked: int) -> Iterator[tuple[str, bytes | None]]:
        """(key, content) of the pages that changed, of fences and of the reach."""
        for page, content in self.fences.unsaved_pages(marked):
            yield f"fences|{page}", content
        for partition, reach in self._reach.items():
            for number, heard in reach.unsaved_pages(marked):
                yield f"reach|{partition}|{number}", pack_json(heard)

    def marker(self) -> dict[str, Any]:
        """What the marker says beside its offset."""
        newest_ms = {partition: reach.newest_ms for partition, reach in self._reach.items()}
        return {"newest_ms": self.fences.newest_ms, "reach": newest_ms}

    # -- recovering ----------------------------------------------------------------------------------------------------

    def restore(self, kinds: Mapping[str, Mapping[str, bytes]]) -> None:
        """Takes over what was stored: the marker, if there is one, then pages of the reach and of fences, and gaps."""
        for value in kinds["marker"].values():
            self._restore_marker(value)
        self._restore_reach(kinds["reach"])
        self._restore_fences(kinds["fences"], kinds["gaps"])

    def _restore_marker(self, value: bytes) -> None:
        content = unpack_json(body(value))
        if state_format(value) < 3:
            self._reach |= {
                name: SourceReach.of_marker(reach, self._reach[name].remembered_ms)
                for name, reach in content.items()
                if name in self._reach
            }
            self.fences.newest_ms = max((reach.newest_ms for reach in self._reach.values()), default=0)
            return
        self.fences.newest_ms = content["newest_ms"]
        for name, newest_ms in content["reach"].items():
            if name in self._reach:
                self._reach[name].newest_ms = newest_ms

    def _restore_reach(self, pages: Mapping[str, bytes]) -> None:
        for name, reach in self._reach.items():
            found = {
                int(page): (applied_offset(value), unpack_json(body(value)))
                for partition, _, page, value in ((*key.partition("|"), value) for key, value in pages.items())
                if partition == name
            }
            reach.restore(reach.newest_ms, found)

    def _restore_fences(self, pages: Mapping[str, bytes], gaps: Mapping[str, bytes]) -> None:
        for page, value in pages.items():
            restore = self.fences.restore if state_format(value) >= 3 else self.fences.restore_older
            restore(int(page), unpack_json(body(value)), applied_offset(value))
        for key, value in sorted(gaps.items(), key=lambda each: (applied_offset(each[1]), each[0])):
            self.fences.restore_gap(key, unpack_json(body(value)))


_REFUSALS: dict[str, Rejected] = {
    "expired": Rejected(
        Reason.FENCE_EXPIRED,
        "The frame's sequence number was given up as lost long ago; it cannot be told from a repeat.",
    ),
    "crowded": Rejected(
        Reason.TOO_MANY_PRODUCERS,
        "More producers than a Kafka partition has room for were heard within 7 days; this one is new.",
    ),
}
