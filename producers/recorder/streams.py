"""One call while it lasts: a stream that starts and ends, and the turns in between."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from producers.recorder.turns import Turn

if TYPE_CHECKING:
    from producers.recorder.recorder import Recorder


class Stream:
    """A call of one session. Use as a context manager, async or not; no method raises."""

    __slots__ = ("_dimensions", "_recorder", "_session")

    def __init__(self, recorder: Recorder, session: object, dimensions: dict[str, Any]) -> None:
        self._recorder = recorder
        self._session = session
        self._dimensions = dimensions

    def turn(self, /, **dimensions: Any) -> Turn:
        """A turn of this call, with the call's dimensions and these."""
        return self._recorder.turn(self._session, **{**self._dimensions, **dimensions})

    def duplex(self, duplex_event: str, **values: Any) -> None:
        """A full-duplex event of this call."""
        self._recorder.duplex(duplex_event, self._session, **{**self._dimensions, **values})

    def __enter__(self) -> Self:
        self._recorder.stream_started(self._session, **self._dimensions)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._recorder.stream_ended(self._session)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)
