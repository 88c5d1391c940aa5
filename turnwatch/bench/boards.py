"""How soon is a board there on a month of rollups, and what does a row of it cost on disk?

A ClickHouse of its own is filled (`board_world.py`), and every panel of every board is asked as a browser asks: over the range that its
board opens with and over the whole month, several times, or once where that takes long; the first time counts like the others. The overview is asked whole, also over a day, six statements at once, as many
connections as browsers keep: whichever is answered first asks the next. Then a browser opens it (`first_paint.py`). Bytes of a row are
those of ClickHouse's parts, beside the same rows in a MergeTree in order of time without codecs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
from clickhouse_connect.driver.client import Client
from rich.console import Console

from alerts.definitions import watched_slos
from dashboards.boards import Board
from dashboards.local.asking import ranged, statement
from dashboards.panels import Panel
from dashboards.render import all_boards
from dashboards.substitution import Value
from schemas.boards import OVERVIEW_UID
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect
from turnwatch.bench.board_rows import DAY_S, FILLINGS, SLICES, minutes_of
from turnwatch.bench.board_world import DATABASE, filled
from turnwatch.bench.browser import installed
from turnwatch.bench.first_paint import paints

LIMIT_S = 1.0
AS_OPENED = "as_opened"
"""The range that a board opens with; over it the overview has its limit."""
CONNECTIONS = 6
SLOW_S = 5.0
"""What takes longer is not asked again: a month of every panel is to end within the hour."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A panel over one range: seconds of every run."""

    board: str
    panel: str
    range: str
    seconds: tuple[float, ...]

    @property
    def p95_s(self) -> float:
        return p95(self.seconds)


def run_boards(slices: int, days: int, runs: int, kept: Path | None) -> int:
    """Prints a line for each panel, each overview and each table; 1 where the overview as it opens, or a first paint, takes a second or more."""
    console = Console(highlight=False, stderr=True)
    with filled(slices, days, kept, console) as (address, end_s):
        client = connect(address)
        rows = stored_rows(client)
        print(f"slices={slices} days={days} " + " ".join(f"{name}={count}" for name, count in rows.items()))
        for each in timed_panels(client, end_s, days, runs):
            print(f'board={each.board} range={each.range} panel="{each.panel}" p95_s={each.p95_s:.3f}')
        during = overview_ranges(days)
        wholes = {name: p95(whole_overview(address, end_s, seconds, runs)) for name, seconds in during.items()}
        for name, p95_s in wholes.items():
            limit = f" limit={LIMIT_S:g} ratio={p95_s / LIMIT_S:.2f}" if name == AS_OPENED else ""
            print(f"overview range={name} p95_s={p95_s:.3f}{limit}")
        painted = _print_paints(address, end_s, during, runs)
        for table in map(minutes_of, FILLINGS):
            ours, plain = bytes_of_a_row(client, table)
            print(f"table={table} bytes_per_row={ours:.2f} plain_bytes_per_row={plain:.2f} ratio={ours / plain:.2f}")
        client.close()
    return 0 if all(p95_s < LIMIT_S for p95_s in (wholes[AS_OPENED], *painted)) else 1


def _print_paints(address: ClickHouseAddress, end_s: int, during: Mapping[str, int], runs: int) -> list[float]:
    """p95 of first paints, of each range; none where there is no browser, which is said."""
    if not installed():
        print("first_paint is not measured: no Chromium is installed here.")
        return []
    seen = asyncio.run(paints(address, {name: (end_s - seconds, end_s) for name, seconds in during.items()}, runs))
    for name, taken in seen.items():
        told = p95([each.first_s for each in taken])
        screen = p95([each.screen_s for each in taken])
        print(
            f"first_paint range={name} p95_s={told:.3f} limit={LIMIT_S:g} ratio={told / LIMIT_S:.2f} first_screen_p95_s={screen:.3f}"
        )
    return [p95([each.first_s for each in taken]) for taken in seen.values()]


