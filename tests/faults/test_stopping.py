"""How a worker ends: asked to, it saves, commits, tells and leaves, within its bound; otherwise it tells nothing more.

The loop, the pager and the pulse are the worker's own; Faust and the stages are stood in for, Alertmanager is in memory.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.errors import RequestTimedOutError
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers, Destination, Patience
from alerts.explanations import Links, Paging
from alerts.findings import Found
from alerts.pages import Pages, step
from alerts.silences import Silences
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.rejections import Halt
from stream_jobs.agents import pulse
from stream_jobs.agents import worker as workers
from stream_jobs.agents.application import ApplicationSettings
from stream_jobs.agents.diversion import Halted
from stream_jobs.agents.exact import StageSettings
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.pulse import Pulse, StageFailure
from stream_jobs.agents.stopping import STOP_WITHIN_S
from stream_jobs.agents.worker import Companion, WorkerSettings
from tests.rules.burning import TURN_SLO, burning, decided
from tests.rules.memory import MemoryAlertmanager
from turnwatch.settings import Settings

PAGING = Paging({TURN_SLO.name: TURN_SLO}, Links("https://runbooks.example/", "https://boards.example/"))
NEVER_AGAIN_S = 3_600.0
HALTED = Halted(Halt(topic="rollups", partition=0, offset=7, reason="wrong_type", why="Too much was refused.", at_ms=0))


def a_page() -> Pages:
    return step(Pages(), decided(10, burning()), PAGING, int(time.time() * 1_000)).pages


@dataclass
class Plant:
    """A worker without Kafka. `steps`: what was done, in order; each step may fail or take long."""

    alertmanager: MemoryAlertmanager
    folder: Path
    steps: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    crash: asyncio.Event = field(default_factory=asyncio.Event)
    save: Callable[[], Awaitable[None]] | None = None
    commit: Callable[[], Awaitable[None]] | None = None
    companions: tuple[Companion, ...] = ()
    stop_within_s: float = 5.0
    resend_s: float = NEVER_AGAIN_S
    stall_max_s: float = 15.0

    def __post_init__(self) -> None:
        known = Alertmanagers([Destination(self.alertmanager.url)], self.resend_s, Patience(bound_s=60))
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.pager = Pager(known, PAGING, self.metrics)

    def decide(self) -> None:
        self.pager.tell(a_page(), Silences(), Found(), is_news=True)

    @property
    def told(self) -> int:
        return len(self.alertmanager.requests)

    async def run(self) -> None:
        settings = WorkerSettings(
            ApplicationSettings(KafkaAddress("127.0.0.1:1"), data_dir=self.folder),
            StageSettings(stall_max_s=self.stall_max_s),
            (),
            self.pager,
            stop_within_s=self.stop_within_s,
        )
        await workers.run(settings, self.stop, self.metrics, self.companions)

    async def running(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.run())
        await self.until(lambda: "working" in self.steps or task.done())
        return task

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await asyncio.sleep(0.01)

    # -- what Faust and a stage do --

    async def _stage(self, stop: asyncio.Event, pulse: Pulse) -> None:
        self.steps.append("working")
        waits = [asyncio.create_task(each.wait()) for each in (stop, self.crash)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self.crash.is_set():
            self.decide()  # Decided, and not saved.
            raise StageFailure("It went wrong.")
        if self.save is not None:
            await self.save()
        self.steps.append("saved")

    async def _commit(self) -> bool:
        if self.commit is not None:
            await self.commit()
        self.steps.append("committed")
        return True

    async def _leave(self) -> None:
        self.steps += ["told"] * self.told
        self.steps.append("left")

    def app(self) -> Any:
        well = SimpleNamespace(crashed=False, commit=self._commit, assignment=set)
        start = asyncio.sleep
        return SimpleNamespace(
            crashed=False, should_stop=False, rebalancing=False, in_recovery=False, consumer=well, producer=well,
            tables=well, _fetcher=well, start=lambda: start(0), stop=self._leave,
        )  # fmt: skip

    def stage(self) -> Any:
        surprise = SimpleNamespace(raised=forever)
        return SimpleNamespace(name="incidents", run=self._stage, without_state=lambda _: [], surprise=surprise)


@pytest_asyncio.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plant]:
    async with MemoryAlertmanager() as alertmanager:
        plant = Plant(alertmanager, tmp_path)
        monkeypatch.setattr(workers, "build", lambda _: plant.app())
        monkeypatch.setattr(workers, "_stages", lambda *_: [plant.stage()])
        yield plant


async def forever() -> None:
    await asyncio.Event().wait()


async def test_asked_to_stop_it_saves_commits_tells_what_was_decided_meanwhile_and_leaves(plant: Plant) -> None:
    async def save() -> None:
        await asyncio.sleep(0.2)  # Longer than a pager takes that is asked to stop at once.
        plant.decide()

    plant.save = save
    running = await plant.running()
    plant.stop.set()
    await running
    assert list(dict.fromkeys(plant.steps)) == ["working", "saved", "committed", "told", "left"]


@pytest.mark.parametrize(
    ("failure", "ends_with"),
    [
        (StageFailure("A final save failed."), "A final save failed"),
        (ZeroDivisionError("a bug"), "a bug"),
        (RequestTimedOutError(), "Kafka went away while the worker was busy .incidents: RequestTimedOutError"),
    ],
    ids=["foreseen", "bug", "weather"],
)
async def test_a_save_that_fails_at_the_end_is_logged_and_ends_the_worker_so(
    plant: Plant, failure: Exception, ends_with: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def save() -> None:
        plant.decide()
        raise failure

    plant.save = save
    running = await plant.running()
    plant.stop.set()
    with pytest.raises(Exception, match=ends_with):
        await running
    assert "stop_failed: incidents: " in caplog.text
    assert plant.told == 0, "what may not be saved is not told"
    assert plant.steps == ["working", "left"]


async def test_a_commit_that_fails_at_the_end_ends_the_worker_so(plant: Plant) -> None:
    plant.commit, plant.stop_within_s = forever, 0.2
    running = await plant.running()
    plant.stop.set()
    with pytest.raises(StageFailure, match="did not confirm the offsets"):
        await running
    assert plant.told == 0


async def test_a_companion_that_halts_at_the_end_is_heard(plant: Plant) -> None:
    """The sink lands what it has, and what it refuses may be too much."""

    async def land(stop: asyncio.Event) -> None:
        await stop.wait()
        await plant.until(lambda: "saved" in plant.steps)
        raise HALTED

    plant.companions = (land,)
    running = await plant.running()
    plant.stop.set()
    with pytest.raises(Halted):
        await running
    assert plant.steps == ["working", "saved", "committed", "committed", "left"]


async def test_a_stage_that_does_not_save_in_time_is_not_waited_for(plant: Plant) -> None:
    plant.save, plant.stop_within_s = forever, 0.2
    running = await plant.running()
    plant.stop.set()
    with pytest.raises(StageFailure, match=r"incidents did not save within .*TURNWATCH_STOP_WITHIN_S"):
        await running


async def test_an_alertmanager_that_hangs_and_a_companion_that_does_not_end_hold_nobody_up(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    """That is weather: whoever goes on tells the page, and reads again what has not landed."""

    async def land(stop: asyncio.Event) -> None:
        await forever()

    async def hanging(*_: object) -> None:
        await forever()

    plant.companions, plant.stop_within_s = (land,), 0.3
    plant.alertmanager._take = hanging  # type: ignore[assignment, method-assign]  # It was routed by then: see below.
    await plant.alertmanager.__aexit__(None, None, None)
    await plant.alertmanager.__aenter__()
    plant.pager = Pager(Alertmanagers([Destination(plant.alertmanager.url)]), PAGING, plant.metrics)
    running = await plant.running()
    plant.decide()
    plant.stop.set()
    with caplog.at_level(logging.WARNING, "turnwatch.worker"):
        await running
    assert "pages_untold: " in caplog.text and "stop_cut_short: companion-0" in caplog.text
    assert plant.steps[-1] == "left"


async def test_a_worker_that_fails_tells_nothing_more(plant: Plant) -> None:
    """Also not what has just been decided: it is decided again by whoever goes on, or otherwise."""
    plant.resend_s = 0.01
    running = await plant.running()
    plant.crash.set()
    with pytest.raises(StageFailure, match="It went wrong"):
        await running
    assert plant.told == 0


async def test_a_worker_asked_to_stop_while_it_starts_just_leaves(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = plant.app()
    app.start = forever
    monkeypatch.setattr(workers, "build", lambda _: app)
    running = asyncio.create_task(plant.run())
    await asyncio.sleep(0)
    plant.stop.set()
    await running
    assert plant.steps == ["left"]


# -- a worker that stood still ------------------------------------------------------------------------------------------


async def test_a_worker_that_wakes_after_its_session_tells_none_of_its_pages_again(plant: Plant) -> None:
    """It told of a page, and is due to tell it again. By then another worker has resolved it, or decided it anew."""
    plant.resend_s = 0.2
    plant.__post_init__()
    pulse = Pulse(stall_max_s=0.3)
    beating = asyncio.create_task(pulse.run())
    telling = asyncio.create_task(plant.pager.run(plant.stop, pulse.check))
    plant.decide()
    sent = plant.metrics.pages_sent.labels("firing")
    await plant.until(lambda: sent._value.get() == 1)
    time.sleep(0.6)  # The loop stands still, and nothing is on its way.
    plant.decide()  # Nor is what a stage still believes told any more.
    with pytest.raises(StageFailure, match="stood still"):
        await telling
    with pytest.raises(StageFailure, match="stood still"):
        await beating
    assert plant.told == 1


@pytest.mark.parametrize(("worked_s", "why"), [(8.0, "worked for 8.0 s"), (1.0, "got the processor for 1.0 s")])
def test_it_is_said_whether_the_worker_itself_was_at_work_or_was_given_no_time(worked_s: float, why: str) -> None:
    missed = Pulse(stall_max_s=5)
    missed.beat -= 10
    missed.worked -= worked_s
    with pytest.raises(StageFailure, match=why):
        missed.check()


@pytest.mark.parametrize("passes", range(3))
async def test_a_page_is_dropped_wherever_on_its_way_the_worker_stood_still(plant: Plant, passes: int) -> None:
    """Before the delivery, before the request, and between having a connection and writing to it."""
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > passes:
            raise StageFailure("The worker stood still.")

    plant.decide()
    with pytest.raises(StageFailure, match="stood still"):
        await plant.pager.run(plant.stop, check)
    assert plant.told == 0


async def test_the_pager_asks_the_pulse_itself(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes first may be the pager: here it is the only one that looks."""
    monkeypatch.setattr(pulse, "PULSE_S", NEVER_AGAIN_S)
    plant.resend_s, plant.stall_max_s = 0.4, 0.3
    plant.__post_init__()
    running = await plant.running()
    plant.decide()
    with pytest.raises(StageFailure, match="stood still"):
        await running
    assert plant.told == 1


def test_a_process_that_hangs_when_it_is_asked_to_stop_ends_all_the_same() -> None:
    """Whatever hangs: a thread in a client, an executor that Python waits for."""
    hanging = "import asyncio, time; from turnwatch.work import _ask_to_stop; _ask_to_stop(asyncio.Event(), 0.1); time.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "stop_overdue: asked to stop, it did not end within 0 s" in ended.stderr


def test_the_bound_is_less_than_what_supervisors_wait() -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8")
    assert Settings.model_fields["stop_within_s"].default == STOP_WITHIN_S < 30
    assert "stop_grace_period: 30s" in compose
