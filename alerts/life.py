"""The life of one shard's alerts: what a decision makes of each of them.

What exceeds a row is *pending* while it wants evidence, or has not lasted for `Life.pending_s`: nobody is told of it, and
it ends without a word when nothing states it any more. Then it *fires*, and stays while anything speaks for it: a row that
is exceeded (`burns`, `held`), one that is near its threshold (`holding`), or silence where it was bad (`quiet`). After the
last such statement it fires for `Life.keep_firing_s` more, and *resolves* with the first decision then: a later instant,
or the same one on more of the volume, and in any case on nearly all of it, because silence is never good news. What
nothing has confirmed or ended for a minute is *frozen*; waiting for its end confirms it. What too few producers have
reported makes no new alert either. All of these times are event time.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from alerts.alert_statements import Heard, ended, firing, frozen, going_on, pending
from alerts.explanations import objective_was_removed
from alerts.paging_state import Shard, firing_in, is_open
from alerts.wording import percent
from schemas.burns import FIRE_COMPLETENESS_MIN, RESOLVE_COMPLETENESS_MIN, AlertState, Burn, Decision, Quiet

FROZEN_AFTER_MS = 60_000
"""How long an alert stays as it is without being confirmed or ended: event time, and by the clock where that counts."""

_SLICE_IS_QUIET = "its slice has no traffic in the short window"


@dataclass(frozen=True, slots=True)
class Lived:
    """What a decision makes of a shard's alerts: the statements to publish, and what is only remembered."""

    published: tuple[AlertState, ...]
    remembered: tuple[AlertState, ...] = ()


def lived(shard: Shard, heard: Heard) -> Lived:
    """Every alert of the shard that this decision begins, confirms, ends or freezes; at most one statement of each."""
    exceeding = _exceeding(shard, heard)
    told = [alert for alert in exceeding if _is_told(shard, alert)]
    near = _near(shard, heard, {alert.alert for alert in exceeding})
    stated = {alert.alert for alert in (*exceeding, *near)}
    silent = _silent(shard, heard, stated)
    unstated = _unstated(shard, heard, stated | silent.keys())
    settled = stated | {alert.alert for alert in unstated}
    stopped = _unconfirmed(shard, heard, settled, silent)
    unsaid = {alert.alert: alert for alert in (*exceeding, *silent.values())}
    for alert in (*told, *stopped):
        unsaid.pop(alert.alert, None)
    return Lived((*told, *near, *unstated, *stopped), tuple(unsaid.values()))


def alert_id(burn: Burn | Quiet) -> str:
    """Identity of the alert that a burn belongs to; no part of it can hold a `|`."""
    return f"{burn.slo}|{burn.slice}|{burn.severity}"


def _exceeding(shard: Shard, heard: Heard) -> list[AlertState]:
    """What exceeds a row, pending or firing; of several rows the one that burns fastest on enough evidence gives the numbers."""
    decision = heard.decision
    says_enough = decision.completeness >= FIRE_COMPLETENESS_MIN
    burns = _fastest(burn for burn in decision.burns if says_enough or _is_any_event(burn))
    stated = _fastest(decision.held if says_enough else ()) | burns
    return [_risen(shard.alerts.get(name), name in burns, stated[name], heard) for name in sorted(stated)]


def _is_any_event(burn: Burn) -> bool:
    """Whether one bad turn is enough for its row, on however little of the volume."""
    return burn.factor == 0


def _fastest(burns: Iterable[Burn]) -> dict[str, Burn]:
    best: dict[str, Burn] = {}
    for burn in sorted(burns, key=lambda burn: (-burn.long_burn, burn.long_s, burn.row)):
        best.setdefault(alert_id(burn), burn)
    return best


