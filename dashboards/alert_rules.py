"""The second line: what Grafana watches over ClickHouse, while workers judge burns and page by themselves.

A worker's pages wait for nothing that is here, and nothing here waits for a worker. So these rules ask what a worker cannot
tell of itself: whether anything still comes, whether all of it comes, and whether what burns has been paged. Budgets
that are nearly spent are told here, because nothing pages for them: what spends them slowly exceeds no policy row.

Silence is never good news. A rule whose query fails fires under its own name once that has lasted for its `for`, and
`PipelineSilent` fires as well when its query answers nothing. The other rules answer nothing where nothing is to be judged,
which is no alert, because silence is told by `PipelineSilent` alone; Alertmanager keeps theirs back while it fires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dashboards.ownership import OWN_PREFIX
from dashboards.panels import Panel
from dashboards.queries import Query, second_line
from dashboards.sections import burn_rate, pipeline
from schemas.slos import Severity, WatchedSlo

HOUR_S, DAY_S = 3_600, 86_400
GROUP, INTERVAL_S = "second-line", 60

LAG_MAX_S = 120
MISSING_SHARE_MAX = 0.05
"""As much of a family's volume as a silent producer has to take along to page (`TelemetrySilent`)."""
UNCONFIRMED_MAX_S = 900
"""A page is confirmed or ended by every decision, and one that waits for its end by the next one, too."""
BUDGET_LEFT_MIN = 0.1

