"""Standard output that is closed, full, or read by nobody any more: told by an exit code of its own, and never by a traceback.

Without this Python would print a traceback or end with 120, and rich and typer with 1, which of a gate would read as `rollback`.
Nothing but the standard library is loaded here.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from turnwatch.exit_codes import FAILED, NO_VERDICT, is_verdict_asked

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
NOBODY_READS = 141
"""As shells tell of a program that SIGPIPE ended: `turnwatch query … | head` is no failure of ours."""


ESCAPED = "turnwatch.escaped"
"""The name, among error handlers of Python, of `_escaped`."""


class Unwritable(Exception):
    """Standard output cannot be written. No `OSError`, for of those nobody knows whether it was a socket or another file."""

    def __init__(self, why: OSError) -> None:
        super().__init__(f"standard output cannot be written: {why.strerror}.")
        self.is_unread = isinstance(why, BrokenPipeError)


class _Output(io.FileIO):
    def write(self, written: ReadableBuffer, /) -> int:
        try:
            return super().write(written)
        except OSError as error:
            raise Unwritable(error) from error


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""What the encoding of the output has no sign for, as JSON escapes it (`\u2192`): a document of JSON stays one."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def open_standard_output() -> None:
    """Has standard output raise `Unwritable`, also where the shell closed it (`>&-`), and escape what its encoding has no sign for.

    Python has no stream there, and the next file that is opened would get its number, and with it what is printed.
    """
    codecs.register_error(ESCAPED, _escaped)
    while (number := os.open(os.devnull, os.O_RDONLY)) <= STANDARD_ERROR:
        pass
    os.close(number)
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    given = sys.stdout if isinstance(sys.stdout, io.TextIOWrapper) else None
    output = _Output(STANDARD_OUTPUT, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        output if given and given.write_through else io.BufferedWriter(output),  # As `python -u` has it.
        given.encoding if given else "utf-8",
        given.errors if given and given.errors not in ("strict", "surrogateescape") else ESCAPED,
        line_buffering=output.isatty(),
        write_through=bool(given and given.write_through),
    )


def exit_code_without(error: Unwritable) -> int:
    """The exit code where what a command printed cannot be read; a reader that went away knows, but whoever takes the code for a
    verdict is told why there is none.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_OUTPUT)  # What is left in buffers must not fail again when the interpreter ends.
    if is_verdict_asked() or not error.is_unread:
        print(f"turnwatch: {error}", file=sys.stderr)
    if is_verdict_asked():
        return NO_VERDICT
    return NOBODY_READS if error.is_unread else FAILED
