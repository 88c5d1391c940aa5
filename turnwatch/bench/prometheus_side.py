"""What does the real Prometheus take to evaluate the rendered rules, over as many series as our own side has?

A Prometheus of its own on loopback gets the rules that `turnwatch render rules` would write for the same objectives, and
the counters that workers would show for the same slices, by remote write. It is spared much: nothing is scraped meanwhile,
windows longer than the past that it is given hold only what there is of it, and the fastest evaluation counts, as long
as none takes longer than its interval: that one, or more memory or time than allowed, ends it. So its figures are lower
bounds on a machine that does nothing else. How long an evaluation took is what Prometheus says itself.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from alerts.explanations import Links
from alerts.prometheus_rules import LONG_GROUP, SHORT_GROUP, rules
from schemas.slos import WatchedSlo
from stack.failures import StackFailure
from stack.processes import log_tail
from turnwatch.bench.prometheus_server import Server, evaluations, started
from turnwatch.bench.remote_write import Past, connected, counters, past, requests, send

SAMPLE_S = 10
LONG_INTERVAL_S = 60
PASTS = 64
"""So many different pasts are dealt out to all series: Prometheus neither knows nor gains by it."""
POLL_S = 0.2
ENDING_S = 2.0
AHEAD_S = 60.0
"""How much longer than the time allowed there are samples for."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What each series counts in 10 s."""

    events_mean: float
    bad_share: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much past Prometheus is given, and what it may take. Both times together stay below the hour that it takes in."""

    past_s: int = 1_800
    resident_bytes: int = 8 << 30
    time_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each group is evaluated, and how many evaluations of the short one are waited for.

    The long group is due once a minute. Here it comes more often, so that one of its evaluations is soon seen; what is
    told is the time of one evaluation, whatever the interval.
    """

    short_s: int = SAMPLE_S
    long_s: int = 30
    evaluations: int = 2


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Seconds of one evaluation of each group, and the memory, at one size; `ended` says why there is no larger one."""

    series: int
    past_s: int
    short_s: float | None = None
    long_s: float | None = None
    resident_bytes: int = 0
    ended: str = ""

    def line(self) -> str:
        """The figures, for machines; in the share of a core the short group counts every 10 s, the long one every minute."""
        told = f"side=prometheus series={self.series} past_s={self.past_s} sample_s={SAMPLE_S}"
        if self.short_s is not None:
            told += f" evaluation_10s_ms={self.short_s * 1_000:.0f}"
        if self.long_s is not None:
            told += f" evaluation_1m_ms={self.long_s * 1_000:.0f}"
        if self.short_s is not None and self.long_s is not None:
            told += f" core_share={self.short_s / SAMPLE_S + self.long_s / LONG_INTERVAL_S:.3f}"
        return f"{told} resident_mib={self.resident_bytes / 2**20:.0f} carried={'no' if self.ended else 'yes'}"


class _Exceeded(Exception):
    """More was taken than is allowed; the message says of what."""


def evaluated(
    binary: Path,
    slices: Sequence[Sequence[str]],
    watched: Sequence[WatchedSlo],
    pasts: Sequence[Past],
    bounds: Bounds,
    pace: Pace,
    console: Console,
) -> Generator[Evaluated, None, None]:
    """One figure for each size, whose slices begin with those of the size before; the first that it does not carry is the last."""
    slos = [each.slo.name for each in watched]
    with started(binary, _paced(rules(watched, Links()), pace)) as server:
        side = Side(server, slos, bounds, pace, pasts, console, time.monotonic() + bounds.time_s)
        yield from side.sizes(slices)


@dataclass(slots=True)
class Side:
    """A Prometheus that runs, and what goes into it."""

    server: Server
    slos: Sequence[str]
    bounds: Bounds
    pace: Pace
    pasts: Sequence[Past]
    console: Console
    ends_s: float

    def sizes(self, slices: Sequence[Sequence[str]]) -> Iterator[Evaluated]:
        known = 0
        for texts in slices:
            figures = self._size(texts[known:], len(texts) * len(self.slos))
            known = len(texts)
            yield figures
            if figures.ended:
                return

    def _size(self, more: Sequence[str], series: int) -> Evaluated:
        found = Evaluated(series, self.bounds.past_s)
        try:
            with self.console.status(f"Prometheus takes in {series} series …") as status:
                self._take_in(more)
                status.update(f"Prometheus evaluates {series} series …")
                short_s, long_s = self._durations()
        except _Exceeded as exceeded:
            return replace(found, resident_bytes=self.server.resident_bytes(), ended=str(exceeded))
        except (OSError, http.client.HTTPException) as error:
            if not self.server.running.has_ended_within(ENDING_S):
                raise StackFailure(f"Prometheus does not answer: {error}.") from error
            return replace(
                found, ended=f"it ended, and logged last: {log_tail(self.server.running.log).strip()[-200:]!r}"
            )
        missed = f"an evaluation took {short_s:.1f} s, and is due every {SAMPLE_S} s" if short_s > SAMPLE_S else ""
        return replace(found, short_s=short_s, long_s=long_s, resident_bytes=self.server.resident_bytes(), ended=missed)

    def _take_in(self, slices: Sequence[str]) -> None:
        with closing(connected(self.server.port)) as connection:
            for body in requests(counters(slices, self.slos, self.pasts)):
                self._hold_to_bounds()
                send(connection, body)

    def _durations(self) -> tuple[float, float | None]:
        """The fastest of each group that began after everything was taken in; only the short one's where that is too slow."""
        since_s, before = time.time(), set[tuple[str, float, float]]()
        took_s: dict[str, dict[float, float]] = {SHORT_GROUP: {}, LONG_GROUP: {}}
        short, long = took_s[SHORT_GROUP], took_s[LONG_GROUP]
        while len(short) < self.pace.evaluations or not long:
            self._hold_to_bounds()
            time.sleep(POLL_S)
            shown = set(evaluations(self.server.get("/metrics")))
            for group, began_s, lasted_s in (
                shown & before
            ):  # What is shown twice was not read in the midst of a change.
                if group in took_s and began_s >= since_s:
                    took_s[group][began_s] = lasted_s
            before = shown
            if max(short.values(), default=0.0) > SAMPLE_S:
                return max(short.values()), None
        return min(short.values()), min(long.values())

    def _hold_to_bounds(self) -> None:
        resident, allowed = self.server.resident_bytes(), self.bounds.resident_bytes
        if resident > allowed:
            raise _Exceeded(f"it takes {resident >> 20} MiB, and {allowed >> 20} are allowed")
        if time.monotonic() > self.ends_s:
            raise _Exceeded(f"the {self.bounds.time_s:g} s that are allowed are over")


def _paced(rendered: Any, pace: Pace) -> Any:
    """The rules as rendered, but for how often they are evaluated."""
    every_s = {SHORT_GROUP: pace.short_s, LONG_GROUP: pace.long_s}
    groups = [group | {"interval": f"{every_s[group['name']]}s"} for group in rendered["groups"]]
    return {"groups": groups}


def pasts_of(traffic: Traffic, bounds: Bounds, seed: int) -> list[Past]:
    """Counters from the past that is given to the end of the time allowed: what is not over yet is not looked at."""
    dice, now_ms = np.random.default_rng(seed), int(time.time()) * 1_000
    times_ms = np.arange(
        now_ms - bounds.past_s * 1_000, now_ms + int(bounds.time_s + AHEAD_S) * 1_000, SAMPLE_S * 1_000
    )
    events = dice.poisson(traffic.events_mean, (PASTS, len(times_ms)))
    bad = dice.binomial(events, traffic.bad_share)
    counted = zip(bad.cumsum(axis=1), events.cumsum(axis=1), strict=True)
    return [past(times_ms, bad_of_one, events_of_one) for bad_of_one, events_of_one in counted]
