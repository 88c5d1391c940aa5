"""CSV and Parquet become the same series, and whatever cannot be meant is told with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.failures import BadInput
from tests.backtest.rows import FLEET, MINUTE_MS, SLO, START_MS, minutes, written
from turnwatch.backtest.sources import read_files

ISO = ["2026-10-01T00:00:00Z,9,10", "2026-10-01 00:01,10,10", "2026-10-01T00:02:00+00:00,8,10"]


def refused(path: Path, *more: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_files([path, *more], SLO)
    return str(error.value).replace(str(path.parent), "…")


def test_minutes_become_a_series(tmp_path: Path) -> None:
    told = read_files([written(tmp_path / "a.csv", minutes([(1, 10), (0, 20), (5, 5)]))], SLO)
    (series,) = told.series
    assert series.slices == (FLEET,)
    assert (series.bad[0].tolist(), series.total[0].tolist()) == ([1, 0, 5], [10, 20, 5])
    assert (told.from_ms, told.to_ms) == (START_MS, START_MS + 3 * MINUTE_MS)
    assert series.notes == ()


def test_times_are_read_however_iso_8601_writes_utc(tmp_path: Path) -> None:
    (series,) = read_files([written(tmp_path / "a.csv", ISO)], SLO).series
    assert series.bad[0].tolist() == [1, 0, 2]


def test_absent_minutes_count_as_zero_traffic_and_the_first_is_told(tmp_path: Path) -> None:
    lines = minutes([(1, 10), (0, 20)]) + minutes([(5, 5)], first=4)
    (series,) = read_files([written(tmp_path / "a.csv", lines)], SLO).series
    assert series.total[0].tolist() == [10, 20, 0, 0, 5]
    (note,) = series.notes
    assert note.startswith("2 minutes have no row and count as zero traffic, first at ")
    assert note.endswith(f"a.csv:4 ({FLEET}).")


@pytest.mark.parametrize("order", ["by slice", "by minute"])
def test_rows_may_come_by_slice_or_by_minute(tmp_path: Path, order: str) -> None:
    names = [FLEET, f"{FLEET},region=eu-west-1", f"{FLEET},bundle=v2"]
    rows = [(name, at, 10 * place + at) for place, name in enumerate(names) for at in range(4)]
    rows.sort(key=(lambda row: row[1]) if order == "by minute" else (lambda row: names.index(row[0])))
    lines = [f'"{name}",{START_MS // MINUTE_MS + at},1,{total + 1}' for name, at, total in rows]
    (series,) = read_files([written(tmp_path / "a.csv", lines, "slice,minute,bad,total")], SLO).series
    found = {name: series.total[place].tolist() for place, name in enumerate(series.slices)}
    assert found == {name: [10 * place + at + 1 for at in range(4)] for place, name in enumerate(names)}


def test_parquet_is_read_to_the_same_series_as_csv(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)
    total = dice.integers(1, 100, 601)
    rows = pl.DataFrame({"total": total, "bad": dice.binomial(total, 0.1)}).with_columns(
        bucket_start=pl.Series(START_MS + np.arange(601) * 10_000).cast(pl.Datetime("ms", "UTC")),
        slice=pl.lit(f"{FLEET},bundle=v1"),
        indicator=pl.Series([*["turn_4000ms", "turn_error"] * 300, "turn_4000ms"]),
        cut=pl.lit("pool,bundle"),
    )
    rows.write_parquet(tmp_path / "a.parquet", row_group_size=100)
    rows.with_columns(pl.col("bucket_start").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(tmp_path / "a.csv")
    first, second = (read_files([tmp_path / name], SLO).series[0] for name in ("a.parquet", "a.csv"))
    assert first.span == second.span
    assert first.span.width_ms == 10_000
    assert first.slices == second.slices
    assert (first.bad == second.bad).all() and (first.total == second.total).all()
    assert int(first.total.sum()) == int(total[::2].sum())


def test_slices_that_nobody_watches_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"{each},7,1,10" for each in ("pool=realtime", "pool=batch", '"pool=realtime,route=a"')]
    (series,) = read_files([written(tmp_path / "a.csv", lines, "slice,minute,bad,total")], SLO).series
    assert series.slices == (FLEET,)
    assert series.notes == ("2 slices that turn-4000ms-realtime does not watch are left out, such as pool=batch.",)


def test_a_slice_may_go_on_in_the_next_file(tmp_path: Path) -> None:
    first = written(tmp_path / "a.csv", minutes([(1, 10)]))
    second = written(tmp_path / "b.csv", minutes([(2, 10)], first=1))
    assert read_files([first, second], SLO).series[0].bad[0].tolist() == [1, 2]
    assert refused(second, first).endswith(f"comes after a later one of {FLEET}: sort the rows by time.")


WRONG: dict[str, tuple[str, Sequence[str], str]] = {
    "unsorted": ("minute,good,total", ["5,9,10", "4,9,10"], "a.csv:3: 1970-01-01 00:04:00 comes after a later one of"),
    "repeated": ("minute,good,total", ["5,9,10", "5,9,10"], "a.csv:3: 1970-01-01 00:05:00 stands there twice for"),
    "good above total": ("minute,good,total", ["5,9,10", "6,11,10"], "a.csv:3: good is above total (good 11, total 10)."),
    "bad above total": ("minute,bad,total", ["5,9,10", "6,11,10"], "a.csv:3: bad is above total (bad 11, total 10)."),
    "negative good": ("minute,good,total", ["5,-1,10"], "a.csv:2: good is negative (good -1, total 10)."),
    "negative total": ("minute,bad,total", ["5,0,-1"], "a.csv:2: total is negative (bad 0, total -1)."),
    "not a number": ("minute,good,total", ["5,9,10", "6,NaN,10"], "a.csv:3: good 'NaN' is no count"),
    "a fraction": ("minute,good,total", ["5,9.5,10"], "a.csv:2: good '9.5' is no count"),
    "nothing": ("minute,good,total", ["5,9,"], "a.csv:2: total is missing, which is no count"),
    "more than there can be": ("minute,bad,total", [f"5,0,{2**41}"], "a.csv:2: total is above 1,099,511,627,776"),
    "no time": ("minute,good,total", ["yesterday,9,10"], "a.csv:2: minute 'yesterday' is no UTC time such as"),
    "no such day": ("minute,good,total", ["2026-02-30T00:00:00Z,9,10"], "a.csv:2: minute '2026-02-30T00:00:00Z' is no UTC"),
    "another zone": ("minute,good,total", ["2026-10-01T00:00:00+02:00,9,10"], "a.csv:2: minute '2026-10-01T00:00:00+02:00'"),
    "mixed widths": (
        "minute,good,total",
        ["2026-10-01T00:00:00Z,9,10", "2026-10-01T00:00:30Z,9,10"],
        "a.csv:3: this is no whole minute: name the column bucket_start",
    ),
    "odd buckets": ("bucket_start,good,total", ["2026-10-01T00:00:07Z,9,10"], "a.csv:2: buckets begin at multiples of 10 s"),
    "empty": ("", [], "a.csv:1: the file is empty"),
    "no rows": ("minute,good,total", [], "a.csv: the file has no rows of turn_4000ms"),
    "unknown column": ("minute,good,totl", ["5,9,10"], "a.csv:1: there is no column 'totl': did you mean `total`?"),
    "column twice": ("minute,good,total,total", ["5,9,10,10"], "a.csv:1: "),
    "no count": ("minute,total", ["5,10"], "a.csv:1: there is no column good and bad: give good or bad."),
    "both counts": ("minute,good,bad,total", ["5,9,1,10"], "a.csv:1: there is both column good and bad: give good or bad."),
    "ragged": (
        "minute,good,total",
        ['5,"9",10', "6,9,10,11"],
        "a.csv:3: the line has 4 fields, the header 3: a text with a comma goes in double quotes.",
    ),
    "ragged behind a comma in quotes": (
        "minute,slice,good,total",
        ['5,"pool=batch,region=eu",9,10', "6,pool=batch,region=eu,9,10"],
        "a.csv:3: the line has 5 fields, the header 4: a text with a comma goes in double quotes.",
    ),
    "no slice": ("slice,minute,good,total", ["fleet,5,9,10"], "a.csv:2: 'fleet' is no slice: write one as pool=realtime."),
    "another pool": ("slice,minute,good,total", ["pool=batch,5,9,10"], "a.csv holds 1 slice, such as pool=batch, and none"),
    "other indicators": ("indicator,minute,good,total", ["turn_error,5,9,10"], "a.csv: the file has no rows of turn_4000ms"),
}  # fmt: skip


@pytest.mark.parametrize(("header", "lines", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_meant_is_told_with_its_line(
    tmp_path: Path, header: str, lines: Sequence[str], sentence: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *lines]) + "\n" if header else "")
    told = refused(path)
    assert sentence in told
    assert told.endswith((".", "?")) and "\n" not in told


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"minute,good,total\n1,2,3\n\xff\xfe,2,3\n")
    assert refused(path) == "…/a.csv:3: the line is no text in UTF-8: save the file as UTF-8."


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"minute": [5, 4], "good": [1, 1], "total": [2, 2]}, "a.parquet: row 2: 1970-01-01 00:04:00 comes after a later"),
        ({"minute": [5, 6], "good": [1.0, float("nan")], "total": [2, 2]}, "a.parquet: row 2: good nan is no count"),
        ({"minute": [5, 6], "good": [1, None], "total": [2, 2]}, "a.parquet: row 2: good is missing"),
        ({"minute": [5, 6], "good": [1, 3], "total": [2, 2]}, "a.parquet: row 2: good is above total (good 3, total 2)."),
        ({"minute": [5, 6], "good": ["1", "3"], "total": [2, 2]}, "a.parquet: row 1: column good is "),
        ({"minute": [5.0, 6.0], "good": [1, 1], "total": [2, 2]}, "a.parquet: row 1: column minute is double"),
        ({"minute": [], "good": [], "total": []}, "a.parquet: the file has no rows"),
        ({"minutes": [5], "good": [1], "total": [2]}, "a.parquet:1: there is no column 'minutes': did you mean `minute`?"),
    ],
)  # fmt: skip
def test_wrong_parquet_is_told_with_its_row(tmp_path: Path, columns: dict[str, list[object]], sentence: str) -> None:
    pl.DataFrame(columns, strict=False).write_parquet(tmp_path / "a.parquet")
    assert sentence in refused(tmp_path / "a.parquet")


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("minute,good,total\n")
    assert refused(tmp_path / "a.parquet").startswith("…/a.parquet: this cannot be read as Parquet: ")


def test_files_of_two_widths_are_refused(tmp_path: Path) -> None:
    wide = written(tmp_path / "wide.csv", ISO)
    fine = written(tmp_path / "fine.csv", ["2026-10-01T00:00:10Z,9,10"], "bucket_start,good,total")
    assert refused(wide, fine) == "…/wide.csv has buckets of 1 min and …/fine.csv of 10 s: give files of one width."


def test_what_is_not_there_or_of_another_kind_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.csv") == "…/a.csv: there is no such file."
    written(tmp_path / "a.txt", ISO)
    assert refused(tmp_path / "a.txt").startswith("…/a.txt: only files ending in .csv or .parquet are read")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").startswith("…/empty: the folder holds no frames")


def test_slices_by_the_minute_say_nothing_about_when_was_decided_unless_they_are_alone(tmp_path: Path) -> None:
    """The stream decides as far as those with buckets of 10 s have come."""
    german = [f'"{FLEET},language=de",{minute},1,10' for minute in range(4)]
    header = "slice,minute,bad,total"
    (alone,) = read_files([written(tmp_path / "a.csv", german, header)], SLO).series
    assert alone.reported.tolist() == [True] * 4
    (beside,) = read_files([written(tmp_path / "b.csv", [*german, f"{FLEET},1,1,10"], header)], SLO).series
    assert beside.reported.tolist() == [False, True, False, False]
