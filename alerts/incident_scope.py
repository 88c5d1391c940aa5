"""Which incident an alert belongs to: given once, when it begins to fire, and never changed.

An alert joins an open incident of its pool that has an alert of the same objective and began within half an hour, or one whose
explaining slices have to do with its own: one is another, or lies within it. A slice explains itself where nothing smaller does; where the fleet burns, its
slices of that objective burn because it does, and only what explains the fleet counts. What is about the whole fleet, because nothing
smaller explains it, has to do with everything: it holds together only what begins within half an hour, and while it fires the slices of its own objective.
What is frozen says nothing of now: it is joined only by its own slice and what lies within. Otherwise the alert
opens an incident, named by its pool and the instant at which it began. So what begins in one pool at one instant is one incident, whichever shard
decides first, and the name is the same after a restart: it is a label of what is stored.

A page joins pages only: a ticket that has been open for days would hold together what has nothing in common.

A page of a finding (a queue that breaks) has no objective: it joins by its slice alone, and what burns because of it joins
it in the same way, whichever is first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations
from re import fullmatch
from typing import Any, Literal, TypeVar

from schemas.burns import LAST_INSTANT_MS, AlertState, Burn
from schemas.findings import Finding, FindingAlert
from schemas.slices import SLICE_PATTERN, slice_dimensions
from schemas.slos import Severity

Scope = Literal["fleet", "slice"]

SAME_CAUSE_MS = 30 * 60_000
"""How long after an incident has begun an alert may join it by its objective alone, or because either is the whole fleet."""
INCIDENT = "incident"
"""The label that alerts of one incident share."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_Part = frozenset[tuple[str, str]]
_What = TypeVar("_What")
_Key = tuple[Severity, str, _What]
_sets: Callable[[], defaultdict[Any, set[str]]] = partial(defaultdict, set)


def scope_of(slice_text: str) -> Scope:
    """`fleet` where a slice is its whole pool, or everything.

    >>> scope_of("pool=realtime"), scope_of("pool=realtime,bundle=v2")
    ('fleet', 'slice')
    """
    return "slice" if slice_dimensions(slice_text).keys() - {"pool"} else "fleet"


