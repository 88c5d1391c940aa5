"""Lines of a stream of bytes, as many at once as there are: without waiting for more, and in bounded memory."""

from __future__ import annotations

from typing import Protocol

from producers.observation_lines import LINE_BYTES_MAX

CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """A stream that returns what there is, at most so many bytes, and none at its end: a file without a buffer."""

    def read(self, size: int, /) -> bytes | None: ...


class Lines:
    """The lines of a stream, without their ends. Of a line that is too long only its beginning is kept, still too long."""

    def __init__(self, stream: Readable, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._stream, self._chunk_bytes = stream, chunk_bytes
        self._begun = b""
        self._is_over = False

    def some(self) -> list[bytes] | None:
        """The lines of the next bytes that there are, which may be none yet; `None` behind the last one."""
        if self._is_over:
            return None
        chunk = self._stream.read(self._chunk_bytes)
        if not chunk:
            self._is_over = True
            last, self._begun = self._begun, b""
            return [last] if last else []
        *whole, begun = (self._begun + chunk).split(b"\n")
        self._begun = begun[: LINE_BYTES_MAX + 1]
        return [line.removesuffix(b"\r") for line in whole]
