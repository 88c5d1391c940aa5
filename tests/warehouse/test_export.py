"""`turnwatch export`: whole files with every row and value, and one sentence where something is wrong."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from schemas.failures import BadInput
from schemas.tables import TABLES
from schemas.views import VIEWS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import WarehouseError
from tests.warehouse.rows import arrow_of, rows_of
from turnwatch import export as exporting
from turnwatch.cli import app
from turnwatch.export import CHUNK_BYTES, Asked, asked_for, export
from turnwatch.export import _Lines as Lines

HOSTILE = 'a "quoted",\nline with ünïcødé 語'


@pytest.fixture
def address(client: Client, clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """A warehouse with rows, one of them with a text that CSV has to quote."""
    client.insert_arrow(
        "concurrency_1m", arrow_of(TABLES["concurrency_1m"], rows_of(TABLES["concurrency_1m"], 7, count=200))
    )
    verdicts = rows_of(TABLES["verdicts"], 7, count=40)
    heads = [row | {"metric": "", "because": HOSTILE, "release": f"v{place}"} for place, row in enumerate(verdicts)]
    client.insert_arrow("verdicts", arrow_of(TABLES["verdicts"], heads))
    yield ClickHouseAddress(f"{clickhouse_server.url}/{client.database}")


def test_both_formats_hold_what_the_view_says(address: ClickHouseAddress, client: Client, tmp_path: Path) -> None:
    for view in ("concurrency", "release_verdicts"):
        asked = Asked(VIEWS[view])
        parquet = export(address, asked, "parquet", tmp_path / "rows.parquet")
        csv = export(address, asked, "csv", tmp_path / "rows.csv")
        read = pl.read_parquet(tmp_path / "rows.parquet")
        (stored,) = client.query(f"SELECT count() FROM {view}").result_rows[0]
        assert parquet.rows == csv.rows == read.height == stored > 5
        assert tuple(read.columns) == VIEWS[view].column_names
        assert not [name for name, kind in read.schema.items() if kind == pl.Binary]
        again = pl.read_csv(tmp_path / "rows.csv", infer_schema=False)
        assert again.columns == read.columns
        assert again.height == read.height
        for file, written in (("rows.parquet", parquet), ("rows.csv", csv)):
            content = (tmp_path / file).read_bytes()
            assert (written.size, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert set(read["because"]) == set(again["because"]) == {HOSTILE}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]


def test_a_range_and_values_choose_and_nothing_is_said_to_be_nothing(
    address: ClickHouseAddress, client: Client, tmp_path: Path
) -> None:
    days = [str(day) for (day,) in client.query("SELECT DISTINCT day FROM peaks ORDER BY day").result_rows]
    values_then = "SELECT groupArray(DISTINCT pool) FROM peaks WHERE day = {day:Date}"
    (values,) = client.query(values_then, {"day": days[0]}).result_rows[0]
    asked = asked_for("peaks", days[0], days[0], [f"pool={values[0]}", "pool=' OR 1=1 --"])
    (wanted,) = client.query(
        "SELECT count() FROM peaks WHERE day = {day:Date} AND pool = {pool:String}", {"day": days[0], "pool": values[0]}
    ).result_rows[0]
    assert export(address, asked, "csv", tmp_path / "day.csv").rows == wanted > 0
    nothing = asked_for("peaks", "1999-01-01", "1999-01-02", [])
    for output in ("csv", "parquet"):
        assert export(address, nothing, output, tmp_path / output).rows == 0
    assert pl.read_parquet(tmp_path / "parquet").columns == pl.read_csv(tmp_path / "csv").columns


def test_a_failure_leaves_neither_half_a_file_nor_an_old_one_changed(
    address: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "peaks.csv"
    out.write_text("of yesterday")
    monkeypatch.setitem(exporting._SETTINGS, "max_rows_to_read", 1)
    with pytest.raises(WarehouseError, match=r"max_rows_to_read|Limit for rows"):
        export(address, Asked(VIEWS["peaks"]), "csv", out)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of yesterday"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["peak"], "There is no view 'peak': did you mean peaks?"),
        (["zzz"], "There is no view 'zzz': there are budgets, burn_by_day, "),
        (["late_producers", "--from", "2026-10-01"], "late_producers has no time: leave out --from and --to."),
        (["peaks", "--from", "2026-10-02", "--to", "2026-10-01"], "--to 2026-10-01 is not after --from 2026-10-02"),
        (["peaks", "--from", "soon"], "'soon' is no time"),
        (["peaks", "--where", "pool"], "write NAME=VALUE"),
        (["peaks", "--where", "accent=de"], "'accent=de': rows of peaks have no accent: "),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(options: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["export", *options])
    assert isinstance(result.exception, BadInput)
    assert told in str(result.exception)


def test_rows_of_csv_are_counted_wherever_a_piece_ends() -> None:
    text = b'a,"b ""c"", d\n\n",1\n"","\n",2\nplain,,3\n'
    assert len(text) < CHUNK_BYTES
    for size in range(1, len(text)):
        lines, stream = Lines(), io.BytesIO(text)
        while piece := stream.read(size):
            lines.count(piece)
        assert lines.counted == 3