def incident_name(pool: str, starts_event_ms: int) -> str:
    """What an incident of a pool that begins then is called.

    >>> incident_name("realtime", 1_700_000_010_000)
    'realtime-loyw42s0'
    """
    digits = ""
    while starts_event_ms:
        starts_event_ms, digit = divmod(starts_event_ms, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return f"{pool or 'all'}-{digits or '0'}"


def begun_ms_of(incident: str) -> int | None:
    """The instant in an incident's name; `None` where there is none.

    >>> begun_ms_of("realtime-loyw42s0"), begun_ms_of("another's")
    (1700000010000, None)
    """
    named = fullmatch(r".+-([0-9a-z]{1,10})", incident)
    begun_ms = int(named[1], len(_DIGITS)) if named else LAST_INSTANT_MS
    return begun_ms if begun_ms < LAST_INSTANT_MS else None


def pool_of(what: Burn | Finding) -> str:
    """The pool that a burn or a finding is in; nothing where its slice is of every pool."""
    return slice_dimensions(what.slice).get("pool", "")


def explaining_slices(alert: AlertState) -> tuple[str, ...]:
    """The slices that explain an alert, as it says itself; its own where none do."""
    named = alert.annotations.get("explained_by", "").split("; ")
    return tuple(named) if all(fullmatch(SLICE_PATTERN, each) for each in named) else (alert.burn.slice,)


class OpenIncidents:
    """The incidents of alerts that began before an instant and are open. Nothing is read of them until somebody asks."""

    def __init__(
        self, alerts: Iterable[AlertState] = (), before_ms: int = 0, found: Iterable[FindingAlert] = ()
    ) -> None:
        self._alerts, self._found, self._before_ms = alerts, found, before_ms

    def incident_of(self, burn: Burn, explaining: Sequence[str], starts_event_ms: int) -> str:
        """The oldest incident that an alert joins that begins now, or the name of a new one."""
        joined = self._index.joined_by_objective(burn, starts_event_ms)
        return self._oldest(burn, joined | self._index.joined(burn, explaining, starts_event_ms), starts_event_ms)

    def incident_of_finding(self, finding: Finding, starts_event_ms: int) -> str:
        """The same of a finding that begins now: it joins by its slice alone."""
        return self._oldest(finding, self._index.joined(finding, (finding.slice,), starts_event_ms), starts_event_ms)

    def _oldest(self, what: Burn | Finding, joined: set[str], starts_event_ms: int) -> str:
        begun_ms = self._index.begun_ms
        oldest = min(joined, key=lambda incident: (begun_ms[incident], incident), default="")
        return oldest or incident_name(pool_of(what), starts_event_ms)

    @cached_property
    def _index(self) -> _Index:
        before = [alert for alert in self._alerts if self._is_open_before(alert)]
        of_fleets = {_told_by(alert) for alert in before if scope_of(alert.burn.slice) == "fleet"}
        index = _Index()
        for alert in before:
            follows = scope_of(alert.burn.slice) == "slice" and _told_by(alert) in of_fleets
            index.note(alert, alert.burn, () if follows else explaining_slices(alert))
        for finding in filter(self._is_open_before, self._found):
            index.note(finding, finding.finding, (finding.finding.slice,))
        return index

    def _is_open_before(self, alert: AlertState | FindingAlert) -> bool:
        is_open = alert.state in ("firing", "frozen") and alert.starts_event_ms < self._before_ms
        return is_open and bool(alert.labels.get(INCIDENT))


@dataclass(frozen=True, slots=True)
class _Index:
    """Incidents by objective, by slice, and by every slice that one of theirs lies within, in a pool and for a severity."""

    of_slo: defaultdict[_Key[str], set[str]] = field(default_factory=_sets)
    of_fleet: defaultdict[_Key[str], set[str]] = field(default_factory=_sets)
    """By objective, those whose page of the whole fleet fires for it and is explained by nothing smaller."""
    of_part: defaultdict[_Key[_Part], set[str]] = field(default_factory=_sets)
    around: defaultdict[_Key[_Part], set[str]] = field(default_factory=_sets)
    begun_ms: dict[str, int] = field(default_factory=dict)

    def note(self, alert: AlertState | FindingAlert, what: Burn | Finding, explaining: Sequence[str]) -> None:
        incident, is_firing = alert.labels[INCIDENT], alert.state == "firing"
        self._note_beginning(alert)
        for severity in _joined_by(what.severity):
            where = severity, pool_of(what)
            if is_firing and isinstance(what, Burn):
                self._note_objective((*where, what.slo), incident, explaining)
            for part in map(_part, explaining):
                self.of_part[*where, part].add(incident)
                for larger in _around(part) if is_firing else ():
                    self.around[*where, larger].add(incident)

    def _note_beginning(self, alert: AlertState | FindingAlert) -> None:
        """As its name says; where that is not read, as the first of its alerts that are open."""
        incident, named_ms = alert.labels[INCIDENT], begun_ms_of(alert.labels[INCIDENT])
        first_ms = min(alert.starts_event_ms, self.begun_ms.get(incident, alert.starts_event_ms))
        self.begun_ms[incident] = first_ms if named_ms is None else named_ms

    def _note_objective(self, key: _Key[str], incident: str, explaining: Sequence[str]) -> None:
        self.of_slo[key].add(incident)
        if any(scope_of(each) == "fleet" for each in explaining):
            self.of_fleet[key].add(incident)

    def joined_by_objective(self, burn: Burn, starts_event_ms: int) -> set[str]:
        key = burn.severity, pool_of(burn), burn.slo
        return self._young(self.of_slo.get(key, set()), starts_event_ms) | self.of_fleet.get(key, set())

    def joined(self, what: Burn | Finding, explaining: Sequence[str], starts_event_ms: int) -> set[str]:
        """By the slices that explain it."""
        where = what.severity, pool_of(what)
        found: set[str] = set()
        for part in map(_part, explaining):
            near = self.around.get((*where, part), set())
            found |= self._of_one_cause(part, near, starts_event_ms)
            for larger in _around(part):
                found |= self._of_one_cause(larger, self.of_part.get((*where, larger), set()), starts_event_ms)
        return found

    def _of_one_cause(self, larger: _Part, incidents: set[str], starts_event_ms: int) -> set[str]:
        """Of incidents that have to do with an alert by a slice around both: all, or where that is the fleet the young ones."""
        is_fleet = not {name for name, _ in larger} - {"pool"}
        return self._young(incidents, starts_event_ms) if is_fleet else incidents

    def _young(self, incidents: set[str], starts_event_ms: int) -> set[str]:
        return {each for each in incidents if starts_event_ms - self.begun_ms[each] <= SAME_CAUSE_MS}


def _told_by(alert: AlertState) -> tuple[str, str, Severity]:
    return alert.labels[INCIDENT], alert.burn.slo, alert.burn.severity


def _joined_by(severity: Severity) -> Sequence[Severity]:
    """Which alerts may join the incident of one of this severity."""
    return ("page", "ticket") if severity == "page" else ("ticket",)


def _part(slice_text: str) -> _Part:
    return frozenset(slice_dimensions(slice_text).items())


def _around(part: _Part) -> Iterator[_Part]:
    """Every slice that one lies within, itself included."""
    for size in range(len(part) + 1):
        yield from map(frozenset, combinations(part, size))
