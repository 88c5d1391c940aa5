"""What the bench of detection promises and prints; no servers here, that is `turnwatch bench detection` itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from alerts.routes_config import read_configuration
from alerts.webhook_receiver import Notification
from stack.alertmanager import HOW_TO_GET_IT
from stack.failures import StackFailure
from stack.local import ALERTMANAGER_CONFIGURATION
from turnwatch.bench import detection
from turnwatch.bench.detection import SLO, Measured, Sample, at_once, paged_slices, run_detection
from turnwatch.cli import app
from turnwatch.sentences import FAILED, exit_code_for

SOON = Sample(begins_ms=0, bucket_end_ms=60_000, produced_ms=60_500, paged_ms=62_400)
WELL = Measured(outages=32, samples=(SOON,) * 32, floor_s=51.84, floor_with_evidence_s=55.5)


def with_last(paged_ms: int, **changes: int) -> Measured:
    return replace(WELL, samples=(*WELL.samples[:-1], replace(SOON, paged_ms=paged_ms, **changes)))


def test_pages_within_the_limits_exit_with_0_and_the_last_line_says_how_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(monkeypatch, WELL)
    assert run_detection(1) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "outages=32 missed=0 early=0 floor_s=51.84 evident_s=55.5 delay_s_p50=62.4 delay_s_p99=62.4 "
        "bucket_end_to_page_s_p50=2.40 bucket_end_to_page_s_p99=2.40 limit_s=4 ratio=0.60"
    )


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (with_last(64_001), "more than 4 s after its bucket's end"),
        (with_last(69_501, bucket_end_ms=69_000), "more than 14 s beyond the floor"),
        (with_last(59_999), "before its bucket's end: the arithmetic was another one"),
        (replace(WELL, samples=WELL.samples[1:]), "missed"),
        (replace(WELL, samples=()), "all missed"),
    ],
)
def test_one_page_of_32_that_is_not_as_promised_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, measured: Measured, why: str
) -> None:
    ended(monkeypatch, measured)
    assert run_detection(1) == 1, why


@pytest.mark.parametrize("measured", [with_last(64_000), with_last(69_500, bucket_end_ms=69_000)])
def test_on_a_limit_is_within_it(measured: Measured) -> None:
    assert measured.is_within


def ended(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    """Lets a run come to this."""

    async def benched(*_: object) -> Measured:
        return measured

    monkeypatch.setattr(detection, "find_alertmanager", lambda: Path("alertmanager"))
    monkeypatch.setattr(detection, "_bench", benched)


def test_without_alertmanager_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackFailure) as failed:
        run_detection(1)
    assert str(failed.value) == HOW_TO_GET_IT
    assert exit_code_for(failed.value) == FAILED


def test_each_slice_is_a_group_that_waits_for_nobody_and_the_rest_is_as_shipped(tmp_path: Path) -> None:
    shipped = read_configuration(ALERTMANAGER_CONFIGURATION).data
    made = yaml.safe_load(at_once(tmp_path).read_text())
    assert (made["route"]["group_wait"], made["route"]["group_by"]) == ("0s", ["alertname", "slo", "slice"])
    on_call = [route for route in made["route"]["routes"] if route["receiver"] == made["route"]["receiver"]]
    assert on_call and all(route["group_wait"] == "0s" for route in on_call)
    others = [
        [route for route in data["route"]["routes"] if route["receiver"] != data["route"]["receiver"]]
        for data in (made, shipped)
    ]
    assert others[0] == others[1]
    assert [made[part] for part in ("inhibit_rules", "receivers")] == [
        shipped[part] for part in ("inhibit_rules", "receivers")
    ]


def test_only_beginnings_of_pages_of_the_objective_count() -> None:
    def alert(status: str = "firing", **labels: str) -> dict[str, object]:
        named = {"slo": SLO, "severity": "page", "slice": "pool=realtime,bundle=v1"} | labels
        return {"status": status, "labels": named, "annotations": {}, "startsAt": "", "endsAt": ""}

    told = [alert(), alert("resolved"), alert(severity="ticket"), alert(slo="turn-4000ms-realtime")]
    notification = Notification.model_validate(
        {"receiver": "on-call", "status": "firing", "groupKey": "", "groupLabels": {}, "alerts": told}
    )
    assert paged_slices(notification) == ["pool=realtime,bundle=v1"]


@pytest.mark.parametrize("rounds", ["0", "11", "many"])
def test_rounds_that_cannot_be_run_are_refused(rounds: str) -> None:
    assert CliRunner().invoke(app, ["bench", "detection", "--rounds", rounds]).exit_code == 2
