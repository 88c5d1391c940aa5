"""The life of `TelemetrySilent`: from what intake states about silent producers to what Alertmanagers are told.

Few silent producers of a family are an alert each; more are one alert that lists them, and it stays one until all
report again. It is a page when so much of the family's recent volume is missing that alerts on it can no longer resolve,
otherwise a ticket; what has paged stays a page.

An alert ends when its producer reports again. It ends, too, when the producer is forgotten: from then on nobody counts
its volume as missing any more, and the alert says so.

Everything here is a value, and every statement is absolute: reading one again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alerts.explanations import Links
from alerts.pages import RESOLVED_KEPT_MS
from alerts.silence_wording import SilentFamily, board_range, explain_producers, explain_silence, labels_of_silence
from schemas.silences import LAGGING_MAX_MS, REMEMBERED_MS, Silence, SilenceAlert
from schemas.slos import Severity

NAMED_MAX = 3
"""Silent producers of a family that are an alert each."""

PAGE_SHARE_MIN = 0.05
"""Share of a family's recent volume whose silence is a page: with more of it missing no alert resolves
(`schemas.burns.RESOLVE_COMPLETENESS_MIN`)."""

Source = tuple[str, int]
"""Family and source partition."""


@dataclass(frozen=True, slots=True)
class Silences:
    """The newest statement about each source partition, and the alerts by identity, open or recently resolved."""

    statements: Mapping[Source, Silence] = field(default_factory=dict)
    alerts: Mapping[str, SilenceAlert] = field(default_factory=dict)

    @property
    def firing(self) -> tuple[SilenceAlert, ...]:
        return tuple(alert for alert in self.alerts.values() if alert.state == "firing")

    def of(self, family: str) -> SilentFamily:
        """Who is silent in a family, on all that is known of its source partitions."""
        known = [each for (name, _), each in sorted(self.statements.items()) if name == family]
        return _family(family, known)


@dataclass(frozen=True, slots=True)
class Stepped:
    """The new state, the alerts that changed, and those of them that somebody has to hear of at once."""

    silences: Silences
    changed: tuple[SilenceAlert, ...] = ()
    news: tuple[SilenceAlert, ...] = ()


def step(silences: Silences, statement: Silence, links: Links, now_ms: int) -> Stepped:
    """Takes in what intake states of one family in one source partition."""
    source = (statement.family, statement.source_partition)
    known = silences.statements.get(source)
    if known is not None and statement.version < known.version:
        return Stepped(silences)
    remembered = {name: alert for name, alert in silences.alerts.items() if _is_remembered(alert, now_ms)}
    heard = Silences({**silences.statements, source: statement}, remembered)
    family = heard.of(statement.family)
    fired = _fired(heard, family, links, now_ms)
    ended = _ended(heard, family, {alert.alert for alert in fired}, links, now_ms)
    changed = tuple(alert for alert in (*fired, *ended) if remembered.get(alert.alert) != alert)
    news = tuple(alert for alert in changed if _state_of(remembered, alert.alert) != alert.state)
    after = Silences(heard.statements, {**remembered, **{alert.alert: alert for alert in changed}})
    return Stepped(after, changed, news)


def to_send(silences: Silences, now_ms: int) -> tuple[SilenceAlert, ...]:
    """What Alertmanagers have to know: all that fires, and what has resolved within a day."""
    return tuple(alert for alert in silences.alerts.values() if _is_remembered(alert, now_ms))


def _family(name: str, statements: Iterable[Silence]) -> SilentFamily:
    """Without the producers of partitions that are so far behind that they are forgotten."""
    known = list(statements)
    newest_ms = max((each.newest_ms for each in known), default=0)
    current = [each for each in known if each.newest_ms >= newest_ms - LAGGING_MAX_MS]
    silent = sorted((one for each in current for one in each.silent), key=lambda one: (-one.volume, one.producer))
    return SilentFamily(
        name=name,
        newest_ms=newest_ms,
        silent=tuple(silent),
        unlisted=sum(each.unlisted for each in current),
        missing=sum(each.volume for each in silent) + sum(each.unlisted_volume for each in current),
        volume=sum(each.volume for each in current),
    )


def _fired(silences: Silences, family: SilentFamily, links: Links, now_ms: int) -> list[SilenceAlert]:
    if not family.silent:
        return []
    open_alerts = [alert for alert in silences.firing if alert.family == family.name]
    is_page = family.share >= PAGE_SHARE_MIN or any(alert.severity == "page" for alert in open_alerts)
    severity: Severity = "page" if is_page else "ticket"
    if family.count > NAMED_MAX or any(alert.producer is None for alert in open_alerts):
        explained = explain_producers(family, links, now_ms)
        return [_firing(silences, family, None, family.since_ms, severity, explained, now_ms)]
    return [
        _firing(
            silences, family, one.producer, one.since_ms, severity, explain_silence(family, one, links, now_ms), now_ms
        )
        for one in family.silent
    ]


def _firing(
    silences: Silences,
    family: SilentFamily,
    producer: str | None,
    since_ms: int,
    severity: Severity,
    annotations: dict[str, str],
    now_ms: int,
) -> SilenceAlert:
    name = f"{family.name}|{producer or ''}|{severity}"
    previous = silences.alerts.get(name)
    goes_on = previous is not None and previous.state == "firing"
    return SilenceAlert(
        alert=name,
        state="firing",
        family=family.name,
        producer=producer,
        severity=severity,
        since_ms=since_ms,
        starts_ms=previous.starts_ms if previous and goes_on else now_ms,
        ends_ms=None,
        labels=labels_of_silence(family.name, producer, severity),
        annotations=annotations,
    )


def _ended(silences: Silences, family: SilentFamily, stated: set[str], links: Links, now_ms: int) -> list[SilenceAlert]:
    over = [alert for alert in silences.firing if alert.family == family.name and alert.alert not in stated]
    return [
        alert.model_copy(
            update={
                "state": "resolved",
                "ends_ms": now_ms,
                "annotations": alert.annotations
                | {
                    "resolved_because": _why_over(alert, family),
                    "dashboard_url": links.of_pipeline(board_range(family, alert.since_ms, now_ms, is_over=True)),
                },
            }
        )
        for alert in sorted(over, key=lambda alert: alert.alert)
    ]


def _why_over(alert: SilenceAlert, family: SilentFamily) -> str:
    if any(alert.producer in (one.producer, None) for one in family.silent):
        return "It goes on as another alert of this family."
    who = alert.producer or "Who was silent"
    if family.newest_ms - alert.since_ms > REMEMBERED_MS:
        return f"{who} has been silent for too long and is forgotten: its volume is no longer expected."
    return f"{who} reports again."


def _state_of(alerts: Mapping[str, SilenceAlert], name: str) -> str | None:
    return alerts[name].state if name in alerts else None


def _is_remembered(alert: SilenceAlert, now_ms: int) -> bool:
    return alert.ends_ms is None or now_ms - alert.ends_ms < RESOLVED_KEPT_MS
