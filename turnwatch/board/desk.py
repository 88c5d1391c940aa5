"""What a page of the board asks for: panels, drawn, and values of choices; a few at a time, from one ClickHouse.

A client is connected when it is first needed, and anew after ClickHouse was away: nobody restarts the board for that.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from dashboards.boards import Board, Choice
from dashboards.local.asking import (
    NO_MARKS,
    TIMEOUT_S,
    TOO_MUCH,
    Selection,
    ask,
    ask_marks,
    ask_options,
    chosen,
    ranged,
)
from dashboards.local.drawing import drawn, tabled, titled
from dashboards.local.views import View, linking
from dashboards.panels import Bars, Chart, HeatMap, Panel
from schemas.failures import Foreseen
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained, is_about_the_statement

ASKING_MAX = 4
"""Statements that run at once: as many as a page asks for at once, so one reader does not crowd out another."""
WAITING_MAX = 200
OPTIONS_MAX = 500
MARKS_KEPT = 16

Answer = dict[str, Any]
Told = TypeVar("Told")


class TooMany(Foreseen):
    """As many questions wait as memory and ClickHouse bear."""


class Nowhere(Foreseen):
    """There is no such board, panel or choice."""


class StatementRefused(Foreseen):
    """ClickHouse answered, and refuses this statement; others it may take."""


@dataclass(frozen=True, slots=True)
class Question:
    """A board at a view, at a time; `is_wanted` says whether somebody still waits."""

    board: Board
    view: View
    now_s: int
    is_wanted: Callable[[], bool] = field(default=lambda: True)

    @property
    def selection(self) -> Selection:
        return chosen(self.board.choices, self.view.given)


@dataclass(slots=True)
class Desk:
    """Where pages ask."""

    address: ClickHouseAddress
    boards: Mapping[str, Board]
    _client: Client | None = None
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ASKING_MAX))
    _waiting: int = 0
    _marks: OrderedDict[str, asyncio.Task[pl.DataFrame]] = field(default_factory=OrderedDict)

    async def panel(self, asked: Question, panel: Panel, *, as_table: bool = False) -> bytes:
        """The panel as JSON: `title`, `summary`, `html`, `spec`, and `note` where marks are missing.

        Raises `WarehouseError`, `StatementRefused`, `TooMany`, and `BadInput` for a range that is none.
        """
        from_s, to_s = asked.view.between(asked.now_s)
        during = ranged(from_s, to_s, panel)
        selection = asked.selection
        marks, note = (
            await self._marked(asked) if isinstance(panel, Chart | HeatMap) and not as_table else (NO_MARKS, "")
        )
        shown = titled(panel, selection)

        def told(client: Client) -> bytes:
            rows = ask(client, panel, during, selection)
            _require_wanted(asked.is_wanted)
            if as_table and isinstance(shown, Chart | HeatMap | Bars) and rows.height:
                return _json({"title": shown.title, "summary": "", "html": tabled(shown, rows), "spec": None})
            link_to = linking(self.boards, asked.view)
            made = drawn(shown, rows, during, marks, link_to=link_to)
            answer = {"title": shown.title, "summary": made.summary, "html": made.html, "spec": made.spec, "note": note}
            return _json({**answer, "isEmpty": made.is_empty})

        return await self._asked(told, asked.is_wanted)

    async def options(self, asked: Question, choice: Choice, search: str) -> Answer:
        """Values that can be chosen, those that hold `search`: `values`, the first `OPTIONS_MAX` of `count`."""
        from_s, to_s = asked.view.between(asked.now_s)
        selection = asked.selection
        values = await self._asked(
            lambda client: ask_options(client, choice, ranged(from_s, to_s), selection), asked.is_wanted
        )
        found = [value for value in values if search.casefold() in value.casefold()]
        return {"values": found[:OPTIONS_MAX], "count": len(found)}

    async def close(self) -> None:
        for task in self._marks.values():
            task.cancel()
        await asyncio.gather(*self._marks.values(), return_exceptions=True)
        if self._client is not None:
            self._client.close()

    async def _marked(self, asked: Question) -> tuple[pl.DataFrame, str]:
        """Marks, which all charts of a page share; charts are drawn without them where they cannot be asked."""
        during = ranged(*asked.view.between(asked.now_s))
        selection = asked.selection
        # A range that is written as such begins to hold other marks all the same: `now` is new each time a page asks.
        key = repr((asked.board.uid, during, asked.now_s, sorted(selection.items())))
        if key not in self._marks:
            self._marks[key] = asyncio.create_task(
                self._asked(lambda client: ask_marks(client, asked.board, during, selection))
            )
            while len(self._marks) > MARKS_KEPT:
                self._marks.popitem(last=False)
        try:
            return await asyncio.shield(self._marks[key]), ""
        except StatementRefused as error:
            return NO_MARKS, f"Marks are missing: {error}"
        except Foreseen:
            self._marks.pop(key, None)
            raise

    async def _asked(self, told: Callable[[Client], Told], is_wanted: Callable[[], bool] = lambda: True) -> Told:
        """What a thread makes of ClickHouse's answer, when it is its turn."""
        if self._waiting >= WAITING_MAX:
            raise TooMany("As many panels wait as this board bears: it asks again.")
        self._waiting += 1
        try:
            async with self._asking:
                _require_wanted(is_wanted)
                client = await self._connected()
                return await asyncio.to_thread(told, client)
        except ClickHouseError as error:
            trouble = explained(error, self.address)
            if trouble.code in TOO_MUCH:
                raise StatementRefused(f"{trouble} Choose a shorter range, or fewer slices.") from error
            if is_about_the_statement(trouble):
                raise StatementRefused(str(trouble)) from error
            self._client = None
            raise trouble from error
        finally:
            self._waiting -= 1

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                self._client = await asyncio.to_thread(connect, self.address, read_timeout_s=TIMEOUT_S + 5)
            return self._client


def _require_wanted(is_wanted: Callable[[], bool]) -> None:
    """Neither asks nor draws for a reader who has moved on: the page that this one reads now would wait for it."""
    if not is_wanted():
        raise TooMany("Nobody waits for this any more.")


def _json(answer: Answer) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), default=str).encode()
