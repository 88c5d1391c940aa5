"""The command line: `turnwatch`.

Exit codes: 0 done; 1 what was asked for failed, or a check found something; 2 the input or the settings are wrong; 141 nobody
reads what is printed any more.
"""

from __future__ import annotations

import logging
import sys

import typer

from turnwatch.command_line import app
from turnwatch.standard_output import Unwritable, exit_code_without, open_standard_output

# isort: off
# In the order in which help lists them.
import turnwatch.commands.local
import turnwatch.commands.operating
import turnwatch.commands.traffic
import turnwatch.commands.answers
import turnwatch.commands.gates
import turnwatch.commands.costs
import turnwatch.commands.drift
import turnwatch.commands.benches  # noqa: F401
# isort: on

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command; what was foreseen to go wrong is told in a sentence, never as a traceback."""
    # Without a handler of its own a client would write what it could not do beside our sentence about it.
    for client in ("aiokafka", "urllib3"):
        logging.getLogger(client).addHandler(logging.NullHandler())
    open_standard_output()
    try:
        code = _run()
        sys.stdout.flush()
    except Unwritable as error:
        code = exit_code_without(error)
    sys.exit(code)


def _run() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return 130
    except Unwritable:
        raise
    except typer.TyperException as error:
        from turnwatch.sentences import tell_usage

        return tell_usage(error)
    except Exception as error:
        from turnwatch.sentences import exit_code_for

        return exit_code_for(error)