def p95(seconds: Sequence[float]) -> float:
    return float(np.quantile(seconds, 0.95))


def overview_ranges(days: int) -> dict[str, int]:
    """What the overview is asked whole: as it opens, over a day, and over everything."""
    return dict(ranges(_boards()[OVERVIEW_UID], 1)) | dict(ranges(_boards()[OVERVIEW_UID], days))


def ranges(board: Board, days: int) -> tuple[tuple[str, int], ...]:
    """What is asked: the board as it opens, and everything."""
    return (AS_OPENED, board.range_s), (f"{days}d", days * DAY_S)


def timed_panels(client: Client, end_s: int, days: int, runs: int) -> Iterator[Timed]:
    for uid, board in _boards().items():
        for during, seconds in ranges(board, days):
            for panel in panels_of(board):
                statement = _statement(board, panel, end_s, seconds)
                yield Timed(uid, panel.title, during, tuple(_several(client, statement, runs)))


def _several(client: Client, statement: str, runs: int) -> Iterator[float]:
    for _ in range(runs):
        yield (taken := _seconds(lambda: client.raw_query(statement, fmt="Native")))
        if taken > SLOW_S:
            return


def whole_overview(address: ClickHouseAddress, end_s: int, seconds: int, runs: int) -> list[float]:
    """Seconds until the last of its statements is answered, of every run; some are asked at once."""
    board = _boards()[OVERVIEW_UID]
    statements = [_statement(board, panel, end_s, seconds) for panel in panels_of(board)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        clients = [connect(address) for _ in range(CONNECTIONS)]

        def ask(client: Client, left: SimpleQueue[str]) -> None:
            with suppress(Empty):
                while True:
                    client.raw_query(left.get_nowait(), fmt="Native")

        def ask_all() -> None:
            left: SimpleQueue[str] = SimpleQueue()
            for each in statements:
                left.put(each)
            list(pool.map(ask, clients, repeat(left)))

        taken = [_seconds(ask_all) for _ in range(runs)]
        for client in clients:
            client.close()
    return taken


def bytes_of_a_row(client: Client, table: str) -> tuple[float, float]:
    """On disk: as stored, and the newest day of it in a MergeTree in order of time, without codecs and dictionaries."""
    at = TABLES[table].time_column
    columns = ", ".join(
        f"{each.name} {each.type.removeprefix('LowCardinality(').removesuffix(')') if each.type.startswith('LowC') else each.type}"
        for each in TABLES[table].columns
    )
    client.command(f"CREATE TABLE plain ({columns}) ENGINE = MergeTree ORDER BY {at}")
    try:
        client.command(
            f"INSERT INTO plain SELECT * FROM {table} WHERE {at} >= (SELECT max({at}) - INTERVAL 1 DAY FROM {table})"
        )
        return _bytes(client, table), _bytes(client, "plain")
    finally:
        client.command("DROP TABLE plain SYNC")


def _bytes(client: Client, table: str) -> float:
    asked = f"SELECT sum(data_compressed_bytes) / sum(rows) FROM system.parts WHERE active AND database = '{DATABASE}' AND table = '{table}'"
    return float(client.query(asked).result_rows[0][0])


def stored_rows(client: Client) -> dict[str, int]:
    asked = f"SELECT table, sum(rows) FROM system.parts WHERE active AND database = '{DATABASE}' AND NOT startsWith(table, '{SLICES}') GROUP BY table ORDER BY table"
    return {name: int(count) for name, count in client.query(asked).result_rows}


def panels_of(board: Board) -> Sequence[Panel]:
    return [panel for panels in board.sections.values() for panel in panels]


def _boards() -> dict[str, Board]:
    return all_boards(watched_slos())


def _statement(board: Board, panel: Panel, end_s: int, seconds: int) -> str:
    chosen: dict[str, Value] = {choice.name: "" if choice.is_multi else choice.chosen for choice in board.choices}
    return statement(panel.query, ranged(end_s - seconds, end_s, panel), chosen)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
