"""Exclusions as somebody writes them: what can be meant becomes an event, anything else a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from re import fullmatch

from alerts.openslo import load_slos
from schemas.dimensions import DIMENSIONS
from schemas.exclusions import WHO_MAX, WHY_MAX, Exclusion, exclusion_id
from schemas.failures import BadInput
from schemas.families import Family
from schemas.instants import DAY_MS, MINUTE_MS
from schemas.slices import EVERYTHING, SLICE_PATTERN, slice_dimensions
from schemas.slos import Slo
from schemas.tables import RETENTION_1M_D
from schemas.topics import EXCLUSIONS_KEPT_D

AHEAD_MAX_D = EXCLUSIONS_KEPT_D - RETENTION_1M_D
"""Events are kept until no budget reaches back to their window, so a window may end this far ahead."""


def declared(
    slo: str, slice_text: str, begins: str, ends: str, who: str, why: str, now_ms: int, slos: Sequence[Slo] = ()
) -> Exclusion:
    """The event; raises `BadInput` where it cannot be meant. `slos`: the known ones, the shipped unless given."""
    meant = _slos(slo, slos or load_slos())
    text = canonical_slice(slice_text, meant)
    from_ms, to_ms = _instant(begins, "--from"), _instant(ends, "--to")
    _require_window(from_ms, to_ms, now_ms)
    return Exclusion(
        id=exclusion_id(slo, text, from_ms, to_ms),
        action="declared",
        slo=slo,
        slice=text,
        from_ms=from_ms,
        to_ms=to_ms,
        who=_line(who, "--who", WHO_MAX),
        why=_line(why, "--why", WHY_MAX),
        at_ms=now_ms,
    )


def withdrawn(event: Exclusion, who: str, why: str, now_ms: int) -> Exclusion:
    """The event that takes another one back; raises `BadInput` without who or why."""
    told = {"who": _line(who, "--who", WHO_MAX), "why": _line(why, "--why", WHY_MAX)}
    return event.model_copy(update={**told, "action": "withdrawn", "at_ms": now_ms})


def known_id(written: str, events: Mapping[str, Exclusion]) -> Exclusion:
    """The newest event of an exclusion; raises `BadInput` for an id that none has."""
    if written not in events:
        close = get_close_matches(written, sorted(events), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "`turnwatch exclude list` shows every one."
        raise BadInput(f"There is no exclusion {written!r}: {hint}")
    return events[written]


def canonical_slice(text: str, slos: Sequence[Slo]) -> str:
    """The slice with its dimensions in the order of their cut; raises `BadInput` where no objective can have it."""
    if not fullmatch(SLICE_PATTERN, text):
        raise BadInput(f"{text!r} is no slice: write one as pool=realtime,region=eu-west-1, or all.")
    values = slice_dimensions(text)
    if text != EVERYTHING and len(values) < len(text.split(",")):
        raise BadInput(f"Slice {text!r} names a dimension twice: name each once.")
    for name, value in values.items():
        _require_value(name, value)
    families = list(dict.fromkeys(slo.family for slo in slos))
    _require_pool(values, slos)
    _require_partition(values, families)
    order = _order(frozenset(values), families)
    return ",".join(f"{name}={values[name]}" for name in order) or EVERYTHING


def _slos(written: str, known: Sequence[Slo]) -> list[Slo]:
    """The objectives that are meant."""
    if written == EVERYTHING:
        return list(known)
    found = [slo for slo in known if slo.name == written]
    if not found:
        (nearest,) = get_close_matches(written, [slo.name for slo in known], n=1, cutoff=0)
        raise BadInput(f"There is no SLO {written!r}: did you mean {nearest}? `all` means every one.")
    return found


def _require_value(name: str, value: str) -> None:
    dimension = DIMENSIONS.get(name)
    if dimension is None:
        (nearest,) = get_close_matches(name, sorted(DIMENSIONS), n=1, cutoff=0)
        raise BadInput(f"There is no dimension {name!r}: did you mean {nearest}?")
    if not fullmatch(dimension.full_pattern, value):
        known = f"it is one of {', '.join(dimension.vocabulary)}" if dimension.vocabulary else dimension.meaning
        raise BadInput(f"{value!r} is no {name}: {known}.")


def _require_pool(values: Mapping[str, str], slos: Sequence[Slo]) -> None:
    pools = {slo.pool for slo in slos}
    if "pool" in values and values["pool"] not in pools:
        raise BadInput(
            f"No turn of pool {values['pool']} is charged to {slos[0].name}, which is about pool {slos[0].pool}: "
            "name another SLO, or all."
        )


def _require_partition(values: Mapping[str, str], families: Sequence[Family]) -> None:
    partitions = [partition for family in families for partition in family.partitions]
    if not any(set(values) <= set(partition.dimensions) for partition in partitions):
        counted = "; ".join(dict.fromkeys(", ".join(partition.dimensions) for partition in partitions))
        raise BadInput(f"Nothing is counted by {', '.join(values)} together, only within one of: {counted}.")


def _order(names: frozenset[str], families: Sequence[Family]) -> tuple[str, ...]:
    """As a cut of just these dimensions has them, otherwise as a partition does."""
    cuts = (cut.dimensions for family in families for cut in family.cuts)
    partitions = (partition.dimensions for family in families for partition in family.partitions)
    same = next((dimensions for dimensions in cuts if frozenset(dimensions) == names), None)
    whole = same or next(dimensions for dimensions in partitions if names <= frozenset(dimensions))
    return tuple(name for name in whole if name in names)


def _instant(written: str, option: str) -> int:
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise BadInput(f"{option} {written!r} is no time with a zone: write it as 2026-10-01T12:00Z or …T14:00+02:00.")
    instant_ms = round(read.timestamp() * 1_000)
    if instant_ms % MINUTE_MS:
        raise BadInput(
            f"{option} {written!r} is no whole minute: minutes are what is counted, so leave the seconds out."
        )
    return instant_ms


def _require_window(from_ms: int, to_ms: int, now_ms: int) -> None:
    if from_ms >= to_ms:
        raise BadInput("The window ends before it begins: --from is its first minute, --to the one after its last.")
    if to_ms - from_ms > RETENTION_1M_D * DAY_MS:
        days = (to_ms - from_ms) / DAY_MS
        raise BadInput(f"The window is {days:.0f} days long, and minutes are kept for {RETENTION_1M_D}: shorten it.")
    if to_ms <= now_ms - RETENTION_1M_D * DAY_MS:
        raise BadInput(f"The window ended more than {RETENTION_1M_D} days ago: its minutes are no longer kept.")
    if to_ms > now_ms + AHEAD_MAX_D * DAY_MS:
        raise BadInput(f"The window ends more than {AHEAD_MAX_D} days ahead: declare it when it is nearer.")


def _line(written: str, option: str, longest: int) -> str:
    text = written.strip()
    if not text:
        raise BadInput(f"{option} is empty: an exclusion that nobody stands for is none.")
    if not text.isprintable() or len(text) > longest:
        raise BadInput(f"{option} has to be one line of at most {longest} characters.")
    return text
