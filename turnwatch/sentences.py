"""What the command says when something foreseen goes wrong: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import sys
import traceback

from schemas.failures import BadInput, Foreseen

FAILED, BAD_INPUT = 1, 2


def exit_code_for(error: BaseException) -> int:
    """Tells the user what went wrong, and returns the exit code that says whose it is."""
    if isinstance(error, BadInput):
        print(f"turnwatch: {error}", file=sys.stderr)
        return BAD_INPUT
    if isinstance(error, OSError) and error.filename and error.strerror:
        print(f"turnwatch: {error.filename}: {error.strerror}.", file=sys.stderr)
        return FAILED
    if isinstance(error, Foreseen | OSError):
        print(f"turnwatch: {error}", file=sys.stderr)
        return FAILED
    traceback.print_exception(error)
    print("turnwatch: this is a defect of turnwatch; please report it with the lines above.", file=sys.stderr)
    return FAILED
