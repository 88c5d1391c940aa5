"""`turnwatch provision`: folder, data source and boards in Grafana, changed only where they differ."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from alerts.definitions import watched_slos
from dashboards.data_source import source_at
from dashboards.provisioning import provision
from dashboards.render import boards
from turnwatch.places import clickhouse, grafana
from turnwatch.settings import load


def run_provision(is_dry_run: bool = False) -> int:
    settings = load()
    wanted = boards(watched_slos())
    changes = provision(grafana(settings), source_at(clickhouse(settings)), wanted, is_dry_run=is_dry_run)
    table = Table("what", "name", "done", "note")
    for change in changes:
        table.add_row(change.kind, change.name, change.action, change.note)
    Console().print(table)
    return 0
