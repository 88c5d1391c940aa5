"""A script for a test of routes: which alerts come and go at which times, and whom Alertmanager notifies of what.

`alerts/routes/*.yaml` are such scripts. Times count from the script's beginning, as Prometheus writes durations. What is
expected is all that may arrive: a notification that no expectation names is a mismatch. Every mistake of a script is
told with file, line, field and a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from alerts.document_sentences import Number, Part, Text, between, clipped, ended, nearest, sentence_for, wrong
from alerts.durations import duration_ms, duration_written
from alerts.located_yaml import Document, Mistake, Place, field_text, read_documents
from schemas.failures import BadInput

SHIPPED_SCRIPTS = Path(__file__).parent / "routes"

DURATION_MS_MAX = 30 * 86_400_000
REPEATS_MAX = 10_000

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class ScriptError(BadInput):
    """Everything that is wrong in scripts; a problem is a line, `file:line: field: sentence`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def _duration(written: object) -> int:
    span_ms = duration_ms(written) if isinstance(written, str) else None
    if span_ms is None:
        shown = "nothing" if written is None else clipped(str(written))
        raise wrong(f"This has to be a duration such as 30s or 1h30m, and {shown} is written.")
    if span_ms > DURATION_MS_MAX:
        raise wrong(
            f"{clipped(str(written))} is longer than the {duration_written(DURATION_MS_MAX)} a script may take."
        )
    return span_ms


def _section(written: object) -> object:
    if not isinstance(written, dict) or not written:
        raise wrong("This has to be a section with at least one entry.")
    return written


def _pair(written: list[int]) -> list[int]:
    if len(written) != 2:
        raise wrong(f"This has to be two values, such as [5s, 1m] or [1, 1], and {len(written)} are written.")
    return written


DurationMs = Annotated[int, BeforeValidator(_duration)]
Names = list[str]
"""Of alerts, as the script calls them."""
Labels = Annotated[dict[str, str], BeforeValidator(_section)]


class Step(Part):
    """What is told at one time, or again `every` so often, last `until` a time: alerts that fire, alerts that end."""

    at_ms: DurationMs = Field(alias="at")
    every_ms: DurationMs | None = Field(None, alias="every")
    until_ms: DurationMs | None = Field(None, alias="until")
    fire: Names = Field(default_factory=list)
    lasts_ms: DurationMs | None = Field(None, alias="lasts")
    """How long after each telling the alerts end by themselves; without it they fire until they are resolved."""
    resolve: Names = Field(default_factory=list)

    @property
    def times_ms(self) -> range:
        if self.every_ms and self.until_ms is not None:
            return range(self.at_ms, self.until_ms + 1, self.every_ms)
        return range(self.at_ms, self.at_ms + 1)


class Expected(Part):
    """Notifications of one receiver that name exactly these alerts as firing and as resolved, and when they come."""

    receiver: Text
    firing: Names = Field(default_factory=list)
    resolved: Names = Field(default_factory=list)
    between: Annotated[list[DurationMs], AfterValidator(_pair)]
    times: Annotated[list[int], AfterValidator(_pair)] = Field(default_factory=lambda: [1, 1])
    """The fewest and the most that may come."""

    @property
    def from_ms(self) -> int:
        return self.between[0]

    @property
    def by_ms(self) -> int:
        return self.between[1]


