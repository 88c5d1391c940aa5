"""Pages against incidents, what was left of the budget, and what of it is shown."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path

import pytest

from alerts.policies import policy_for
from schemas.failures import BadInput
from stream_jobs.operators.burn_rate.arithmetic import budget_left
from tests.backtest.rows import FLEET, MINUTE_MS, SLO, START_MS, WATCHED, minutes, written
from turnwatch.backtest.command import chosen_slo, judged
from turnwatch.backtest.engine import Alerted
from turnwatch.backtest.exclusions import Excluded, read_excluded_file
from turnwatch.backtest.judgement import Incident, detections, false_pages, read_incidents
from turnwatch.backtest.picture import draw
from turnwatch.backtest.report import Report, print_report
from turnwatch.backtest.sources import read_files, written_range

HOUR = 60


def report(
    tmp_path: Path, *outages: tuple[int, int], days: int = 1, incidents: tuple[Incident, ...] | None = None
) -> Report:
    """A fleet of 100 turns a minute, one of them bad in 500, and half of them in outages (first minute, length)."""
    bad = [int(minute % 5 == 0) for minute in range(days * 24 * HOUR)]
    for first, length in outages:
        bad[first : first + length] = [60] * length
    told = read_files([written(tmp_path / "a.csv", minutes([(each, 100) for each in bad]))], SLO)
    return judged(WATCHED, "a.csv", told, None, incidents)


def minute(place: int) -> int:
    return START_MS + place * MINUTE_MS


def page(from_minute: int, to_minute: int | None, text: str = FLEET) -> Alerted:
    row = next(row for row in WATCHED.rows if row.severity == "page")
    return Alerted(text, "page", row, minute(from_minute), None if to_minute is None else minute(to_minute), 50, 5, 10)


def test_an_outage_pages_when_arithmetic_says_so(tmp_path: Path) -> None:
    """60 % bad: half of ten minutes is above 50 % after nine of them, and all windows end it a minute after the outage."""
    (verdict,) = report(tmp_path, (600, 30)).verdicts
    first = next(alert for alert in verdict.alerts if alert.severity == "page")
    assert first.slice == FLEET
    assert 600 < (first.from_ms - START_MS) / MINUTE_MS <= 615


def test_a_quiet_day_raises_nothing(tmp_path: Path) -> None:
    (verdict,) = report(tmp_path).verdicts
    assert verdict.alerts == ()


def test_incidents_are_found_by_the_first_page_that_does_not_contradict_them() -> None:
    pages = [page(10, 20, f"{FLEET},region=us-east-2"), page(12, 30), page(100, 110)]
    incident = Incident(minute(5), minute(11), f"{FLEET},region=eu-west-1")
    (found,) = detections(pages, [incident])
    assert (found.page, found.delay_s) == (pages[1], 420)
    assert false_pages(pages, [incident]) == [pages[0], pages[2]]


def test_a_page_may_come_while_its_short_window_still_holds_some_of_it() -> None:
    late = page(11, 20)
    still_s = late.row.short_s
    for gone_s, is_found in ((still_s, True), (still_s + 1, False)):
        (found,) = detections([late], [Incident(minute(5), late.from_ms - gone_s * 1_000)])
        assert (found.delay_s is not None) is is_found


def test_a_page_that_was_open_already_took_no_time_and_is_false_all_the_same() -> None:
    open_page, incident = page(1, None), Incident(minute(5), minute(9))
    (found,) = detections([open_page], [incident])
    assert found.delay_s == 0
    assert false_pages([open_page], [incident]) == [open_page]


def test_what_nothing_paged_for_was_missed() -> None:
    (found,) = detections([page(1, 3)], [Incident(minute(5), minute(9))])
    assert found.delay_s is None


def test_the_budget_is_what_the_period_up_to_each_hour_left(tmp_path: Path) -> None:
    (verdict,) = report(tmp_path, (600, 30)).verdicts
    bad, total = verdict.series.bad[0], verdict.series.total[0]
    assert verdict.budget["instant_ms"].to_list() == [minute(hour * HOUR) for hour in range(1, 25)]
    assert verdict.budget["left"].to_list() == pytest.approx(
        [
            budget_left(int(bad[: hour * HOUR].sum()), int(total[: hour * HOUR].sum()), SLO.objective)
            for hour in range(1, 25)
        ]
    )


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["from,to,slices", "a,b,c"], "i.csv:1: there is no column 'slices': write from,to,slice."),
        (["from,slice"], "i.csv:1: the columns from and to are needed: write from,to,slice."),
        (["from,to", "2026-10-01T00:00:00Z,soon"], "i.csv:2: an incident's time 'soon' is no UTC time"),
        (["from,to", "2026-10-02T00:00:00Z,2026-10-01T00:00:00Z"], "i.csv:2: the incident ends before it begins"),
        (["from,to,slice", "2026-10-01,2026-10-02T00:00:00Z,eu"], "i.csv:2: an incident's time '2026-10-01' is no UTC"),
        (["from,to,slice", "2026-10-01 00:00,2026-10-02 00:00,eu"], "i.csv:2: 'eu' is no slice"),
        (["from,to", "2026-10-01 00:00"], "i.csv:2: the line has 1 field, the header 2."),
        ([], "i.csv:1: the columns from and to are needed"),
    ],
)  # fmt: skip
def test_wrong_incidents_are_told_with_their_line(tmp_path: Path, lines: list[str], sentence: str) -> None:
    path = tmp_path / "i.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(BadInput) as error:
        read_incidents(path)
    assert sentence in str(error.value)


def test_the_table_names_pages_incidents_and_budget(tmp_path: Path) -> None:
    stream = StringIO()
    print_report(report(tmp_path, (600, 30), incidents=(Incident(minute(600), minute(630)),)), "table", stream)
    text = stream.getvalue()
    assert "1 of 1 incident paged, 0 false pages." in text
    assert f"Budget left of {FLEET} at the end: " in text
    assert "note: Judged at every full minute" in text
    assert "outage_10m_1m" in text or "page_1h_5m" in text


def test_json_holds_everything(tmp_path: Path) -> None:
    stream = StringIO()
    print_report(report(tmp_path, (600, 30)), "json", stream)
    told = json.loads(stream.getvalue())
    (verdict,) = told["verdicts"]
    assert verdict["pages"] == sum(alert["severity"] == "page" for alert in verdict["alerts"]) > 0
    assert verdict["incidents"] is None and verdict["false_pages"] is None
    assert len(verdict["budget"]["left"]) == 24


def test_the_picture_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    incidents = (Incident(minute(600), minute(630), "pool=realtime,bundle=<v1>&"),)
    picture = draw(report(tmp_path, (600, 30), incidents=incidents))
    root = ElementTree.fromstring(picture)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"polyline", "rect", "title", "text"} <= names
    assert names.isdisjoint({"image", "script", "style", "use", "a"})
    assert "href" not in picture and "url(" not in picture
    curves = [element for element in root.iter() if element.tag.endswith("polyline")]
    assert len(curves) == len(WATCHED.rows) + 1
    assert all(len(curve.attrib["points"].split()) > 20 for curve in curves)


def test_an_slo_is_a_file_one_of_its_objectives_or_a_shipped_name(tmp_path: Path) -> None:
    assert chosen_slo("turn-4000ms-realtime").name == "turn-4000ms-realtime"
    shipped = Path(__file__).parents[2] / "alerts" / "slos" / "turn_4000ms.yaml"
    document = shipped.read_text(encoding="utf-8").partition("\n---")[0]
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(document)
    two.write_text(f"{document}\n---\n{document.replace('name: turn-4000ms-realtime', 'name: another')}")
    assert policy_for(chosen_slo(str(one))).slo.name == "turn-4000ms-realtime"
    assert chosen_slo(f"{two}#another").name == "another"
    for written_slo, sentence in (
        (str(two), "holds 2 SLOs"),
        (f"{two}#third", "There is no SLO 'third'"),
        ("turn", "There is no SLO 'turn' in slos: known are "),
        (str(tmp_path / "none.yaml"), "the SLO file cannot be read"),
    ):
        with pytest.raises(BadInput, match=sentence):
            chosen_slo(written_slo)


@pytest.mark.parametrize("text", ["month", "2026-10-05..2026-10-01", "2026-10-01..then", "0d"])
def test_a_range_that_is_none_is_told(text: str) -> None:
    with pytest.raises(BadInput):
        written_range(text, 0)


def test_ranges_end_with_their_last_day() -> None:
    assert written_range("2d", 10 * 86_400_000) == (8 * 86_400_000, 10 * 86_400_000)
    assert written_range("1970-01-02..1970-01-03", 0) == (86_400_000, 3 * 86_400_000)
    assert written_range("1970-01-02..1970-01-02T06:00", 0) == (86_400_000, 108_000_000)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["from,to,slices"], "e.csv:1: there is no column 'slices': write from,to,slice,slo."),
        (["from,to", "2026-10-01T00:00:00Z,soon"], "e.csv:2: an exclusion's time 'soon' is no UTC time"),
        (["from,to", "2026-10-02T00:00Z,2026-10-01T00:00Z"], "e.csv:2: the exclusion ends before it begins"),
        (["from,to", "2026-10-01T00:00:30Z,2026-10-02T00:00Z"], "e.csv:2: an exclusion is of whole minutes"),
        (["from,to,slice", "2026-10-01 00:00,2026-10-02 00:00,eu"], "e.csv:2: 'eu' is no slice"),
        (["from,to", "2026-10-01 00:00"], "e.csv:2: the line has 1 field, the header 2."),
    ],
)
def test_wrong_exclusions_are_told_with_their_line(tmp_path: Path, lines: list[str], sentence: str) -> None:
    path = tmp_path / "e.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(BadInput) as error:
        read_excluded_file(path)
    assert sentence in str(error.value)


def test_a_correction_that_nothing_tells_is_said_to_be_unknown(tmp_path: Path) -> None:
    told = read_files([written(tmp_path / "a.csv", minutes([(1, 100)] * 60))], SLO)
    of_a_region = Excluded(minute(0), minute(5), f"{FLEET},region=eu-west-1")
    stream = StringIO()
    print_report(judged(WATCHED, "a.csv", told, None, None, [of_a_region]), "table", stream)
    assert "Without what was excluded: unknown" in stream.getvalue()
    stream = StringIO()
    print_report(judged(WATCHED, "a.csv", told, None, None, [Excluded(minute(0), minute(60))]), "table", stream)
    assert "Without what was excluded: 100.0%." in stream.getvalue()
