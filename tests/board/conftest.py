"""The board's world: a seeded incident in the tables of the contract, on the embedded engine behind HTTP."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pytest

from alerts.definitions import watched_slos
from alerts.openslo import load_slos
from alerts.policies import policy_for
from dashboards import render
from dashboards.local.asking import TIMEOUT_S
from dashboards.substitution import Range, Value, substituted
from schemas.ddl import contract
from schemas.slos import WatchedSlo
from tests.board.recorded_grafana import RecordedGrafana, recorded, serving
from tests.board.world import LENGTH_S, World, incident
from tests.board.world_more import More, more

SEED = 7
WATCHED = ("turn-4000ms-realtime", "turn-error-batch", "turn-error-realtime")
"""What the world has windows of; the first has its page."""
SHIPPED = tuple(policy_for(slo) for slo in load_slos())
"""What boards are rendered for."""
BOARDS = render.all_boards(SHIPPED)
NOTHING: dict[str, Value] = {choice.name: "" for board in BOARDS.values() for choice in board.choices}
DAY_S = 86_400
HOSTILE = (
    "x' OR 1=1 --",
    'x" OR 1=1',
    "x\\' OR 1=1 -- ",
    "') OR (1=1",
    "{}",
    "$__fromTime",
    "${pool}",
    "ünïcødé 語",
    "%27",
    "a\nb",
    "\\",
)
"""Values that nothing has, and that would mean something were they not in their string."""


@dataclass(frozen=True, slots=True)
class Boards:
    """The world, and what a query of a board answers about it."""

    world: World
    more: More
    watched: tuple[WatchedSlo, ...]
    client: Any
    answers: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def range(self) -> Range:
        """The last half hour, which has rollups of 10 s."""
        return Range(self.world.fine_ms // 1000, self.world.end_ms // 1000)

    @property
    def turns(self) -> pl.DataFrame:
        """What happened in it."""
        return self.world.turns.filter(pl.col("bucket_ms") >= self.world.fine_ms)

    def last(self, seconds: int) -> Range:
        """A range that ends with the world, in steps of a sixhundredth as Grafana makes them."""
        end_s = self.world.end_ms // 1000
        return Range(end_s - seconds, end_s, max(10, seconds // 600))

    def rows(
        self, sql: str, during: Range | None = None, selection: Mapping[str, Value] | None = None, **selected: Value
    ) -> pl.DataFrame:
        """The answer in the whole range or `during` another; what is not selected is empty."""
        variables = {**NOTHING, **(selection or {}), **selected}
        return pl.DataFrame(
            self.client.query_arrow(substituted(sql, during or self.range, variables), use_strings=True)
        )

    def opened(self, uid: str, sql: str) -> pl.DataFrame:
        """The answer over a day as the board opens, asked once."""
        if sql not in self.answers:
            self.answers[sql] = self.rows(sql, self.last(DAY_S), as_opened(uid))
        return self.answers[sql]


def as_opened(uid: str) -> dict[str, Value]:
    """What is chosen on a board before anybody chooses."""
    return {choice.name: choice.chosen for choice in BOARDS[uid].choices if not choice.is_multi}


@pytest.fixture
def grafana() -> Iterator[RecordedGrafana]:
    data = Path(os.environ.get("TURNWATCH_DATA", Path(__file__).parents[3] / "shared" / "data"))
    with serving(recorded(data / "grafana")) as served:
        yield served


@pytest.fixture(scope="session")
def boards(clickhouse_server: Any) -> Iterator[Boards]:
    watched = tuple(each for each in watched_slos() if each.slo.name in WATCHED)
    # Ends on a full hour, one to two hours ago: 10 s rollups are read for a range as recent as that.
    world = incident(SEED, (int(time.time()) // 3_600 * 3_600 - 3_600 - LENGTH_S) * 1000, watched)
    admin = clickhouse_connect.get_client(dsn=clickhouse_server.url)
    admin.command("CREATE DATABASE IF NOT EXISTS boards")
    # So every statement that is asked here, of panels, marks, choices and rules, stays under the time that the board gives it.
    bounded = {"max_execution_time": TIMEOUT_S}
    client = clickhouse_connect.get_client(dsn=clickhouse_server.url, database="boards", settings=bounded)
    for statement in contract().split(";\n"):
        if statement.strip():
            client.command(statement)
    further = more(SEED, world)
    for table, rows in (*world.rows.items(), *further.rows.items()):
        client.insert_arrow(table, rows)
    yield Boards(world, further, watched, client)
    client.close()
    admin.command("DROP DATABASE boards")
    admin.close()
