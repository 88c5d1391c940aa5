"""`turnwatch gates list`: what was said last of every release, as the compacted topic `verdicts` has it."""

from __future__ import annotations

import asyncio
import json

from schemas.instants import utc_text
from schemas.topics import VERDICTS
from schemas.verdicts import ReleaseVerdict
from turnwatch.answers.printing import Answer, Format, print_answer
from turnwatch.gates.recording import read_verdicts
from turnwatch.places import kafka
from turnwatch.settings import load
from turnwatch.statements import say_unreadable

_COLUMNS = ("at", "release", "baseline", "decision", "reasons", "way_back", "policy", "who", "because")


def run_gates_list(output: Format) -> int:
    """Prints the newest verdict of each release, the oldest first; as JSON with everything that it says."""
    found, unreadable = asyncio.run(read_verdicts(kafka(load())))
    say_unreadable(unreadable, VERDICTS, "verdicts")
    told = sorted(found.values(), key=lambda each: (each.at_ms, each.release))
    if output == "json":
        print(json.dumps([each.model_dump(mode="json", exclude={"format"}) for each in told], ensure_ascii=False))
    elif told:
        print_answer([_row(each) for each in told], _COLUMNS, "table")
    else:
        print("No gate was ever asked about a running canary.")
    return 0


def _row(verdict: ReleaseVerdict) -> Answer:
    at = utc_text(verdict.at_ms)
    shown = {name: getattr(verdict, name) for name in _COLUMNS if name not in ("at", "reasons", "way_back")}
    back = verdict.way_back.because if verdict.way_back else None
    return shown | {"at": at, "reasons": list(verdict.reasons), "way_back": back}
