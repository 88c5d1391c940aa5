"""`turnwatch provision`: data source, boards, alert rules and notifications in Grafana, changed only where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from alerts.definitions import watched_slos
from dashboards.alert_rules_in_grafana import Links
from dashboards.changes import Change, How
from dashboards.data_source import source_at
from dashboards.provisioning import Wanted, provision
from dashboards.render import alert_rules, boards
from schemas.boards import OVERVIEW_UID
from turnwatch.places import boards_url, grafana, notifications, read_by_grafana
from turnwatch.settings import Settings, load

_STYLES = {"-": "yellow", "+": "cyan", "±": "magenta"}
"""Told apart by the sign, too, and without red and green."""


def run_provision(is_dry_run: bool = False, prunes: bool = False, resends: bool = False) -> int:
    settings = load()
    meant = wanted(settings)
    changes = provision(grafana(settings), meant, How(is_dry_run, prunes, resends))
    console = Console()
    _print_differences(console, changes)
    done = "would be" if is_dry_run else "done"
    table = Table("what", Column("name", overflow="fold"), done, Column("note", overflow="fold"))
    for change in changes:
        table.add_row(change.kind, change.name, change.action, change.note)
    console.print(table)
    console.print(_summary(changes, is_dry_run))
    if settings.grafana.clickhouse_url is None and any(map(_gives_account, changes)):
        console.print(_OUR_ACCOUNT.format(meant.source.username), soft_wrap=True)
    return 0


_OUR_ACCOUNT = (
    "The data source has the account '{}' of TURNWATCH_CLICKHOUSE__URL: whoever may open a board may send any statement by it. "
    "Name one that only reads in TURNWATCH_GRAFANA__CLICKHOUSE_URL."
)


def _gives_account(change: Change) -> bool:
    return change.kind == "data source" and change.action in ("created", "updated")


def wanted(settings: Settings) -> Wanted:
    """All that Grafana is to have, by the settings and the objectives there are."""
    watched, told = watched_slos(), notifications(settings)
    links = Links(settings.runbook_base_url, f"{boards_url(settings)}/d/{OVERVIEW_UID}")
    return Wanted(source_at(read_by_grafana(settings)), boards(watched), alert_rules(watched, links), told)


def _print_differences(console: Console, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.difference:
            console.print(f"{change.kind} '{change.name}'", markup=False, highlight=False)
        for line in change.difference:
            console.print(Text(f"  {line}", _STYLES.get(line[:1], "")), soft_wrap=True)


def _summary(changes: Sequence[Change], is_dry_run: bool) -> str:
    """
    >>> _summary([Change("folder", "turnwatch", "unchanged")], is_dry_run=False)
    'Nothing was changed: all of it is as it should be.'
    >>> _summary([Change("folder", "turnwatch", "created")], is_dry_run=True)
    '1 created. This was a dry run: nothing was changed.'
    """
    counts = Counter(change.action for change in changes if change.action != "unchanged")
    left = counts.pop("left over", 0)
    parts = ", ".join(f"{count} {action}" for action, count in counts.items())
    leftover = f" {left} left over from before: --prune deletes what it can." if left else ""
    if not parts:
        return f"Nothing was changed: all of it is as it should be.{leftover}"
    return f"{parts}.{' This was a dry run: nothing was changed.' if is_dry_run else ''}{leftover}"
