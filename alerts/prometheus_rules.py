"""Rules for Prometheus that mean what our engine means, over the counters that every worker shows at `/metrics`.

A recording rule for each window tells the bad share of every slice; one alerting rule for each objective and severity
fires where any policy row of that severity has both its windows above its threshold, because that is what one alert is
here (`pages.alert_id`): a rule for each row would tell Alertmanager of one alert several times, and end it early. An alert
that fires stays while a row is above the lowered threshold below which it ends, and while its slice is silent after it
was bad. There is no low-traffic rule: PromQL has no Clopper-Pearson.

Windows of up to 10 minutes are recorded every 10 s, longer ones every minute: well within their state bucket, and within
the 5 minutes for which Prometheus takes a sample as current.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import yaml

from alerts.explanations import ALERT_NAME, Links
from alerts.policies import duration_text
from alerts.wording import percent
from schemas.dimensions import DIMENSIONS
from schemas.metrics import SLO_BAD_EVENTS, SLO_EVENTS
from schemas.slos import TIME_SLICE_S, PolicyRow, Severity, Slo, WatchedSlo

Rule = dict[str, object]
Watched = Sequence[WatchedSlo]

FILE = "alerts/rendered/prometheus_rules.yaml"
SHORT_GROUP, LONG_GROUP = "turnwatch_slo_10s", "turnwatch_slo_1m"
_SHORT_MAX_S = 600

_GENERATED = """\
# Rendered by `turnwatch render` from alerts/slos/ and alerts/burn_policies/: change those and render again.
# What these rules need, and how they differ from turnwatch's own pages: docs/prometheus.md.
"""


def render_rules(watched: Watched, links: Links) -> str:
    """The rules as text, the same from one run to the next."""
    return _GENERATED + yaml.dump(rules(watched, links), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def rules(watched: Watched, links: Links) -> dict[str, object]:
    """A rule file: the long windows, then the short ones and the alerts, which so see what was just recorded."""
    lengths = sorted({length for each in watched for row in each.rows for length in _lengths(each.slo, row)})
    labels = _labels(watched)
    long = [_share_rule(length, labels) for length in lengths if length > _SHORT_MAX_S]
    short = [_share_rule(length, labels) for length in lengths if length <= _SHORT_MAX_S]
    alerts = [alert for each in watched for alert in _alerts(each, links)]
    groups = [
        {"name": LONG_GROUP, "interval": "1m", "rules": long},
        {"name": SHORT_GROUP, "interval": "10s", "rules": [*short, *alerts]},
    ]
    return {"groups": [group for group in groups if group["rules"]]}


def share_name(length_s: int) -> str:
    """The series with the bad share over a window.

    >>> share_name(3_600)
    'slo_slice:turnwatch_slo_bad_events:ratio_rate1h'
    """
    return f"slo_slice:{SLO_BAD_EVENTS}:ratio_rate{duration_text(length_s)}"


def _lengths(slo: Slo, row: PolicyRow) -> tuple[int, ...]:
    """The windows that a row looks at; what is left of a budget takes the whole period."""
    return (row.long_s, row.short_s) if row.within_s is None else (row.long_s, row.short_s, slo.period_s)


def _labels(watched: Watched) -> str:
    """What tells one slice of one objective from another, whichever worker counted it."""
    dimensions = dict.fromkeys(
        name for each in watched for cut in each.slo.family.cuts if cut.name in each.slo.cuts for name in cut.dimensions
    )
    return ", ".join(("slo", "slice", *dimensions))


def _share_rule(length_s: int, labels: str) -> Rule:
    """Bad ÷ total; where there was no traffic there is no share, rather than a good one."""
    window = duration_text(length_s)
    bad, total = (f"sum by ({labels}) (increase({name}_total[{window}]))" for name in (SLO_BAD_EVENTS, SLO_EVENTS))
    return {"record": share_name(length_s), "expr": f"{bad}\n/\n({total} > 0)"}


def _alerts(watched: WatchedSlo, links: Links) -> Iterator[Rule]:
    """One rule for each severity, with the labels of our own alerts; a slice and its dimensions come with its series."""
    slo, life = watched.slo, watched.life
    judged = [row for row in watched.rows if slo.time_slice_target is None or row.short_s >= TIME_SLICE_S]
    for severity in dict.fromkeys(row.severity for row in judged):
        rows = [row for row in judged if row.severity == severity]
        yield {
            "alert": ALERT_NAME,
            "expr": _expression(slo, severity, rows, life.resolve_below),
            **_lasting("for", life.pending_s[severity]),
            **_lasting("keep_firing_for", life.keep_firing_s[severity]),
            "labels": {
                "slo": slo.name,
                "severity": severity,
                "owner": slo.owner,
                "pool": slo.pool,
                "scope": _scope(slo),
            },
            "annotations": _annotations(slo, rows, links),
        }


def _scope(slo: Slo) -> str:
    """A template: the whole pool is the fleet's scope (`incident_scope.scope_of`), so that its page mutes its slices'."""
    return f'{{{{ if eq $labels.slice "pool={slo.pool}" }}}}fleet{{{{ else }}}}slice{{{{ end }}}}'


def _lasting(name: str, length_s: int) -> dict[str, object]:
    return {name: duration_text(length_s)} if length_s else {}


def _expression(slo: Slo, severity: Severity, rows: Sequence[PolicyRow], part: Decimal) -> str:
    """Whether a row is exceeded; or whether the alert fires, and a row is near enough to keep it, or its slice silent."""
    exceeded = "\nor\n".join(_exceeded(slo, row) for row in rows)
    kept = "\n  or\n".join(_kept(slo, row, part) for row in rows if row.kind != "any_event")
    if (
        not kept
    ):  # No row has a threshold that could be lowered, or a window that could be silent while the other is bad.
        return exceeded
    firing = f'ALERTS{{alertname="{ALERT_NAME}", alertstate="firing", severity="{severity}", slo="{slo.name}"}}'
    return f"{exceeded}\nor\n(\n{kept}\n) and on (slo, slice) {firing}"


def _exceeded(slo: Slo, row: PolicyRow) -> str:
    above = _limit(slo, row, Decimal(1))
    windows = dict.fromkeys((row.long_s, row.short_s))
    return f"({' and '.join(f'{_share(slo, row, length_s)} > {above}' for length_s in windows)})"


def _kept(slo: Slo, row: PolicyRow, part: Decimal) -> str:
    """The long window is above the lowered threshold, and the short one not at or below it: above it, or without traffic."""
    above = _limit(slo, row, part)
    return f"  ({_share(slo, row, row.long_s)} > {above} unless {_share(slo, row, row.short_s)} <= {above})"


def _limit(slo: Slo, row: PolicyRow, part: Decimal) -> str:
    """The row's threshold, or that part of it; where it follows from what is left of the budget, an expression."""
    if row.within_s is None:
        return _decimal(row.threshold * part)
    rate, times = _decimal(slo.budget_rate), _decimal(Decimal(slo.period_s) / row.within_s)
    limit = f"clamp_min(({rate} - {_share(slo, row, slo.period_s)}) * {times}, {rate})"
    return limit if part == 1 else f"({_decimal(part)} * {limit})"


