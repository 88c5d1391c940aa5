"""One look at a running canary, where fleets are very large, canaries very young, and evidence is old."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from alerts.canary_document import load_canary
from schemas.canary import WatchedMetric
from schemas.failures import BadInput
from schemas.verdicts import JUDGED_MAX, NAMED_MAX, RECORD_BYTES_MAX, GateQuestion, decode
from stream_jobs.operators.release.canary import Watched
from tests.gates.verdicts import THIN, WORSE
from turnwatch.canary import judging
from turnwatch.canary.warehouse import Beside, Served
from turnwatch.gates.asking import summary

QUESTION = GateQuestion("v42", "ci")
NOON_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000


def test_a_fleet_of_many_tenants_gets_its_verdict_with_counts_of_what_is_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worse = [WORSE.model_copy(update={"slice": f"pool=realtime,tenant=w{place:06d}"}) for place in range(1_100)]
    thin = [THIN.model_copy(update={"slice": f"pool=realtime,tenant=t{place:06d}"}) for place in range(2_000)]
    monkeypatch.setattr(judging, "judge_all", lambda *_: worse + thin * 25)
    verdict = judging._verdict(QUESTION, (load_canary(), "v41", {}), [], (NOON_MS, NOON_MS), "", [])
    assert (len(verdict.judged), verdict.unlisted) == (JUDGED_MAX, 1_100)
    assert (len(verdict.blockers), verdict.blockers_unlisted) == (NAMED_MAX, 100)
    assert (len(verdict.insufficient), verdict.insufficient_unlisted) == (NAMED_MAX, 1_000)
    told = summary(verdict)
    assert (told["blockers_total"], told["insufficient_total"], told["judged"]) == (1_100, 2_000, 51_100)


def test_a_record_of_long_names_leaves_slices_out_and_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"pool=realtime,tenant={place:04d}{'x' * 1_000}" for place in range(NAMED_MAX))
    monkeypatch.setattr(judging, "judge_all", lambda *_: [THIN.model_copy(update={"slice": name}) for name in names])
    verdict = judging._verdict(QUESTION, (load_canary(), "v41", {}), [], (NOON_MS, NOON_MS), "", [])
    record = verdict.encode()
    assert len(record) <= RECORD_BYTES_MAX
    read = decode(record)
    assert len(read.insufficient) + read.insufficient_unlisted == NAMED_MAX
    assert len(read.insufficient) > 0 and read.unlisted == NAMED_MAX


def test_the_first_minute_of_a_canary_is_a_pause_whichever_side_lands_first() -> None:
    spans = {"v42": Served(NOON_MS, NOON_MS + 60_000), "v41": Served(0, NOON_MS)}
    for late_ms in (65_000, 175_000):
        assert judging._began_ms(QUESTION, "v41", spans, NOON_MS + late_ms) == NOON_MS + late_ms
    with pytest.raises(BadInput, match="what serves beside it"):
        judging._began_ms(QUESTION, "v41", spans, NOON_MS + 3_600_000)


def test_before_a_window_has_ended_blocks_have_a_width_nonetheless(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Beside] = []

    def read(*given: Any) -> pl.DataFrame:
        asked.append(given[-1])
        raise LookupError

    monkeypatch.setattr(judging, "histograms", read)
    policy = load_canary()
    tails = [each for each in policy.metrics if each.metric.kind == "quantile"]
    monkeypatch.setattr(judging, "_by_family", lambda _: {tails[0].metric.family: tails})
    with pytest.raises(LookupError):
        list(judging._counted(None, policy, ("v42", "v41"), NOON_MS, NOON_MS + 60_000))  # type: ignore[arg-type] # Not asked.
    assert asked[0].width_ms == 300_000 and asked[0].from_ms == asked[0].to_ms


def test_what_is_old_of_a_protected_slice_is_a_pause_and_labels_come_late() -> None:
    policy = load_canary()
    errors = next(each for each in policy.metrics if each.metric.name == "errors")
    wer = replace(next(each for each in policy.metrics if each.metric.name == "wer"), is_required=True)

    def said(watched: WatchedMetric, name: str, minutes: int) -> str:
        windows = np.array([NOON_MS - minutes * 60_000])
        counted = Watched(watched, [name], windows, windows, None, {})  # type: ignore[arg-type] # Not looked at.
        return judging._stale([counted], policy, NOON_MS + judging.SETTLING_MS)

    assert "errors of pool=realtime" in said(errors, "pool=realtime", 25)
    assert [said(errors, "pool=realtime", 15), said(errors, "pool=batch", 600), said(wer, "pool=realtime", 600)] == [
        ""
    ] * 3