def _risen(before: AlertState | None, is_evident: bool, burn: Burn, heard: Heard) -> AlertState:
    """It goes on if it is open, and begins once it has been pending for long enough; until then it is pending."""
    name, decision = alert_id(burn), heard.decision
    since_ms = before.starts_event_ms if before and before.state == "pending" else decision.decided_ms
    lasts_ms = 1_000 * heard.paging.life_of(burn.slo).pending_s.get(burn.severity, 0)
    is_due = is_evident and decision.decided_ms - since_ms >= lasts_ms
    if is_due or (before is not None and is_open(before)):
        return firing(name, before, burn, heard)
    return pending(name, before, burn, heard)


def _is_told(shard: Shard, alert: AlertState) -> bool:
    """A pending alert is published when it begins to be one, and not again."""
    before = shard.alerts.get(alert.alert)
    return alert.state != "pending" or before is None or before.state != "pending"


def _near(shard: Shard, heard: Heard, stated: Set[str]) -> list[AlertState]:
    """Open alerts that are near enough to a row's threshold to go on, though no row is exceeded."""
    if heard.decision.completeness < FIRE_COMPLETENESS_MIN:
        return []
    names = {alert_id(each) for each in heard.decision.holding} - stated
    return [going_on(alert, heard.decision, heard.now_ms, is_stated=True) for alert in _open(shard, names)]


def _silent(shard: Shard, heard: Heard, stated: Set[str]) -> dict[str, AlertState]:
    """Open alerts whose slice says nothing: that speaks for them, and confirms nothing."""
    if heard.decision.completeness < FIRE_COMPLETENESS_MIN:
        return {}
    said = {"stated_event_ms": heard.decision.decided_ms}
    names = {alert_id(each) for each in heard.decision.quiet} - stated
    return {alert.alert: alert.model_copy(update=said) for alert in _open(shard, names)}


def _unstated(shard: Shard, heard: Heard, spoken_for: Set[str]) -> list[AlertState]:
    """Alerts that nothing speaks for any more: they wait for their end, or end.

    What no shard watches any more, because its objective was removed, is stated by none and ends at once.
    """
    decision = heard.decision
    if decision.completeness < RESOLVE_COMPLETENESS_MIN:
        return []
    over = [
        alert
        for name, alert in sorted(shard.alerts.items())
        if alert.ends_ms is None and name not in spoken_for and _confirmed(alert) < _instant(decision)
    ]
    return [
        ended(alert, decision, heard.paging, heard.now_ms)
        if decision.decided_ms >= _until_ms(alert, heard)
        else going_on(alert, decision, heard.now_ms)
        for alert in over
    ]


def _until_ms(alert: AlertState, heard: Heard) -> int:
    """Until when it fires though nothing speaks for it. Of what is not known when it was stated last, that is from now."""
    if alert.state == "pending" or objective_was_removed(alert, heard.paging):
        return 0
    stated_ms = heard.decision.decided_ms if alert.stated_event_ms is None else alert.stated_event_ms
    return stated_ms + 1_000 * heard.paging.life_of(alert.burn.slo).keep_firing_s.get(alert.burn.severity, 0)


def _unconfirmed(shard: Shard, heard: Heard, settled: Set[str], silent: dict[str, AlertState]) -> list[AlertState]:
    """Firing alerts that no decision has been able to confirm or end for too long, this one included."""
    decision = heard.decision
    oldest_ms = decision.decided_ms - FROZEN_AFTER_MS
    share = f"only {percent(decision.completeness)} of recent volume has reported"
    return [
        frozen(
            silent.get(alert.alert, alert),
            alert.decided_event_ms,
            _SLICE_IS_QUIET if alert.alert in silent else share,
            heard.now_ms,
        )
        for alert in firing_in(shard)
        if alert.alert not in settled and alert.decided_event_ms <= oldest_ms
    ]


def _open(shard: Shard, names: Set[str]) -> list[AlertState]:
    return [alert for name, alert in sorted(shard.alerts.items()) if name in names and is_open(alert)]


def _confirmed(alert: AlertState) -> tuple[int, float]:
    return alert.decided_event_ms, alert.completeness


def _instant(decision: Decision) -> tuple[int, float]:
    return decision.decided_ms, decision.completeness
