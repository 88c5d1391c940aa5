"""What `turnwatch check` says about the contract and about names on boards."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.check import check
from alerts.definitions import watched_slos
from alerts.openslo import SHIPPED_SLOS
from dashboards.render import render_all
from schemas.declarations import Cut, Family, Measure, PrivacyPartition, Purpose
from schemas.dimensions import DIMENSIONS, Dimension
from schemas.families import FAMILIES, TENANCY, TENANTS, TURNS
from schemas.noise import Noise
from schemas.views import VIEWS
from turnwatch.checks import run_check
from turnwatch.contract_checks import board_problems, contract_problems
from turnwatch.declared_names import undeclared, variables
from turnwatch.dictionary import data_dictionary
from turnwatch.query_checks import page_problems, queries_in, shown_pages, view_problems

TODAY = date(2026, 11, 21)


def problems_of(**changed: Any) -> list[str]:
    return contract_problems(TODAY, [replace(TURNS, **changed)])


def test_what_is_declared_is_in_order() -> None:
    assert contract_problems(TODAY) == []
    assert board_problems(render_all(watched_slos())) == []


def test_a_measure_may_be_collected_until_the_end_of_its_last_day() -> None:
    last = min(family.purpose_of(measure).expires for family in FAMILIES.values() for measure in family.measures)
    assert contract_problems(last) == []
    expired = contract_problems(last + timedelta(days=1))
    assert expired and all(
        problem.startswith(f"Since {last} there is no reason to collect family ") for problem in expired
    )


def test_only_what_has_expired_is_named() -> None:
    old = Purpose("ml-quality", "to see whether it still matters", TODAY - timedelta(days=1))
    (problem,) = problems_of(measures=(*TURNS.measures, Measure("sighs", "sighs", "sighs heard", purpose=old)))
    assert problem.startswith("Since 2026-11-20 there is no reason to collect family turns, sighs: ml-quality says")


@pytest.mark.parametrize(
    ("family", "measure", "why"),
    [
        ("queues", "arrivals", "no partition of it identifies anybody"),
        ("queues", "depth", "is a gauge"),
        ("turns", "turn_4000ms_bad", "an objective is judged by it"),
        ("tenants", "tenant_lookups", "tenant_lookups_stale is a part of it that has none"),
    ],
)
def test_noise_is_declared_only_where_it_can_be_and_protects_somebody(family: str, measure: str, why: str) -> None:
    noise, declared = Noise(1.0, 1, 1), FAMILIES[family]
    noisy = (replace(each, noise=noise if each.name == measure else each.noise) for each in declared.measures)
    problems = contract_problems(TODAY, [replace(declared, measures=tuple(noisy))])
    assert [each for each in problems if why in each and f"Measure {measure} of family {family} declares" in each]


@pytest.mark.parametrize("owner", ["", "somebody in Berlin"])
def test_a_missing_owner_is_told(owner: str) -> None:
    (problem,) = problems_of(
        purpose=Purpose(owner, "to see", date(2030, 1, 1)), measures=(Measure("turns", "turns", "turns"),)
    )
    assert problem.startswith("Nobody answers for family turns, turns: ")


def test_a_missing_reason_is_told() -> None:
    (problem,) = problems_of(
        purpose=Purpose("sre", " ", date(2030, 1, 1)), measures=(Measure("turns", "turns", "turns"),)
    )
    assert problem.startswith("Nobody says why there is family turns, turns: ")


def test_too_many_identifying_dimensions_are_told() -> None:
    crowded = PrivacyPartition("crowd", ("pool", "tenant", "accent", "language", "codec", "voice"), 60)
    (problem,) = problems_of(partitions=(crowded,), cuts=())
    assert problem.startswith("Partition crowd of family turns has 5 identifying dimensions (tenant, accent,")
    four = replace(crowded, dimensions=crowded.dimensions[:-1])
    assert problems_of(partitions=(four,), cuts=()) == []


def test_an_identifying_dimension_in_two_partitions_is_told_across_families_of_the_same_observations() -> None:
    again = PrivacyPartition("again", ("pool", "tenant"), 60)
    (problem,) = problems_of(partitions=(PrivacyPartition("once", ("pool", "tenant"), 60), again), cuts=())
    assert problem.startswith(
        "Dimension tenant identifies, and stands in several partitions of turns (again of 60 s, once of 60 s)"
    )
    split = [replace(TURNS, partitions=(again,), cuts=()), replace(TENANTS, cuts=())]
    (problem,) = contract_problems(TODAY, split)
    assert "(again of 60 s, tenancy of 60 s)" in problem
    elsewhere: list[Family] = [split[0], replace(TENANTS, kind="others", cuts=())]
    assert contract_problems(TODAY, elsewhere) == []


def test_one_partition_in_windows_of_two_lengths_is_told() -> None:
    """Five minutes of which four are told minute by minute tell the fifth."""
    longer = replace(TENANTS, partitions=(replace(TENANCY, k_window_s=300),), cuts=())
    (problem,) = contract_problems(TODAY, [replace(TURNS, partitions=(TENANCY,), cuts=()), longer])
    assert problem.startswith(
        "Dimension tenant identifies, and stands in several partitions of turns (tenancy of 60 s, tenancy of 300 s)"
    )


def test_a_measure_that_two_families_count_of_the_same_people_is_told() -> None:
    bills = replace(TURNS, name="bills", kind="bills", partitions=(TENANCY,), cuts=())
    visits = replace(TURNS, name="visits", kind="visits", partitions=(TENANCY,), cuts=())
    (problem,) = contract_problems(TODAY, [bills, replace(visits, measures=visits.measures[:1])])
    assert problem.startswith("Families bills and visits both count turns by tenant: what one withholds")
    assert contract_problems(TODAY, [bills, replace(visits, measures=(Measure("calls", "calls", "calls"),))]) == []


def test_a_window_too_short_for_what_identifies_is_told() -> None:
    (problem,) = problems_of(partitions=(PrivacyPartition("quick", ("pool", "tenant"), 10),), cuts=())
    assert problem.startswith("Partition quick of family turns has identifying dimensions in windows of 10 s, below 60")


def test_dimensions_and_cuts_that_nobody_declared_are_told() -> None:
    (problem,) = problems_of(partitions=(PrivacyPartition("operational", ("pool", "mood"), 10),), cuts=())
    assert "names mood, which no dimension is" in problem
    (problem,) = problems_of(cuts=(Cut("operational", ("pool", "language")),))
    assert "groups by language, which partition operational does not carry" in problem
    (problem,) = problems_of(cuts=(Cut("speech", ("pool",)),))
    assert "is of partition speech, which it does not have" in problem


def test_dimensions_without_values_or_an_order_are_told() -> None:
    more = DIMENSIONS | {
        "mood": Dimension("mood", "mood"),
        "gait": Dimension("gait", "gait", pattern="a", generalise_order=1),
    }
    found = contract_problems(TODAY, [], more)
    assert found[0].startswith("Dimension mood has neither vocabulary nor pattern")
    assert found[1].startswith("Dimensions tenant, gait give way in the same place, 1")


# -- names on boards ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT sum(turns) FROM traffic_1m WHERE cut = 'pool' AND mood = 'x'", ["mood"]),
        ("SELECT turns FROM trafic_1m", ["turns", "trafic_1m"]),  # Of a table that is not there nothing is known.
        ("SELECT depth FROM traffic_1m", ["depth"]),  # A column, but of another table.
        ("SELECT depth, a.turns FROM traffic_1m AS a JOIN queues_1m AS b ON a.pool = b.pool", []),
        ("SELECT a.turns, a.mood FROM traffic_1m AS a", ["mood"]),
        ("SELECT `first value` FROM (SELECT turns AS `first value` FROM traffic)", []),
        ("WITH x AS (SELECT 1 AS y) SELECT y, arrayMap((a, b) -> a + b + c, [1], [2]) FROM x", ["c"]),
        ("SELECT 'mood' /* mood */ -- mood\n, {mood:String}, ${mood:csv}, toStartOfMinute(bucket_start) FROM traffic", []),
        ("SELECT turns.1, tokens_in FROM traffic ORDER BY bucket_start DESC NULLS LAST LIMIT 10 BY pool", []),
    ],
)  # fmt: skip
def test_a_word_that_names_nothing_declared_is_found(sql: str, found: list[str]) -> None:
    assert undeclared(sql) == found


def test_every_view_names_what_is_declared() -> None:
    assert view_problems() == []
    select = VIEWS["capacity"].select.replace("SELECT ", "SELECT mood, ", 1)
    broken = {"capacity": replace(VIEWS["capacity"], select=select)}
    assert view_problems(broken) == ["View capacity names mood, which is declared nowhere: write what is meant."]


def test_every_query_that_a_page_shows_names_what_is_declared() -> None:
    pages = shown_pages()
    assert sum(len(queries_in(text)) for text in pages.values()) > 50
    assert page_problems(pages) == []


def test_a_query_of_a_page_that_names_what_is_gone_is_told_with_its_page() -> None:
    page = """
