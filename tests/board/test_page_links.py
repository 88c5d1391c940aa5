"""Where pages lead: to a board that is there, to what its reader may choose, and with every value as it was."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from alerts.board_links import Lasting
from alerts.diverting import firing
from alerts.explanations import Links
from alerts.silence_wording import SilentFamily, explain_silence
from alerts.watchdog import watchdog
from dashboards.queries.selection import selected
from dashboards.substitution import Value
from schemas.boards import BOARD_OF_QUESTION, OVERVIEW_UID, PIPELINE_UID
from schemas.findings import Finding
from schemas.rejections import Halt
from schemas.silences import SilentProducer
from tests.board.conftest import BOARDS, HOSTILE, Boards
from tests.rules.burning import burning
from tests.rules.finding import regressed, saturated

LINKS = Links(grafana="https://grafana.example/")
HOUR_MS = 3_600_000
LIVE = Lasting(10 * HOUR_MS, 11 * HOUR_MS, 11 * HOUR_MS + 2_000)
DRIFTED = saturated().model_copy(
    update={"alert": "Drifted", "labels": {"measure": "error_rate"}, "slice": "pool=realtime,language=de"}
)


def parts(url: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """The board's uid, its range, and what is chosen, as a browser reads them."""
    at = urlsplit(url)
    assert f"{at.scheme}://{at.netloc}" == "https://grafana.example"
    given = {name: value for name, (value,) in parse_qs(at.query, strict_parsing=bool(at.query)).items()}
    chosen = {name.removeprefix("var-"): value for name, value in given.items() if name.startswith("var-")}
    return at.path.removeprefix("/d/"), {name: given[name] for name in ("from", "to") if name in given}, chosen


@pytest.mark.parametrize(
    ("question", "finding"), [("saturation", saturated()), ("drift", DRIFTED), ("cost", regressed())]
)
def test_a_finding_leads_to_its_questions_board_narrowed_by_what_is_a_choice_there(
    question: str, finding: Finding
) -> None:
    uid, _, chosen = parts(LINKS.of_finding(question, finding, LIVE))
    assert uid == BOARD_OF_QUESTION[question]
    assert chosen
    assert chosen.keys() <= {choice.name for choice in BOARDS[uid].choices}


def test_every_question_has_a_board_and_an_unknown_one_leads_to_the_overview() -> None:
    assert set(BOARD_OF_QUESTION.values()) <= set(BOARDS)
    assert parts(LINKS.of_finding("newer", saturated(), LIVE))[0] == OVERVIEW_UID


def test_a_burn_leads_to_the_overview_at_its_objective_and_slice() -> None:
    uid, shown, chosen = parts(LINKS.of_burn(burning(), LIVE))
    assert (uid, chosen["slo"], chosen["bundle"]) == (OVERVIEW_UID, "turn-4000ms-realtime", "v2-canary")
    assert chosen.keys() <= {choice.name for choice in BOARDS[uid].choices}
    assert shown == {"from": str(8 * HOUR_MS), "to": "now"}, "twice the long window before it began"


def test_a_burn_of_who_the_users_are_leads_to_the_breakdown_by_that() -> None:
    """The overview cannot be narrowed to a language, but shows each."""
    uid, _, chosen = parts(LINKS.of_burn(burning(slice_text="pool=realtime,language=de"), LIVE))
    by = next(choice for choice in BOARDS[uid].choices if choice.name == "by")
    assert chosen["by"] == "language" and isinstance(by.options, tuple) and "language" in by.options
    assert "by" not in parts(LINKS.of_burn(burning(), LIVE))[2]


def test_what_is_about_the_data_itself_leads_to_the_board_about_that() -> None:
    silent = SilentProducer(producer="host-1", since_ms=10 * HOUR_MS, volume=1.0)
    family = SilentFamily("turns", 11 * HOUR_MS, (silent,), 0, 1.0, 4.0)
    halt = Halt(topic="aggregates.turns", partition=0, offset=9, reason="schema", why="No.", at_ms=9)
    for url in (
        explain_silence(family, silent, LINKS, 11 * HOUR_MS)["dashboard_url"],
        watchdog(0, 1, LINKS).annotations["dashboard_url"],
        firing([halt], LINKS, 10).annotations["dashboard_url"],
    ):
        assert parts(url)[0] == PIPELINE_UID
        assert PIPELINE_UID in BOARDS


def test_a_slice_survives_the_way_from_a_page_into_the_statement(boards: Boards) -> None:
    """All values are asked at once, each in a choice of its own: what ClickHouse compares with is the slice's value.

    A slice's text has neither `=` nor `,`, and no dimension's values have braces, which stand around several values.
    """
    values = [value for value in HOSTILE if not set("=,{}") & set(value)]
    read: dict[str, Value] = {}
    for place, value in enumerate(values):
        finding = saturated().model_copy(update={"slice": f"pool=realtime,region={value}"})
        _, _, chosen = parts(LINKS.of_finding("saturation", finding, LIVE))
        assert chosen["region"] == value
        read[f"v{place}"] = [chosen["region"]]
    clauses = ",\n".join(selected(name) for name in read)
    answered = boards.rows(f"WITH {clauses} SELECT {', '.join(f'selected_{name}' for name in read)}", selection=read)
    assert answered.row(0) == tuple([value] for value in values)
