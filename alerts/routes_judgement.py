"""What Alertmanager did, next to what a script of routes expects of it. Pure: times are the script's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alerts.durations import duration_written
from alerts.routes_script import Expected, Script


@dataclass(frozen=True, slots=True)
class Heard:
    """One notification: when it came, at which receiver, and which alerts it named."""

    at_ms: float
    receiver: str
    firing: frozenset[str]
    resolved: frozenset[str]

    def is_like(self, expected: Expected) -> bool:
        """Whether it says what is expected, whenever it came."""
        names = (self.receiver, self.firing, self.resolved)
        return names == (expected.receiver, frozenset(expected.firing), frozenset(expected.resolved))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer: something that came, or (without `heard`) that should have and did not."""

    at_ms: float
    receiver: str
    what: str
    verdict: str
    is_right: bool


def judge(script: Script, heard: Sequence[Heard], late_ms: float = 0.0) -> tuple[Finding, ...]:
    """Every notification and everything that did not come, in the order of time.

    Each notification answers the expectation like it that ends first and still has room. `late_ms` is what the machine
    may take beyond the script: what is late answers only where it answers nothing in time. Nothing may come early.
    """
    answers = _answers(script, heard, late_ms)
    came = Counter(number for _, number in answers)
    findings = [
        _finding(each, _why_not(script.expect, each) if number is None else "as expected", number is not None)
        for each, number in answers
        if number is not None or each.at_ms <= script.until_ms
    ]
    findings += [_missing(script.expect[number], came[number]) for number in _unanswered(script, came)]
    return tuple(sorted(findings, key=lambda finding: finding.at_ms))


def is_complete(script: Script, heard: Sequence[Heard], late_ms: float) -> bool:
    """Whether everything that has to come has come."""
    return not _unanswered(script, Counter(number for _, number in _answers(script, heard, late_ms)))


def _answers(script: Script, heard: Sequence[Heard], late_ms: float) -> list[tuple[Heard, int | None]]:
    """Each notification, in the order of time, and which expectation it answers, if any."""
    answered: Counter[int] = Counter()
    answers = []
    for each in sorted(heard, key=lambda each: each.at_ms):
        fitting = [
            (each.at_ms > expected.by_ms, expected.by_ms, number)
            for number, expected in enumerate(script.expect)
            if each.is_like(expected)
            and expected.from_ms <= each.at_ms <= expected.by_ms + late_ms
            and answered[number] < expected.times[1]
        ]
        number = min(fitting)[-1] if fitting else None
        if number is not None:
            answered[number] += 1
        answers.append((each, number))
    return answers


def _unanswered(script: Script, came: Mapping[int | None, int]) -> list[int]:
    return [number for number, expected in enumerate(script.expect) if came[number] < expected.times[0]]


def _finding(heard: Heard, verdict: str, is_right: bool) -> Finding:
    return Finding(heard.at_ms, heard.receiver, _said(heard.firing, heard.resolved), verdict, is_right)


def _why_not(expectations: Sequence[Expected], heard: Heard) -> str:
    alike = [_when(expected) for expected in expectations if heard.is_like(expected)]
    return f"expected {' or '.join(alike)}" if alike else "nobody expected it"


def _missing(expected: Expected, came: int) -> Finding:
    often = "never came" if expected.times == [1, 1] else f"came {came}×, not {_how_often(expected)}×"
    said = _said(frozenset(expected.firing), frozenset(expected.resolved))
    return Finding(expected.by_ms, expected.receiver, said, f"{often}; expected {_when(expected)}", is_right=False)


def _how_often(expected: Expected) -> str:
    fewest, most = expected.times
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def _when(expected: Expected) -> str:
    return f"between {duration_written(expected.from_ms)} and {duration_written(expected.by_ms)}"


def _said(firing: frozenset[str], resolved: frozenset[str]) -> str:
    told = (("firing", firing), ("resolved", resolved))
    return "; ".join(f"{state} {', '.join(sorted(names))}" for state, names in told if names)
