"""What is wrong with a file or a setting that has another shape than its model: each place in it, and what belongs there.

Values are not repeated: somebody may have written a password where a name belongs.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

TOLD_MAX = 5

_SENTENCES = {
    "missing": "it is missing: add it",
    "extra_forbidden": "there is no such field: mend its name, or remove it",
}


def mistakes(error: ValidationError, within: str = "") -> str:
    """All that is wrong, or the first five and how many more there are, as "place: what; place: what.".

    `within` is the place of the model in its file.
    """
    found = error.errors(include_input=False, include_url=False, include_context=False)
    told = [f"{place(each, within)}: {sentence(each)}" for each in found[:TOLD_MAX]]
    further = [f"and {len(found) - TOLD_MAX} more mistakes"] if len(found) > TOLD_MAX else []
    return f"{'; '.join([*told, *further])}."


def place(details: ErrorDetails, within: str = "") -> str:
    """Where it is, such as `targets.0.url`."""
    return ".".join([*([within] if within else []), *map(str, details["loc"])]) or "the file"


def sentence(details: ErrorDetails) -> str:
    """What belongs there, without a full stop."""
    said = details["msg"].removeprefix("Value error, ").replace("Input should be", "it has to be")
    return _SENTENCES.get(details["type"], said)
