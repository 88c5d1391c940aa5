"""What is said about a document that has another shape than its model: the line, the field, and what to do about it.

The models of `slo_document.py` and `policy_document.py` are made of the parts here. A name that does not exist is
answered with the nearest one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from alerts.located_yaml import Document, Mistake, Place, field_text

TEXT_LENGTH_MAX = 1_050
DECIMALS_MAX = 10
"""So that products of two figures stay exact."""
_SHOWN_LENGTH_MAX = 60


class Part(BaseModel):
    """A section of a document: fields in camel case, none that is not declared, and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


def nearest(written: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that does not exist: the one that was probably meant, or what there is.

    >>> nearest("realtme", ["realtime", "batch"])
    '; did you mean `realtime`?'
    >>> nearest("xyz", ["realtime", "batch"])
    '; known are `realtime`, `batch`'
    """
    names = list(known)
    close = get_close_matches(written, names, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known are {', '.join(f'`{name}`' for name in names)}"


def said_twice(names: Sequence[str]) -> str | None:
    """The first name that stands there more than once.

    >>> said_twice(["a", "b", "a"]), said_twice(["a"])
    ('a', None)
    """
    return next((name for name in names if names.count(name) > 1), None)


def ended(sentence: str) -> str:
    """A sentence with its full stop, unless it asks."""
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."


def wrong(sentence: str) -> PydanticCustomError:
    """A refusal in our own words."""
    return PydanticCustomError("wrong", "{sentence}", {"sentence": sentence})


def twice(said: str, first: Place, second: Place, remedy: str) -> PydanticCustomError:
    """A refusal of what is written at two places, told with the lines of both; places are from the section that refuses."""
    return PydanticCustomError(
        "twice", "{said}: {remedy}", {"said": said, "first": first, "second": second, "remedy": remedy}
    )


def one_of(what: str, known: Iterable[str]) -> AfterValidator:
    """Accepts only names of the contract, and suggests the nearest to any other."""
    names = tuple(known)

    def check(written: str) -> str:
        if written not in names:
            raise wrong(ended(f"{what} is named {clipped(repr(written))}{nearest(written, names)}"))
        return written

    return AfterValidator(check)


def between(what: str, lowest: str, highest: str) -> AfterValidator:
    """Accepts numbers from `lowest` to `highest`, both included."""

    def check(written: Decimal) -> Decimal:
        if not Decimal(lowest) <= written <= Decimal(highest):
            raise wrong(f"{clipped(str(written))} is no {what}: write {lowest} to {highest}.")
        return written

    return AfterValidator(check)


def missing(name: str, place: Place) -> str:
    """What is said where a field is not there."""
    owner = f"`{field_text(place)}`" if place else "the document"
    return f"The field is missing: add `{name}` to {owner}."


def clipped(text: str) -> str:
    """What was written, short enough for a line."""
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}…"


def _decimal(written: object) -> object:
    """Whole numbers are decimals too, so that `99` is told it is no share rather than no number."""
    return Decimal(written) if isinstance(written, int) and not isinstance(written, bool) else written


def _is_short(written: Decimal) -> Decimal:
    exponent = written.as_tuple().exponent
    assert isinstance(exponent, int)  # Nothing that is not finite is read as a number.
    if -exponent > DECIMALS_MAX:
        raise wrong(f"{clipped(str(written))} has more than {DECIMALS_MAX} decimals: round it.")
    return written


def _is_said(written: str) -> str:
    if not written.strip():
        raise wrong("This is empty: write it, or remove the field if it is optional.")
    return written


NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=TEXT_LENGTH_MAX), AfterValidator(_is_said)]
Number = Annotated[Decimal, BeforeValidator(_decimal), AfterValidator(_is_short)]


def sentence_for(
    document: Document, model: type[BaseModel], details: ErrorDetails, unread: Mapping[str, str] | None = None
) -> Mistake:
    """One validation error as the line, the field, and what to do about it.

    `unread` has sentences for fields that are known elsewhere and not read here.
    """
    place: Place = details["loc"]
    kind = details["type"]
    line = document.line_of(place)
    if kind == "extra_forbidden":
        name = str(place[-1])
        unknown = ended(f"There is no such field{nearest(name, _fields_at(model, place[:-1]))}")
        return Mistake(line, field_text(place), (unread or {}).get(name, unknown))
    if kind == "missing":
        return Mistake(line, field_text(place), missing(str(place[-1]), place[:-1]))
    if kind == "twice":
        told = details["ctx"]
        first, second = (*place, *told["first"]), (*place, *told["second"])
        said = f"{told['said']}, here and on line {document.line_of(first)}: {told['remedy']}"
        return Mistake(document.line_of(second), field_text(second), said)
    say = _SENTENCES.get(kind)
    return Mistake(line, field_text(place) or "document", say(details) if say else ended(details["msg"]))


def _shown(details: ErrorDetails) -> str:
    """The value as written, unless it is a whole section or list."""
    match details["input"]:
        case dict():
            return "a section"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool() as claim:
            return str(claim).lower()
        case str() as text:
            return f'"{clipped(text)}"'
        case number:
            return clipped(str(Decimal(number)))


def _in_quotes(details: ErrorDetails) -> str:
    """What makes a text of a number or a claim."""
    return ": put it in quotes" if isinstance(details["input"], bool | int | Decimal) else ""


def _literal(details: ErrorDetails) -> str:
    expected = str(details["ctx"]["expected"]).replace("'", "").replace("True", "true")
    return f"This has to be {expected}, and {_shown(details)} is written."


def _too_few(details: ErrorDetails) -> str:
    return f"The list is empty: it has to hold {'exactly one item' if _holds_one(details) else 'an item or more'}."


def _too_many(details: ErrorDetails) -> str:
    supported = "only one is" if _holds_one(details) else f"at most {details['ctx']['max_length']} are"
    return f"The list holds {details['ctx']['actual_length']} items: {supported} supported."


def _holds_one(details: ErrorDetails) -> bool:
    return details["loc"][-1] in _LISTS_OF_ONE


_LISTS_OF_ONE = ("objectives", "timeWindow")

_SENTENCES: dict[str, Callable[[ErrorDetails], str]] = {
    "literal_error": _literal,
    "string_type": lambda told: f"This has to be text, and {_shown(told)} is written{_in_quotes(told)}.",
    "string_too_long": lambda told: f"This is longer than the {TEXT_LENGTH_MAX} characters that are allowed.",
    "string_pattern_mismatch": lambda told: (
        f"{_shown(told)} is not a name: use up to 63 lower-case letters, digits and inner hyphens."
    ),
    "model_type": lambda told: f"This has to be a section with fields, and {_shown(told)} is written.",
    "list_type": lambda told: f"This has to be a list, and {_shown(told)} is written: begin its items with `-`.",
    "too_short": _too_few,
    "too_long": _too_many,
    "int_type": lambda told: f"This has to be a whole number such as 10, and {_shown(told)} is written.",
    "is_instance_of": lambda told: f"This has to be a decimal such as 0.99 (no quotes), and {_shown(told)} is written.",
}


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """The fields that the section at a place may hold."""
    for part in place:
        if isinstance(part, int):
            continue
        field = next(field for name, field in model.model_fields.items() if (field.alias or name) == part)
        model = _section(field.annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _section(annotation: object) -> type[BaseModel]:
    """The model that a field holds: by itself, in a list, or where it is there at all."""
    inner = next((part for part in get_args(annotation) if isinstance(part, type)), annotation)
    assert isinstance(inner, type) and issubclass(inner, BaseModel)
    return inner
