"""The ClickHouse that `turnwatch bench boards` asks: filled once, and kept where somebody wants to ask it again.

Two statements at once fill it. Then it is brought to where ClickHouse would be by itself an hour later: what it merges at once
is merged, and a partition that nobody writes any more is one part (`min_age_to_force_merge_on_partition_only`).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from clickhouse_connect.driver.client import Client
from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import track

from alerts.definitions import watched_slos
from schemas.ddl import contract
from schemas.failures import BadInput
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer, start_clickhouse
from stream_jobs.sinks.clickhouse import connect
from turnwatch.bench.board_families import filling_others, others
from turnwatch.bench.board_rows import DAY_S, FILLINGS, filling, slices_of
from turnwatch.bench.prometheus_server import ending_on_sigterm

DATABASE = "bench"
FILLERS = 2
RESTING_S, RESTING_MAX_S = 5, 1_800
"""Merges rest when none has run for so many seconds."""
_TIMEOUT_S = 600.0
_MARK = "filled.json"
"""Beside the server's data: what that is filled with."""
_DATA = "clickhouse"


@dataclass(frozen=True, slots=True)
class World:
    """About so many slices and days of rows, up to `end_s`, seconds since 1970; not whole while they are being made.

    `made_of` tells the tables and the values that rows are made of.
    """

    slices: int
    days: int
    end_s: int
    made_of: str
    is_whole: bool


@contextmanager
def filled(slices: int, days: int, kept: Path | None, console: Console) -> Iterator[tuple[ClickHouseAddress, int]]:
    """A ClickHouse with the rows, and where they end; after the block it is not there, nor its folder unless it is `kept`.

    Raises `BadInput` where the folder to keep holds something else.
    """
    with ending_on_sigterm(), tempfile.TemporaryDirectory(prefix="turnwatch-bench-") as passing:
        folder = kept or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        world = _kept(folder, slices, days)
        if not world:
            world = World(slices, days, int(time.time()) // 3_600 * 3_600, _made_of(), is_whole=False)
            _tell(folder, world)
        server = start_clickhouse(folder)
        try:
            server.wait_until_healthy()
            address = ClickHouseAddress(f"{server.url}/{DATABASE}", read_timeout_s=_TIMEOUT_S)
            if not world.is_whole:
                _fill(server, address, world, console)
                _tell(folder, replace(world, is_whole=True))
            yield address, world.end_s
        finally:
            server.stop()


def _kept(folder: Path, slices: int, days: int) -> World | None:
    """What was filled there before; nothing where the folder is empty. Nothing is ever removed."""
    if not any(folder.iterdir()):
        return None
    mark = folder / _MARK
    if not mark.exists():
        raise BadInput(f"{folder} holds files of something else: name an empty folder, or one of a run before.")
    try:
        world = TypeAdapter(World).validate_json(mark.read_bytes(), strict=True)
    except (OSError, ValueError):
        raise BadInput(f"{mark} is not what a run before has written: remove {folder}.") from None
    if (world.slices, world.days) != (slices, days):
        raise BadInput(
            f"{folder} was filled with {world.slices} slices of {world.days} days, and not with {slices} of {days}: "
            f"ask with --slices {world.slices} --days {world.days}, or name another folder."
        )
    if not world.is_whole or not (folder / _DATA).is_dir():
        raise BadInput(f"{folder} is not filled to its end: a run still fills it, or was cut off; then remove it.")
    if world.made_of != _made_of():
        raise BadInput(f"{folder} was filled for other tables or values than today's: remove it.")
    if not 0 <= time.time() - world.end_s <= DAY_S:
        raise BadInput(f"{folder} was not filled within a day, and rollups of 10 s are kept for days only: remove it.")
    return world


def _made_of() -> str:
    told = f"{contract()}\n{dict(FILLINGS)}\n{list(others())}"
    return hashlib.sha256(told.encode()).hexdigest()


def _tell(folder: Path, world: World) -> None:
    (beside := folder / f".{_MARK}").write_text(json.dumps(asdict(world)))
    beside.rename(folder / _MARK)


def _fill(server: ClickHouseServer, address: ClickHouseAddress, world: World, console: Console) -> None:
    admin = connect(ClickHouseAddress(server.url))
    admin.command(f"CREATE DATABASE {DATABASE}")
    admin.close()
    client = connect(address, read_timeout_s=_TIMEOUT_S)
    for statement in contract().split(";\n"):
        if statement.strip():
            client.command(statement)
    told = (
        *filling(client, slices_of(world.slices), world.end_s, world.days),
        *filling_others(client, watched_slos(), world.slices, world.end_s, world.days),
    )
    carry_out(address, told, "rows", console)
    settle(client, console)
    carry_out(address, _merging(client), "partitions", console)
    client.close()


def carry_out(address: ClickHouseAddress, statements: Sequence[str], what: str, console: Console) -> None:
    """Some at once, in their order: rows of a table land in about the order of their time."""
    with ThreadPoolExecutor(FILLERS) as pool:
        clients = SimpleQueue[Client]()
        for _ in range(FILLERS):
            clients.put(connect(address, read_timeout_s=address.read_timeout_s))

        def one(statement: str) -> None:
            client = clients.get()
            try:
                client.command(statement)
            finally:
                clients.put(client)

        for _ in track(pool.map(one, statements), what, len(statements), console=console, transient=True):
            pass
        while not clients.empty():
            clients.get().close()


def settle(client: Client, console: Console) -> None:
    """Waits until ClickHouse has merged what it merges by itself; what it still does after `RESTING_MAX_S` is said."""
    began, quiet = time.monotonic(), 0
    while quiet < RESTING_S and time.monotonic() - began < RESTING_MAX_S:
        running = int(client.query("SELECT count() FROM system.merges").result_rows[0][0])
        quiet = 0 if running else quiet + 1
        time.sleep(1)
    if quiet < RESTING_S:
        console.print(f"{running} merges still run after {RESTING_MAX_S} s: they count among what is measured.")


def _merging(client: Client) -> list[str]:
    """A statement for each partition before the newest of its table that is not one part yet."""
    asked = f"""SELECT table, partition_id FROM (
  SELECT table, partition_id, count() AS parts, max(partition_id) OVER (PARTITION BY table) AS newest
  FROM system.parts WHERE active AND database = '{DATABASE}' GROUP BY table, partition_id)
WHERE parts > 1 AND partition_id < newest ORDER BY table, partition_id"""
    return [
        f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL"
        for table, partition in client.query(asked).result_rows
    ]
