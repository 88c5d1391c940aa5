"""The command `turnwatch`, as a script and as `python -m turnwatch`.

Nothing but the standard library and `exit_codes` is loaded before failures are caught: of an installation that is broken
`turnwatch gate` ends with 4, as for any other crash, and not with the interpreter's 1, which would read as `rollback`.
"""

from __future__ import annotations

import gc
import sys
import traceback
from contextlib import suppress

from turnwatch.exit_codes import FAILED, NO_VERDICT, is_verdict_asked

YOUNG_OBJECTS_MAX = 50_000
"""So many objects are new before Python looks for garbage among them. Loading makes three times as many and no garbage; Python's
own 700 would have it look through them two hundred times."""


def main() -> None:
    """Runs the command, if it can be loaded at all."""
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    try:
        from turnwatch.cli import main as run

        run()
    except Exception as error:
        with suppress(Exception):  # Standard error may be what cannot be written.
            traceback.print_exception(error)
            print("turnwatch: it cannot be run: install turnwatch again, with all it needs.", file=sys.stderr)
        sys.exit(NO_VERDICT if is_verdict_asked() else FAILED)


if __name__ == "__main__":
    main()
