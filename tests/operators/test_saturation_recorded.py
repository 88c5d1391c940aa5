"""Detection on recorded queues and on simulated fleets: early, once, and never where all is well."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from producers.fleet.effects import BatchWork, Prompts
from producers.fleet.engine import simulate_fleet
from producers.fleet.scenario_file import Deployment, Event, ScenarioFile
from schemas.findings import Finding
from stream_jobs.operators.saturation.wording import BATCH_ON_REALTIME, SATURATED
from tests.operators.queue_fleets import found_in, minutes
from tests.operators.recorded_engine import delay_s, found_by_minute, loads, slice_of
from tests.producers.fleets import START_MS, small

PHASES_S = (0.0, 15.0, 30.0, 45.0)
"""Where in a minute the load begins."""


@pytest.mark.recorded
def test_an_overloaded_engine_is_found_within_a_minute_and_one_that_keeps_up_is_not(recorded_data: Path) -> None:
    recorded = sorted(loads(recorded_data / "vllm_load_test"), key=lambda load: load.scale)
    assert (recorded[0].pending_max, recorded[-1].pending_max) == (4, 294)
    delays = {load.scale: [] for load in recorded}  # type: ignore[var-annotated]
    for phase_s in PHASES_S:
        said = found_by_minute(recorded, phase_s)
        for load in recorded:
            delays[load.scale].append(delay_s(load, said, phase_s))
            shown = [is_in for is_in, _ in groupby(slice_of(load) in each for each in said)]
            assert shown.count(True) <= 1, f"scale {load.scale} flaps"
    found = {scale: [delay for delay in each if delay is not None] for scale, each in delays.items()}
    assert {scale: len(each) for scale, each in found.items()} == {
        **dict.fromkeys((100, 200, 300), 0),
        400: 2,
        500: 3,
        600: 3,
        **dict.fromkeys((700, 800, 900, 1_000, 1_500, 2_000), 4),
    }
    assert all(0 < delay <= 60 for each in found.values() for delay in each)


def simulated(scenario: ScenarioFile, told_min: int) -> list[dict[tuple[str, str], Finding]]:
    """What is found of a scenario's whole pools and bundles at the end of each minute, by alert and slice."""
    chunks = simulate_fleet(scenario, 7, START_MS, told_min * 60_000)
    return [
        {(each.alert, each.slice): each for each in said if "region" not in each.slice}
        for said in found_in(minutes(chunks), START_MS)
    ]


def test_batch_work_on_realtime_servers_is_found_in_its_first_minute_and_their_queue_as_it_breaks() -> None:
    """As in `batch_on_realtime`, on a fleet of 300 calls: its servers take a minute to fall behind."""
    work = BatchWork(kind="batch_work", route="summaries", turns_per_s=25, tokens_times=4)
    event = Event(what="Batch summaries come to the realtime pool.", from_min=3, does=work)
    said = simulated(small("quiet_month", 300).model_copy(update={"events": (event,)}), told_min=5)
    pool, bundle = "pool=realtime", "pool=realtime,bundle=voice-2.4.0"
    batch = {(BATCH_ON_REALTIME, pool), (BATCH_ON_REALTIME, bundle)}
    assert [each.keys() for each in said] == [set()] * 3 + [batch, batch | {(SATURATED, pool), (SATURATED, bundle)}]
    found = said[4][SATURATED, pool]
    assert (found.severity, found.labels) == ("page", {"queue": "llm_first_token"})
    assert found.action.startswith("Shed the batch work, ")
    assert found.facts["first_queue"] == "llm_first_token"


def test_a_bundle_whose_queue_grows_after_its_release_is_to_be_rolled_back() -> None:
    """Half of new calls get it, with prompts ten times as long; its pool's other bundle keeps up."""
    canary = "voice-2.5.0"
    prompts = Prompts(kind="prompts", times=10)
    scenario = small("quiet_month", 300).model_copy(
        update={
            "deployments": (Deployment(bundle=canary, from_min=6, share=0.5),),
            "events": (
                Event(what="The release has longer prompts.", from_min=6, where={"bundle": [canary]}, does=prompts),
            ),
        }
    )
    said = simulated(scenario, told_min=11)
    assert not any(said[:7])
    found = said[-1][SATURATED, f"pool=realtime,bundle={canary}"]
    assert found.action.startswith(f"Roll back {canary}: ")
    assert found.facts["advice"] == "roll_back"
    assert not any(slice_text.endswith("voice-2.4.0") for each in said for _, slice_text in each)