class Script(Part):
    """One script. `speed`: how many times as fast as the clock it is played unless somebody asks otherwise."""

    about: Text
    speed: Annotated[Number, between("speed", "1", "10000")] = Decimal(20)
    until_ms: DurationMs = Field(alias="until")
    """How long Alertmanager is listened to."""
    alerts: Annotated[dict[str, Labels], BeforeValidator(_section)]
    """Labels of each alert, by the name that this script calls it."""
    steps: Annotated[list[Step], Field(min_length=1)]
    expect: list[Expected]

    def named(self, labels: Mapping[str, str]) -> str:
        """The script's name for an alert with these labels; for an alert of somebody else's, the labels."""
        known = (name for name, own in self.alerts.items() if own == dict(labels))
        return next(known, ", ".join(f"{name}={value}" for name, value in sorted(labels.items())))


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script and where it was written, for whoever finds out later what it cannot mean."""

    path: Path
    script: Script
    document: Document

    def problem(self, place: Place, sentence: str) -> str:
        return _problem(self.path, Mistake(self.document.line_of(place), field_text(place), sentence))


def load_scripts(paths: Iterable[Path]) -> tuple[ScriptFile, ...]:
    """Every script; all problems of all of them at once as `ScriptError`."""
    reads = [(path, _read(path)) for path in paths]
    problems = [_problem(path, mistake) for path, read in reads if isinstance(read, list) for mistake in read]
    if problems:
        raise ScriptError(problems)
    return tuple(read for _, read in reads if isinstance(read, ScriptFile))


def require_receivers(files: Iterable[ScriptFile], receivers: Iterable[str]) -> None:
    """Raises `ScriptError` where a script expects something at a receiver that the configuration does not have."""
    known = list(receivers)
    problems = [
        file.problem(("expect", number, "receiver"), ended(f"No receiver is named {name!r}{nearest(name, known)}"))
        for file in files
        for number, name in enumerate(expected.receiver for expected in file.script.expect)
        if name not in known
    ]
    if problems:
        raise ScriptError(problems)


def _read(path: Path) -> ScriptFile | list[Mistake]:
    try:
        documents, unreadable = read_documents(path.read_text(encoding="utf-8"))
    except OSError as error:
        return [Mistake(1, "", f"The file cannot be read: {error.strerror}.")]
    except UnicodeDecodeError:
        return [Mistake(1, "", "The file is not UTF-8 text: save it as UTF-8.")]
    if unreadable:
        return unreadable
    if len(documents) != 1:
        return [Mistake(1, "", f"A file has to hold one script, and this one holds {len(documents)}.")]
    return _script_file(path, documents[0])


def _script_file(path: Path, document: Document) -> ScriptFile | list[Mistake]:
    try:
        script = Script.model_validate(document.data)
    except ValidationError as error:
        return [sentence_for(document, Script, details) for details in error.errors()]
    found = [Mistake(document.line_of(place), field_text(place), said) for place, said in _contradictions(script)]
    return found or ScriptFile(path, script, document)


def _problem(path: Path, mistake: Mistake) -> str:
    return f"{path}:{mistake.line}: {mistake.field}{': ' if mistake.field else ''}{mistake.sentence}"


# -- what a script may not say, though each field on its own is right ------------------------------------------------

Contradictions = Iterator[tuple[Place, str]]


def _contradictions(script: Script) -> Contradictions:
    yield from _in_labels(script)
    yield from _in_names(script)
    for number, step in enumerate(script.steps):
        yield from _in_step(script, ("steps", number), step)
    for number, expected in enumerate(script.expect):
        yield from _in_expected(script, ("expect", number), expected)
    yield from _in_order(script)


def _in_labels(script: Script) -> Contradictions:
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for name, labels in script.alerts.items():
        place = ("alerts", name)
        for label, value in labels.items():
            if not _LABEL_NAME.fullmatch(label):
                yield (*place, label), f"{label!r} is no label's name: use letters, digits and underscores."
            if not value:
                yield (*place, label), "A label without a value is no label to Alertmanager: write one, or remove it."
        first = seen.setdefault(frozenset(labels.items()), name)
        if first != name:
            yield place, f"The alert {first!r} has the same labels, so Alertmanager takes both for one."


def _in_names(script: Script) -> Contradictions:
    for place, names in _named(script):
        for position, name in enumerate(names):
            if name not in script.alerts:
                said = f"No alert of this script is named {name!r}{nearest(name, script.alerts)}"
                yield (*place, position), ended(said)
            elif name in names[:position]:
                yield (*place, position), f"{name!r} is named twice here: keep one."


def _named(script: Script) -> Iterator[tuple[Place, Names]]:
    for number, step in enumerate(script.steps):
        yield ("steps", number, "fire"), step.fire
        yield ("steps", number, "resolve"), step.resolve
    for number, expected in enumerate(script.expect):
        yield ("expect", number, "firing"), expected.firing
        yield ("expect", number, "resolved"), expected.resolved


def _in_step(script: Script, place: Place, step: Step) -> Contradictions:
    if not step.fire and not step.resolve:
        yield place, "The step does nothing: add `fire` or `resolve`, with names of alerts."
    if both := sorted({*step.fire} & {*step.resolve}):
        yield place, f"{', '.join(map(repr, both))} cannot fire and be resolved in one step."
    if (step.every_ms is None) is not (step.until_ms is None):
        yield place, "`every` and `until` go together: a step that is repeated says how often, and up to when."
    elif step.every_ms == 0:
        yield (*place, "every"), "A step cannot be repeated every 0s."
    elif len(step.times_ms) > REPEATS_MAX:
        yield (*place, "every"), f"The step is repeated {len(step.times_ms)} times: at most {REPEATS_MAX} are played."
    elif step.until_ms is not None and step.until_ms < step.at_ms:
        yield (*place, "until"), "The step's repeats end before they begin: write a later `until`."
    if max(step.at_ms, step.until_ms or 0) > script.until_ms:
        yield (*place, "at"), f"The script ends at {duration_written(script.until_ms)}: raise its `until`."
    if step.lasts_ms is not None and not step.fire:
        yield (*place, "lasts"), "`lasts` is about alerts that fire, and none does here."
    elif step.lasts_ms == 0:
        yield (*place, "lasts"), "An alert that lasts 0s has ended already: use `resolve`."


def _in_expected(script: Script, place: Place, expected: Expected) -> Contradictions:
    if not expected.firing and not expected.resolved:
        yield place, "Nothing is named: add `firing` or `resolved`, with names of alerts."
    if both := sorted({*expected.firing} & {*expected.resolved}):
        yield place, f"{', '.join(map(repr, both))} cannot be firing and resolved in one notification."
    if expected.from_ms > expected.by_ms:
        yield (*place, "between"), "The second time has to be the later one."
    if expected.by_ms > script.until_ms:
        yield (*place, "between"), f"The script ends at {duration_written(script.until_ms)}: raise its `until`."
    if not 0 <= expected.times[0] <= expected.times[1] or expected.times[1] == 0:
        yield (*place, "times"), "This has to be the fewest and the most that may come, such as [1, 1]."


def _in_order(script: Script) -> Contradictions:
    fired: dict[str, int] = {}
    for step in script.steps:
        for name in step.fire:
            fired[name] = min(step.at_ms, fired.get(name, step.at_ms))
    for name in script.alerts:
        if name not in fired:
            yield ("alerts", name), "No step fires this alert: fire it, or remove it."
    for number, step in enumerate(script.steps):
        for position, name in enumerate(step.resolve):
            if name in fired and fired[name] >= step.at_ms:
                yield (
                    ("steps", number, "resolve", position),
                    f"{name!r} does not fire yet at {duration_written(step.at_ms)}.",
                )
