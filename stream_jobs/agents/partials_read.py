"""Partials that two questions of one worker read: the first decodes them, the second finds them here."""

from __future__ import annotations

from schemas.partials import Partial

READ_BYTES_MAX = 16 * 1024 * 1024


class ReadPartials:
    """Partials that one question has decoded and the other has still to read: of the newest `bytes_max` of them."""

    def __init__(self, bytes_max: int = READ_BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._known: dict[tuple[str, int, int], Partial] = {}

    def take(self, place: tuple[str, int, int]) -> Partial | None:
        """The partial of a topic, partition and offset; asked for once."""
        partial = self._known.pop(place, None)
        if partial is not None:
            self._bytes -= partial.rows.nbytes
        return partial

    def keep(self, place: tuple[str, int, int], partial: Partial) -> None:
        self.take(place)
        self._known[place] = partial
        self._bytes += partial.rows.nbytes
        while self._bytes > self._bytes_max:
            self.take(next(iter(self._known)))
