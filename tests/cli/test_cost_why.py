"""`turnwatch cost why`: parts sum to the change, the picture shows them, and what cannot be compared is a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from schemas.failures import BadInput
from schemas.families import COSTS
from tests.cli.test_cost_files import ROW
from turnwatch.answers.waterfall import FULL, waterfall
from turnwatch.cli import app
from turnwatch.sentences import exit_code_for

NOTHING = dict.fromkeys(COSTS.measure_names, 0)


def fleet(path: Path, turns: int = 1_000, shadows: int = 10, bundle: str = "v1", model: str = "talk-1") -> Path:
    """Ten minutes of one route, with recognition beside the model, and the replicas of both."""
    attempts = turns + shadows
    used_ms = 800 * attempts
    answered = {
        **ROW, **NOTHING, "bundle": bundle, "model_version": model, "turns": turns, "successes": turns * 9 // 10,
        "attempts": attempts, "attempts_shadow": shadows, "tokens_prompt": 600 * attempts, "gpu_used_ms": used_ms,
        "tokens_carried": 200 * attempts, "tokens_out": 80 * attempts,
    }  # fmt: skip
    heard = {"model_version": "listen-1", "gpu_type": "l4", "purchase": "on_demand"}
    shared = {**answered, **NOTHING, "route": "shared"}
    rows = [
        answered,
        {**answered, **NOTHING, **heard, "gpu_used_ms": 30 * turns},
        {**shared, "gpu_reserved_ms": used_ms * 3 // 2},
        {**shared, **heard, "gpu_reserved_ms": 60 * turns},
    ]
    pl.DataFrame(rows).write_csv(path)
    return path


def ended(*words: object) -> Any:
    return CliRunner().invoke(app, ["cost", "why", *map(str, words)])


def answer(*words: object) -> dict[str, Any]:
    found = ended(*words, "--format", "json")
    assert found.exit_code == 0, found.output
    said: dict[str, Any] = json.loads(found.stdout)
    return said


def refused(*words: object) -> str:
    found = ended(*words)
    assert isinstance(found.exception, BadInput), found.output
    assert exit_code_for(found.exception) == 2
    return str(found.exception)


@pytest.mark.parametrize("basis", ["reserved", "used"])
def test_parts_sum_to_the_change_of_the_cost_and_to_the_cent_to_that_of_the_bill(tmp_path: Path, basis: str) -> None:
    old, new = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv", turns=1_080, shadows=673)
    said = answer("--old", old, "--new", new, "--cost", basis)
    added = [each["micro_dollars"] for each in said["drivers"]]
    costs = [said[side]["micro_dollars_per_success"] for side in ("old", "new")]
    assert sum(added) == said["change_micro_dollars"] == costs[1] - costs[0]
    bills = [said[side]["bill_cents"] for side in ("old", "new")]
    cents = [each["bill_cents"] for each in said["drivers"]]
    assert sum(cents) + said["volume_cents"] == said["bill_change_cents"] == bills[1] - bills[0]
    assert said["drivers"][0]["driver"] == "attempts_shadow"
    assert said["drivers"][0]["mostly_in"]["route"] == "agent"


def test_what_was_paid_for_is_the_bill_by_the_prices_given(tmp_path: Path) -> None:
    file = fleet(tmp_path / "a.csv", turns=900_000, shadows=0)
    side = answer("--old", file, "--new", file)["old"]
    dollars = 900_000 * 1.2 / 3_600 * 2.6 + 900_000 * 0.06 / 3_600 * 0.8
    assert side["bill_cents"] == round(dollars * 100)
    assert side["micro_dollars_per_success"] == round(dollars / 810_000 * 1_000_000)
    (tmp_path / "prices.yaml").write_text(
        "apiVersion: turnwatch/v1\nkind: PriceList\nmetadata:\n  name: ours\nspec:\n  currency: USD\n  prices:\n"
        '    - { resource: gpu_hour, gpuType: l4, purchase: on_demand, usd: 10, from: "2025-01-01" }\n'
    )
    dear = answer("--old", file, "--new", file, "--prices", tmp_path / "prices.yaml")["old"]
    assert dear["bill_cents"] == 900_000 * 6 // 360
    assert dear["uncosted_gpu_hours"] == pytest.approx(300.0)


def test_bundles_are_compared_in_one_file_and_their_models_count_as_one_if_asked(tmp_path: Path) -> None:
    one, other = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv", shadows=500, bundle="v2", model="talk-2")
    pl.concat([pl.read_csv(one), pl.read_csv(other)]).write_csv(tmp_path / "both.csv")
    both = tmp_path / "both.csv"
    words = ("--old", both, "--new", both, "--old-where", "bundle=v1", "--new-where", "bundle=v2")
    assert answer(*words)["drivers"][0]["driver"] == "mix"
    together = answer(*words, "--models", "together", "--where", "pool=realtime")
    assert together["drivers"][0]["driver"] == "attempts_shadow"
    assert together["new"]["name"].endswith("both.csv pool=realtime bundle=v2")


def test_a_route_is_charged_its_share_of_the_replicas_that_serve_others_too(tmp_path: Path) -> None:
    """Two routes that use the same are each half of the bill, whatever it is narrowed by besides; parts still sum to it."""
    sides = []
    for name, shadows in (("a.csv", 10), ("b.csv", 500)):
        rows = pl.read_csv(fleet(tmp_path / name, shadows=shadows))
        other = rows.with_columns(route=pl.col("route").replace("agent", "search")).filter(pl.col("route") == "search")
        pl.concat([rows, other]).write_csv(tmp_path / name)
        sides.append(tmp_path / name)
    words = ("--old", sides[0], "--new", sides[1])
    whole, half = answer(*words), answer(*words, "--where", "route=agent", "--where", "bundle=v1")
    for side in ("old", "new"):
        assert half[side]["bill_cents"] == pytest.approx(whole[side]["bill_cents"] / 2, abs=0.51)
        assert (half[side]["turns"], half[side]["successes"]) == (1_000, 900)
    assert half["change_micro_dollars"] == whole["change_micro_dollars"]
    assert half["drivers"][0]["driver"] == "attempts_shadow"
    assert {driver["mostly_in"]["route"] for driver in half["drivers"]} == {"agent"}
    for side_file in sides:
        pl.read_csv(side_file).with_columns(gpu_type=pl.col("gpu_type").replace("h100", "h900")).write_csv(side_file)
    halves = [answer(*words, "--where", f"route={route}")["old"]["uncosted_gpu_hours"] for route in ("agent", "search")]
    assert halves[0] == pytest.approx(halves[1])
    assert sum(halves) == pytest.approx(answer(*words)["old"]["uncosted_gpu_hours"]) and halves[0] > 0
    assert "no rows of costs are of route=none" in refused(*words, "--where", "route=none")


def test_each_list_of_slices_narrows_what_the_others_left(tmp_path: Path) -> None:
    one, other = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv", bundle="v2")
    pl.concat([pl.read_csv(one), pl.read_csv(other)]).write_csv(tmp_path / "both.csv")
    words = ("--old", tmp_path / "both.csv", "--new", tmp_path / "both.csv")
    said = answer(*words, "--where", "bundle=v1", "--where", "bundle=v2", "--new-where", "bundle=v1")
    assert (said["old"]["turns"], said["new"]["turns"]) == (2_000, 1_000)
    nothing = refused(*words, "--where", "bundle=v1", "--old-where", "bundle=v2")
    assert "no rows of costs are of bundle=v1 bundle=v2" in nothing


def test_the_table_has_every_driver_and_a_bar_for_each_level(tmp_path: Path) -> None:
    old, new = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv", turns=1_080, shadows=673)
    lines = ended("--old", old, "--new", new).stdout.splitlines()
    assert lines[0].startswith("a success cost $0.000")
    assert "turns 1,000 → 1,080, successes 900 → 972" in lines[1]
    drawn = {line.split("  ")[0]: line.count(FULL) for line in lines if FULL in line}
    assert set(drawn) >= {"before", "shadow traffic", "after"}
    assert drawn["before"] < drawn["after"]
    assert lines[-1].startswith("shadow traffic: mostly pool=realtime route=agent")


def test_a_row_is_worded_as_its_effect_on_cost_and_nothing_has_no_sign(tmp_path: Path) -> None:
    """Replicas of which less is used make a success dearer, and their bars are cut: it says so."""
    old, new = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv")
    pl.read_csv(old).with_columns(pl.col("gpu_reserved_ms") * 11 // 10).write_csv(new)
    lines = ended("--old", old, "--new", new).stdout.splitlines()
    row, *_ = [line for line in lines if line.startswith("paid GPU time for each hour that is used")]
    assert "+0.0000" in row
    assert any("bars begin at $0.000" in line and ", not at 0" in line for line in lines)
    same = ended("--old", old, "--new", old).stdout.splitlines()
    assert "(0.0%)" in same[0] and "(0.0%)" in same[1]


def test_prices_that_nobody_gave_are_said_below_the_answer_alone(tmp_path: Path) -> None:
    file = fleet(tmp_path / "a.csv")
    found = ended("--old", file, "--new", file)
    assert found.stderr.startswith("turnwatch: No price list is set, so") and "No price list" not in found.stdout
    assert ended("--old", file, "--new", tmp_path / "none.csv").stderr == ""


def test_what_cannot_be_compared_is_a_sentence(tmp_path: Path) -> None:
    some, failed = fleet(tmp_path / "a.csv"), fleet(tmp_path / "b.csv", turns=1)
    assert "b.csv: of 1 turn none succeeded" in refused("--old", some, "--new", failed)
    assert "did you mean pool?" in refused("--old", some, "--new", some, "--where", "pol=realtime")
    assert "costs have no tenant" in refused("--old", some, "--new", some, "--where", "tenant=t1")
    assert "names no slice: write NAME=VALUE" in refused("--old", some, "--new", some, "--where", "realtime")
    assert "no rows of costs are of pool=batch" in refused("--old", some, "--new", some, "--where", "pool=batch")
    assert "there is no such file" in refused("--old", some, "--new", tmp_path / "c.csv")
    assert "There is no file 'soon'" in refused("--old", some, "--new", "soon")
    pl.read_csv(some).with_columns(gpu_reserved_ms=0).write_csv(tmp_path / "unpaid.csv")
    assert "try --cost used" in refused("--old", some, "--new", tmp_path / "unpaid.csv")
    pl.read_csv(some).with_columns(gpu_type=pl.lit("h900")).write_csv(tmp_path / "unknown.csv")
    assert "has no price: add it to the price list" in refused("--old", some, "--new", tmp_path / "unknown.csv")


@pytest.mark.parametrize(
    "words", [("--old", "a.json"), ("--format", "json"), ("--format", "table"), ("--tolerance", "x")]
)
def test_options_of_why_are_not_those_of_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text("{}")
    file = str(fleet(Path("a.csv")))
    found = CliRunner().invoke(app, ["cost", *words, "why", "--old", file, "--new", file])
    assert found.exit_code == 2 and "Give the options of why after its name." in found.output


@pytest.mark.parametrize(("old", "new"), [("7d", "1d"), ("2026-10-01..2026-10-08", "2026-10-08"), ("1d", "1d")])
def test_periods_that_overlap_are_refused_unless_their_slices_tell_them_apart(
    old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"--old {old} and --new {new} overlap" in refused("--old", old, "--new", new, "--where", "pool=realtime")
    apart = refused("--old", old, "--new", new, "--old-where", "bundle=v1", "--new-where", "bundle=v2")
    assert "No ClickHouse is known" in apart
    assert "No ClickHouse is known" in refused("--old", "2026-10-01..2026-10-07", "--new", "2026-10-08")


def _money(thousandths: int) -> float:
    """Floats that differ by 1e-14 would be told apart by rounding alone."""
    return thousandths / 1_000


@given(
    first=st.integers(0, 1_000_000).map(_money),
    steps=st.lists(st.integers(-1_000_000, 1_000_000).map(_money), max_size=12),
    width=st.integers(5, 60),
)
def test_bars_are_as_wide_as_the_picture_and_begin_where_the_one_before_ended(
    first: float, steps: list[float], width: int
) -> None:
    level, kept = first, []
    for step in steps:
        kept.append(max(step, -level))
        level += kept[-1]
    bars = waterfall(first, kept, width)
    assert len(bars.lines) == len(kept) + 2
    assert {len(line) for line in bars.lines} == {width}
    top = max([first, *(first + sum(kept[: place + 1]) for place in range(len(kept)))])
    for step, line in zip(kept, bars.lines[1:-1], strict=True):
        share = abs(step) / ((top - bars.begins_at) or 1.0)
        assert abs(line.count(FULL) - share * width) <= 1.01
