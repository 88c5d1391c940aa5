"""`turnwatch backfill`: a new objective, or a new cut, over what is stored already.

Rows go where the worker's would, with versions that follow from what they are of: a backfill that is run again writes the
same rows, and one that breaks off is made whole by running it again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from alerts.policies import policy_for
from schemas.counted import counted
from schemas.failures import BadInput
from schemas.instants import DAY_MS
from schemas.tables import RETENTION_1M_D
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.totals.rollup_rows import to_table
from stream_jobs.sinks.clickhouse import LANDED, connect, explained
from turnwatch.backfill_cuts import fillings, statements
from turnwatch.backfill_windows import window_batches
from turnwatch.backtest.command import chosen_slo
from turnwatch.backtest.judging import told_in_minutes
from turnwatch.backtest.series import instant_text
from turnwatch.backtest.sources import written_range
from turnwatch.backtest.warehouse import READ_TIMEOUT_S, read_warehouse
from turnwatch.places import clickhouse
from turnwatch.settings import load

Advance = Callable[[int, int], None]
"""Takes how much is done and of how much."""


def run_backfill(slo: str | None, cut: str | None, data: str, dry_run: bool) -> int:
    """Writes the rows, says how many, and returns the exit code."""
    from_ms, to_ms = checked_range(data, int(time.time() * 1_000))
    address = clickhouse(load())
    with _connected(address) as client, _progress() as advance:
        if slo is not None:
            rows = backfill_slo(client, address, slo, from_ms, to_ms, dry_run, advance)
        else:
            rows = backfill_cut(client, cut or "", from_ms, to_ms, dry_run, advance)
    written = ("row would be written", "rows would be written") if dry_run else ("row was written", "rows were written")
    print(f"{counted(rows, *written)} for {slo or cut}, {instant_text(from_ms)} to {instant_text(to_ms)} UTC.")
    return 0


def checked_range(data: str, now_ms: int) -> tuple[int, int]:
    """The range up to now at most; raises `BadInput` where its minutes are no longer kept, or not counted yet."""
    from_ms, to_ms = written_range(data, now_ms)
    if from_ms < now_ms - RETENTION_1M_D * DAY_MS:
        raise BadInput(
            f"{data} begins {(now_ms - from_ms) / DAY_MS:.0f} days ago, and minutes are kept for {RETENTION_1M_D}: "
            "shorten it."
        )
    if from_ms >= now_ms:
        raise BadInput(f"{data} lies ahead: nothing of it is counted yet.")
    return from_ms, min(to_ms, now_ms)


def backfill_slo(
    client: Client, address: ClickHouseAddress, written: str, from_ms: int, to_ms: int, dry_run: bool, advance: Advance
) -> int:
    """Rows of `burn_windows` for an objective, minute by minute; returns how many."""
    slo = chosen_slo(written)
    (series,) = read_warehouse(address, slo, from_ms, to_ms, None)
    if slo.time_slice_target is not None:
        series = told_in_minutes(series, slo.time_slice_target)
    count = 0
    for done, of, rows in window_batches(series, policy_for(slo), from_ms):
        if rows is not None:
            count += rows.height
            if not dry_run:
                client.insert_arrow("burn_windows", to_table(rows, "burn_windows"), settings=LANDED)
        advance(done, of)
    return count


def backfill_cut(client: Client, cut: str, from_ms: int, to_ms: int, dry_run: bool, advance: Advance) -> int:
    """Rows of `burn_rate_1m`, and of what came late, for a cut, day by day; returns how many."""
    told = fillings(cut)
    days = list(_days(from_ms, to_ms))
    count = 0
    for place, (first_ms, last_ms) in enumerate(days, start=1):
        for filling in told:
            within = {"from_ms": first_ms, "to_ms": last_ms, "indicators": list(filling.indicators)}
            for counting, writing in statements(filling):
                count += int(client.query(counting, within).result_rows[0][0])
                if not dry_run:
                    client.command(writing, within, settings=LANDED)
        advance(place, len(days))
    if count == 0:
        sources = ", ".join(f"{each.source} of {each.family.name}" for each in told)
        raise BadInput(f"Nothing is stored of {sources} in that range: there is nothing to add up for {cut}.")
    return count


def _days(from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """Whole minutes of the range, in stretches that end at midnight."""
    first_ms, end_ms = from_ms // 60_000 * 60_000, to_ms // 60_000 * 60_000
    while first_ms < end_ms:
        last_ms = min(end_ms, first_ms // DAY_MS * DAY_MS + DAY_MS)
        yield first_ms, last_ms
        first_ms = last_ms


@contextmanager
def _connected(address: ClickHouseAddress) -> Iterator[Client]:
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        yield client
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()


@contextmanager
def _progress() -> Iterator[Advance]:
    console = Console(file=sys.stderr)
    columns = (TextColumn("filling in"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda done, of: bar.update(task, completed=done, total=of)
