"""`turnwatch up`, `down` and `status`: the local stack of this folder, left running between commands."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from stack.alertmanager import HOW_TO_GET_IT
from stack.local import Ports, stack_status, stop_stack
from stack.local import start_stack as start
from turnwatch.prepare import prepare_blocking
from turnwatch.settings import load

console = Console()


def start_local(kafka_port: int | None, clickhouse_port: int | None, alertmanager_port: int | None) -> None:
    settings = load()
    with console.status("starting Kafka, ClickHouse and Alertmanager …"):
        stack = start(
            settings.run_dir, Ports(kafka_port or 0, clickhouse_port or 0, alertmanager_port or 0), lifetime="detached"
        )
        made = prepare_blocking(settings)
    console.print(f"Kafka at {stack.kafka.bootstrap}, ClickHouse at {stack.clickhouse.url}; {made}", highlight=False)
    console.print(f"Alertmanager at {stack.alertmanager.url}" if stack.alertmanager else HOW_TO_GET_IT, highlight=False)
    console.print(
        "Next: `turnwatch worker` in one terminal, `turnwatch simulate` in another; `turnwatch down` ends it."
    )


def stop_local() -> None:
    stopped = stop_stack(load().run_dir)
    console.print(f"Stopped {', '.join(stopped)}." if stopped else "No local stack runs in this folder.")


def show_status() -> int:
    """Prints what runs; 1 where something does not."""
    statuses = stack_status(load().run_dir)
    if not statuses:
        console.print("No local stack runs in this folder; `turnwatch up` starts one.")
        return 1
    table = Table("server", "address", "state", "what to do")
    for server in statuses:
        table.add_row(server.kind, server.address, "healthy" if server.is_healthy else "down", server.remedy)
    console.print(table)
    return 0 if all(server.is_healthy or server.kind == "alertmanager" for server in statuses) else 1