State = Literal["Alerting", "OK"]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Fires where the figure of a row of `query` is above or below `limit` for `for_s`.

    `summary` is a Go template; it avoids `$`, which Grafana's provisioning files take for a variable. `panel` is what to
    look at first. `unanswered` is the rule's state when the query answers no row, and `because` says why.
    """

    name: str
    query: Query
    comparison: Literal["gt", "lt"]
    limit: float
    lookback_s: int
    for_s: int
    severity: Severity
    summary: str
    meaning: str
    panel: Panel
    unanswered: State
    because: str

    @property
    def uid(self) -> str:
        """
        >>> silent = second_line_rules(())[0]
        >>> silent.name, silent.uid
        ('PipelineSilent', 'turnwatch-pipeline-silent')
        """
        words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in self.name)
        return f"{OWN_PREFIX}{words.strip('-')}"


VALUE = '(index .Values "A").Value'
"""The figure, in a template; 0 where the query failed."""

_FAILING = "This can't be judged: its query of ClickHouse fails"
_SILENCE_IS_TOLD = "No row is no alert: there is nothing to judge, and that nothing comes is told by PipelineSilent."


def label(name: str) -> str:
    """A column of the answer, in a template."""
    return f'{{{{ index .Labels "{name}" }}}}'


def _judged(known: str, text: str) -> str:
    """The text where `known` is there, and otherwise that the query fails."""
    return f"{{{{ if {known} }}}}{text}{{{{ else }}}}{_FAILING}{{{{ end }}}}"


def second_line_rules(watched: Sequence[WatchedSlo]) -> tuple[AlertRule, ...]:
    """Every rule, the most urgent first."""
    watched = tuple(watched)
    return (_pipeline_silent(), _burn_not_paged(watched), _behind(), _turns_missing(), _page_stuck(), _budget())


def _pipeline_silent() -> AlertRule:
    age = f"{{{{ humanizeDuration {VALUE} }}}}"
    return AlertRule(
        name="PipelineSilent",
        query=second_line.SILENCE,
        comparison="gt",
        limit=second_line.SILENT_AFTER_S,
        lookback_s=6 * HOUR_S,
        for_s=120,
        severity="page",
        summary=_judged('index .Labels "silent"', f"Nothing new has landed in {label('silent')} for {age}"),
        meaning=(
            "Nobody sees what the fleet serves, or nobody judges it: producers, Kafka, workers, the sink or ClickHouse "
            "have stopped. Heartbeats come without traffic, too; missing traffic only counts while producers have turns."
        ),
        panel=pipeline.age(),
        unanswered="Alerting",
        because="No row is silence as well, and fires.",
    )


def _burn_not_paged(watched: tuple[WatchedSlo, ...]) -> AlertRule:
    where = f"{label('slo')} burns in {label('slice')}"
    return AlertRule(
        name="BurnNotPaged",
        query=second_line.unpaged_burns(watched),
        comparison="gt",
        limit=0,
        lookback_s=DAY_S,
        for_s=300,
        severity="page",
        summary=_judged('index .Labels "slo"', f"{where} above a row that pages, and no page is known of it"),
        meaning=(
            "Both windows of a policy row for pages are exceeded in a whole pool, and table pages has no open page of it, "
            "not even one that is held for want of evidence: what should page does not. Treat this as that page."
        ),
        panel=burn_rate.burning(watched),
        unanswered="OK",
        because=_SILENCE_IS_TOLD,
    )


def _behind() -> AlertRule:
    lag = f"{{{{ humanizeDuration {VALUE} }}}}"
    return AlertRule(
        name="RollupsBehind",
        query=second_line.LAG,
        comparison="gt",
        limit=LAG_MAX_S,
        lookback_s=HOUR_S,
        for_s=600,
        severity="ticket",
        summary=_judged(VALUE, f"Decisions reach ClickHouse {lag} after their time"),
        meaning=(
            "Workers or the sink keep up no more, or only just. Pages are late by what workers lag; "
            "by what only the sink lags, boards are."
        ),
        panel=pipeline.age(),
        unanswered="OK",
        because=_SILENCE_IS_TOLD,
    )


def _turns_missing() -> AlertRule:
    share = f"{{{{ humanizePercentage {VALUE} }}}}"
    return AlertRule(
        name="TurnsMissing",
        query=second_line.MISSING_TURNS,
        comparison="gt",
        limit=MISSING_SHARE_MAX,
        lookback_s=HOUR_S + 60 * second_line.SETTLED_AFTER_MIN,
        for_s=600,
        severity="ticket",
        summary=_judged(VALUE, f"{share} of the turns that producers took in within an hour are in no rollup"),
        meaning=(
            "They are in no burn rate and no budget, or not in that of every slice: refused (dead letters), too late for their "
            "bucket, lost on the way, or of a shard that stands still. "
            "What producers dropped themselves is not among them."
        ),
        panel=pipeline.producers(),
        unanswered="OK",
        because=_SILENCE_IS_TOLD,
    )


def _page_stuck() -> AlertRule:
    of = f"The {label('told_as')} of {label('slo')} in {label('slice')}"
    since = f"{{{{ humanizeDuration {VALUE} }}}}"
    return AlertRule(
        name="PageStuck",
        query=second_line.UNCONFIRMED_PAGES,
        comparison="gt",
        limit=UNCONFIRMED_MAX_S,
        lookback_s=7 * DAY_S,
        for_s=300,
        severity="ticket",
        summary=_judged('index .Labels "slo"', f"{of} is open, and no decision has confirmed or ended it for {since}"),
        meaning=(
            "Objectives are decided, and this page hears nothing of it: most producers of its slice are silent, its shard "
            "stands still, or whoever holds the pages does. Alertmanager shows it as firing all the same."
        ),
        panel=burn_rate.pages(),
        unanswered="OK",
        because="No row is no alert: no page is open.",
    )


def _budget() -> AlertRule:
    left = f"{{{{ humanizePercentage {VALUE} }}}}"
    return AlertRule(
        name="BudgetNearlySpent",
        query=second_line.BUDGETS_LEFT,
        comparison="lt",
        limit=BUDGET_LEFT_MIN,
        lookback_s=DAY_S,
        for_s=900,
        severity="ticket",
        summary=_judged('index .Labels "slo"', f"{label('slo')} has {left} of its budget left in {label('slice')}"),
        meaning=(
            "Less than a tenth of the period's error budget is left for a whole pool. It may burn so slowly that "
            "nothing pages. Releases that could cost more of it should wait. While nothing is decided, the last budget of a "
            "day stands."
        ),
        panel=burn_rate.budget(),
        unanswered="OK",
        because=_SILENCE_IS_TOLD,
    )
