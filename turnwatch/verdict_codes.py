"""Commands whose exit code is a verdict: the codes, and one of its own for whatever keeps a verdict from being reached."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

import typer

from turnwatch.exit_codes import NO_VERDICT
from turnwatch.standard_output import Unwritable

if TYPE_CHECKING:
    from schemas.gates import Decision  # A module of ours that cannot be imported is no verdict either.

EXIT_CODE: Mapping[Decision, int] = {"continue": 0, "rollback": 1, "pause": 3}


@contextmanager
def a_failure_is_no_verdict(wanted: Literal["verdict", "answer"] = "verdict") -> Iterator[None]:
    """Ends with `NO_VERDICT` whatever goes wrong but bad input: the exit code of a failure would read as a verdict.

    What else pipelines ask about releases and drift is an `answer`, and ends alike.
    """
    try:
        import turnwatch.sentences  # noqa: F401 - bad input is told by it, once it is too late for a code of our own

        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Libraries have failures that are no `Exception`: a panic of polars is one.
        if isinstance(error, typer.Exit | typer.BadParameter | Unwritable) or _is(error, "BadInput"):
            raise  # The command line gives these a code of their own, which is no verdict.
        with suppress(Exception):
            _tell(error, wanted)
        raise typer.Exit(NO_VERDICT) from None


def _tell(error: BaseException, wanted: str) -> None:
    """A sentence where it was foreseen, else a traceback."""
    if isinstance(error, OSError) or _is(error, "Foreseen"):
        from turnwatch.sentences import exit_code_for

        exit_code_for(error)
        return
    traceback.print_exception(error)
    print(f"turnwatch: there is no {wanted}: this is a defect of turnwatch; please report it.", file=sys.stderr)


def _is(error: BaseException, kind: Literal["BadInput", "Foreseen"]) -> bool:
    failures = sys.modules.get("schemas.failures")
    return failures is not None and isinstance(error, getattr(failures, kind))
