"""What is wrong with a file or a setting that has another shape than its model: each place in it, and what belongs there.

Values are not repeated: somebody may have written a password where a name belongs.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.counted import counted

TOLD_MAX = 5

_SENTENCES = {
    "missing": "it is missing: add it",
    "extra_forbidden": "there is no such field: mend its name, or remove it",
}


def mistakes(error: ValidationError, within: str = "") -> str:
    """All that is wrong, or the first five and how many more there are, as "place: what; place: what.".

    What is wrong in several places alike is said once, with the first five of these. `within` is the place of the model in its file.
    """
    places: dict[str, list[str]] = {}
    found = error.errors(include_input=False, include_url=False, include_context=False)
    for each in (each for each in found if not _follows(each, found)):
        places.setdefault(sentence(each), []).append(place(each, within))
    told = [f"{_listed(where)}: {what}" for what, where in list(places.items())[:TOLD_MAX]]
    left_out = sum(len(where) for where in list(places.values())[TOLD_MAX:])
    further = [f"and {counted(left_out, 'more mistake')}"] if left_out else []
    return f"{'; '.join([*told, *further])}."


def _follows(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Whether a list is too short only since what stands in it is wrong."""
    here = details["loc"]
    return details["type"] == "too_short" and any(
        each["loc"][: len(here)] == here for each in found if each is not details
    )


def _listed(places: list[str]) -> str:
    """
    >>> _listed(["a", "b", "c"]), _listed(list("abcdefgh"))
    ('a, b, c', 'a, b, c, d, e and 3 more')
    """
    left_out = len(places) - TOLD_MAX
    return ", ".join(places[:TOLD_MAX]) + (f" and {left_out} more" if left_out > 0 else "")


def place(details: ErrorDetails, within: str = "") -> str:
    """Where it is, such as `targets.0.url`."""
    return ".".join([*([within] if within else []), *map(str, details["loc"])]) or "the file"


def sentence(details: ErrorDetails) -> str:
    """What belongs there, without a full stop."""
    said = details["msg"].removeprefix("Value error, ").replace("Input should be", "it has to be")
    return _SENTENCES.get(details["type"], said)