```sql
SELECT turns, mood FROM traffic
```

```sh
turnwatch query "
SELECT humour FROM turnwatch_traffic_1m"
turnwatch query "SELECT depth FROM queues_1m WHERE slice = 'x'" --format csv   # as it was
ls
```
"""
    assert queries_in(page)[1:] == [
        "\nSELECT humour FROM turnwatch_traffic_1m",
        "SELECT depth FROM queues_1m WHERE slice = 'x'",
    ]
    assert [problem.partition(", which")[0] for problem in page_problems({"docs/x.md": page})] == [
        "docs/x.md: the query that begins `SELECT turns, mood FROM traffic` names mood",
        "docs/x.md: the query that begins `SELECT humour FROM turnwatch_traffic_1m` names humour",
        "docs/x.md: the query that begins `SELECT humour FROM turnwatch_traffic_1m` names turnwatch_traffic_1m",
    ]


def test_variables_are_those_of_the_board() -> None:
    assert variables("SELECT ${pool:percentencode}, $slo WHERE $__fromTime < now() AND ${__interval_ms}") == [
        "pool",
        "slo",
    ]


def test_a_board_that_names_what_is_gone_is_told() -> None:
    (file, text), *_ = ((file, text) for file, text in render_all(watched_slos()).items() if file.endswith(".json"))
    assert "tokens_in" in text and "${region:" in text
    renamed = text.replace("tokens_in", "tokens_heard").replace("${region:", "${province:")
    found = board_problems({file: renamed})
    assert any("names tokens_heard, which is declared nowhere" in problem for problem in found)
    assert any("names variable province, which the board does not offer" in problem for problem in found)
    assert all(problem.startswith(f"{file}: The query of `") for problem in found)
    assert json.loads(text)["templating"]["list"]


@pytest.mark.parametrize(("written", "instead"), [("turn_4000ms", "turn_5000ms"), ("pool,region", "pool,mood")])
def test_an_slo_that_names_what_nobody_declared_is_told(tmp_path: Path, written: str, instead: str) -> None:
    sound = (SHIPPED_SLOS / "turn_4000ms.yaml").read_text().partition("---")[0]
    assert written in sound
    (tmp_path / "slo.yaml").write_text(sound.replace(written, instead))
    assert any(instead in problem or "mood" in problem for problem in check(tmp_path))


def test_the_command_fails_on_the_day_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check(TODAY) == 0
    assert run_check(date(2099, 1, 1)) == 1
    assert "problem: Since 2028-06-30 there is no reason to collect family turns, turns, " in capsys.readouterr().out


def test_the_dictionary_says_of_each_measure_who_answers_for_it_and_until_when() -> None:
    lines = data_dictionary().splitlines()
    for family in FAMILIES.values():
        for measure in family.measures:
            purpose = family.purpose_of(measure)
            row = next(
                line
                for line in lines[lines.index(f"# Family `{family.name}`") :]
                if line.startswith(f"| `{measure.name}` |")
            )
            assert measure.merge in row and row.endswith(f"| {purpose.owner} | {purpose.expires} |")
            assert any(purpose.why in line and purpose.owner in line for line in lines)
