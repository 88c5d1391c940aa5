"""What the command says when something that was foreseen goes wrong: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback

BAD_INPUT, FAILED = 2, 1

_BAD_INPUT = {"SettingsError", "SloFileError", "TraceError", "TraceUnreadable", "UnknownScenario", "ValueError"}
_FAILED = {
    "PrepareError",
    "StackError",
    "StackFailure",
    "JarsUnavailable",
    "NotDelivered",
    "StageFailure",
    "WarehouseError",
    "MigrationError",
    "GrafanaError",
    "ProvisioningError",
    "DemoError",
    "OSError",
    "PermissionError",
    "FileNotFoundError",
}


def exit_code_for(error: BaseException) -> int:
    """Tells the user what went wrong, and returns the exit code that says whose it is."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & (_BAD_INPUT | _FAILED) and not os.environ.get("TURNWATCH_TRACEBACK"):
        print(f"turnwatch: {error}", file=sys.stderr)
        return BAD_INPUT if names & _BAD_INPUT else FAILED
    traceback.print_exception(error)
    print("turnwatch: this is a defect of turnwatch; please report it with the lines above.", file=sys.stderr)
    return FAILED
