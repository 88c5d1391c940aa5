"""One script of routes, played: alerts into its Alertmanager when their time has come, and notes of what is notified.

Time is the script's, from the moment it begins. Nothing is ever told too early, so nothing that arrives too early is the
machine's doing; a telling that is too late makes the whole play worthless, and ends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from alerts.alertmanager import Alertmanagers, Destination
from alerts.durations import duration_written
from alerts.routes_judgement import Finding, Heard, is_complete, judge
from alerts.routes_script import Script, ScriptFile, Step
from alerts.webhook_receiver import Notification, WebhookReceiver
from schemas.failures import Foreseen
from stack.alertmanager import Alertmanager
from stack.failures import StackFailure

LISTEN_STEP_S = 0.05


class TooSlow(Foreseen):
    """The machine could not keep to the script."""


@dataclass(frozen=True, slots=True)
class ScriptedAlert:
    """An alert of a script, as Alertmanager is told of it."""

    labels: dict[str, str]
    starts_ms: int
    ends_ms: int | None
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one script."""

    file: ScriptFile
    speed: float
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        return all(finding.is_right for finding in self.findings)


@dataclass(slots=True)
class Player:
    """One script on its way."""

    file: ScriptFile
    server: Alertmanager
    webhook: WebhookReceiver
    speed: float
    late_s: float
    heard: list[Heard] = field(default_factory=list)
    _began_s: float = 0.0
    _open: dict[str, ScriptedAlert] = field(default_factory=dict)
    """What was told of each alert last, by its name in the script."""

    @property
    def script(self) -> Script:
        return self.file.script

    @property
    def late_ms(self) -> float:
        """What the machine may take, as the script's time."""
        return self.late_s * 1_000 * self.speed

    async def play(self) -> Tried:
        self._began_s = time.monotonic()
        listening = asyncio.create_task(self._listen())
        try:
            await self._tell()
            await self._until_over()
        finally:
            listening.cancel()
        return Tried(self.file, self.speed, judge(self.script, self.heard, self.late_ms))

    def _at_ms(self) -> float:
        return (time.monotonic() - self._began_s) * 1_000 * self.speed

    async def _tell(self) -> None:
        tellings = sorted((at_ms, number) for number, step in enumerate(self.script.steps) for at_ms in step.times_ms)
        async with Alertmanagers([Destination(self.server.url)]) as alertmanagers:
            for at_ms in sorted({at_ms for at_ms, _ in tellings}):
                await self._until(at_ms)
                now_ms = time.time_ns() // 1_000_000
                steps = [self.script.steps[number] for when_ms, number in tellings if when_ms == at_ms]
                alerts = [alert for step in steps for alert in self._scripted(step, now_ms)]
                for outcome in await alertmanagers.send(alerts, now_ms):
                    if not outcome.is_complete:
                        raise StackFailure(
                            f"{self.file.path}: the alerts of {duration_written(at_ms)}: {outcome.problem}"
                        )
                self._require_in_time(at_ms)

    def _scripted(self, step: Step, now_ms: int) -> Iterator[ScriptedAlert]:
        lasts_ms = None if step.lasts_ms is None else round(step.lasts_ms / self.speed)
        for name in step.fire:
            ends_ms = None if lasts_ms is None else now_ms + lasts_ms
            self._open[name] = ScriptedAlert(self.script.alerts[name], self._since_ms(name, now_ms), ends_ms)
            yield self._open[name]
        for name in step.resolve:
            since_ms = self._since_ms(name, now_ms)
            self._open.pop(name, None)
            yield ScriptedAlert(self.script.alerts[name], since_ms, now_ms)

    def _since_ms(self, name: str, now_ms: int) -> int:
        """When the alert began, by the clock: now, unless it goes on."""
        told = self._open.get(name)
        return told.starts_ms if told and (told.ends_ms is None or told.ends_ms > now_ms) else now_ms

    def _require_in_time(self, at_ms: int) -> None:
        late_ms = self._at_ms() - at_ms
        if late_ms > self.late_ms:
            when = f"the alerts of {duration_written(at_ms)} were told {duration_written(late_ms)} late"
            raise TooSlow(f"{self.file.path}: This machine is too slow for {self.speed:g} times the speed: {when}.")

    async def _until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, at_ms - self._at_ms()) / self.speed / 1_000)

    async def _until_over(self) -> None:
        """To the script's end, and beyond only while something is missing that the machine may have delayed."""
        await self._until(self.script.until_ms)
        while self._at_ms() < self.script.until_ms + self.late_ms:
            if is_complete(self.script, self.heard, self.late_ms):
                return
            await asyncio.sleep(LISTEN_STEP_S)

    async def _listen(self) -> None:
        async for notification in self.webhook:
            self.heard.append(self._read(notification))

    def _read(self, notification: Notification) -> Heard:
        def named(status: str) -> frozenset[str]:
            return frozenset(self.script.named(alert.labels) for alert in notification.alerts if alert.status == status)

        return Heard(self._at_ms(), notification.receiver, named("firing"), named("resolved"))
