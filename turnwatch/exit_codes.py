"""How the command ends where it failed, and where that must not read as a verdict. Nothing but the standard library is loaded here."""

from __future__ import annotations

import sys

FAILED, NO_VERDICT = 1, 4
VERDICTS = (["gate"], ["rollback"], ["cost", "reconcile"], ["drift", "why"], ["gates", "list"], ["release"])
"""Commands whose exit code is read as a verdict, or beside one (`turnwatch/verdict_codes.py`)."""


def is_verdict_asked() -> bool:
    """Whether the command that runs is one of those."""
    return any(sys.argv[1 : 1 + len(words)] == words for words in VERDICTS)
