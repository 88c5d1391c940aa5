"""The command line: `turnwatch`.

Exit codes: 0 done; 1 what was asked for failed, or a check found something; 2 the input or the settings are wrong.
"""

from __future__ import annotations

import logging
import sys

import typer

from turnwatch.command_line import app

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
    try:
        sys.exit(app(standalone_mode=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except typer.TyperException as error:
        from turnwatch.sentences import tell_usage

        sys.exit(tell_usage(error))
    except Exception as error:
        from turnwatch.sentences import exit_code_for

        sys.exit(exit_code_for(error))