def _share(slo: Slo, row: PolicyRow, length_s: int) -> str:
    matchers = [f'slo="{slo.name}"', *(f'{name}=""' for name in _too_coarse(slo, row))]
    return f"{share_name(length_s)}{{{', '.join(matchers)}}}"


def _too_coarse(slo: Slo, row: PolicyRow) -> Iterator[str]:
    """Dimensions of slices whose buckets are wider than the row's short window: it does not watch them."""
    family = slo.family
    coarse = (
        name
        for cut in family.cuts
        if cut.name in slo.cuts and family.partition(cut.partition).k_window_s > row.short_s
        for name in cut.dimensions
        if DIMENSIONS[name].is_identifying
    )
    yield from dict.fromkeys(coarse)


def _annotations(slo: Slo, rows: Sequence[PolicyRow], links: Links) -> dict[str, str]:
    above = ", or ".join(_said(row) for row in rows)
    allowed = percent(float(slo.budget_rate))
    return {
        "summary": f"{slo.name} burns its budget in {{{{ $labels.slice }}}}: "
        f"{{{{ $value | humanizePercentage }}}} of {slo.unit} bad, {allowed} allowed",
        "description": f"{slo.description} (objective {percent(float(slo.objective))}, owner {slo.owner}) "
        f"Fires where the share of bad {slo.unit} is {above}.",
        "runbook_url": links.runbook(slo.runbook),
    }


def _said(row: PolicyRow) -> str:
    """Above what a row fires, for readers."""
    long, short = duration_text(row.long_s), duration_text(row.short_s)
    if row.kind == "any_event":
        return f"above 0 % in {long}"
    if row.within_s is not None:
        spent = f"what spends the rest of the budget within {duration_text(row.within_s)}"
        return f"above {spent} in {long} and in {short}"
    return f"above {percent(float(row.threshold))} in {long} and in {short}"


def _decimal(threshold: Decimal) -> str:
    """The threshold as it was written, never as a power of ten.

    >>> _decimal(Decimal("14.40") * Decimal("0.001"))
    '0.0144'
    """
    return format(threshold.normalize(), "f")


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
