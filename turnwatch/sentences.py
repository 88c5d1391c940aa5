"""What the command says when something foreseen goes wrong: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import re
import sys
import traceback

import typer

from schemas.failures import BadInput, Foreseen
from turnwatch.printable import printable_lines

FAILED, BAD_INPUT = 1, 2


def tell_usage(error: typer.TyperException) -> int:
    """Says what is wrong with the words of a command, and whose help to ask; where there were none, that is the help itself."""
    said, context = error.format_message(), getattr(error, "ctx", None)
    if context is not None and said == context.get_help():
        print(said, file=sys.stderr)
        return BAD_INPUT
    asked = "turnwatch" if context is None else context.command_path
    print(f"turnwatch: {_of_usage(said)}: see {asked} --help.", file=sys.stderr)
    return BAD_INPUT


def _of_usage(said: str) -> str:
    """What the parser of options says, in one line and without its ceremony.

    >>> _of_usage("Invalid value for '--by': Value error, 'pol' is not one of 'tenant', 'route'.")
    "--by: 'pol' is not one of 'tenant', 'route'"
    """
    words = " ".join(said.split()).rstrip(".").replace("Value error, ", "").replace("Input should be", "this has to be")
    return re.sub(r"^Invalid value(?: for '([^']*)')?: ", lambda found: f"{found[1]}: " if found[1] else "", words)


def exit_code_for(error: BaseException) -> int:
    """Tells the user what went wrong, and returns the exit code that says whose it is."""
    if isinstance(error, BadInput):
        print(printable_lines(f"turnwatch: {error}"), file=sys.stderr)
        return BAD_INPUT
    if isinstance(error, OSError) and error.filename and error.strerror:
        print(printable_lines(f"turnwatch: {error.filename}: {error.strerror}."), file=sys.stderr)
        return FAILED
    if isinstance(error, Foreseen | OSError):
        print(printable_lines(f"turnwatch: {error}"), file=sys.stderr)
        return FAILED
    traceback.print_exception(error)
    print("turnwatch: this is a defect of turnwatch; please report it with the lines above.", file=sys.stderr)
    return FAILED
