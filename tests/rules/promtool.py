"""promtool's unit tests, written from series of buckets: the same buckets that our engine judges."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from schemas.metrics import SLO_BAD_EVENTS, SLO_EVENTS
from schemas.slices import slice_dimensions
from schemas.slos import LowTraffic, PolicyRow, Severity, WatchedSlo
from turnwatch.backtest.engine import Alerted, alerts
from turnwatch.backtest.instants import state_bucket_ms
from turnwatch.backtest.series import Series, Span

START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lived:
    """One alert from its beginning to its end, which is `None` if it lasts beyond the data."""

    severity: Severity
    from_ms: int
    to_ms: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """Bad and total events of one slice of one objective, in buckets of one width."""

    watched: WatchedSlo
    slice: str
    bad: Counts
    total: Counts
    width_s: int

    def judged(self) -> list[Alerted]:
        """What our engine says about it, with no low-traffic rule."""
        span = Span(START_MS, START_MS + len(self.bad) * self.width_s * 1_000, self.width_s * 1_000)
        reported = np.ones(len(self.bad), dtype=bool)
        counts = (np.array([self.bad]), np.array([self.total]), np.array([START_MS]), reported)
        watched = WatchedSlo(self.watched.slo, self.watched.rows, LowTraffic.none(), self.watched.life)
        return alerts(Series(span, (self.slice,), *counts), watched)

    def lived(self) -> list[Lived]:
        """The same once more, bucket by bucket and with fractions, for rows of every kind and any life."""
        severities = dict.fromkeys(row.severity for row in self.watched.rows)
        return [lived for severity in severities for lived in self._lived(severity)]

    def _lived(self, severity: Severity) -> Iterator[Lived]:
        life = self.watched.life
        rows = [row for row in self.watched.rows if row.severity == severity]
        exceeded_since: int | None = None
        stated_ms = 0
        from_ms: int | None = None
        for buckets in range(1, len(self.bad) + 1):
            end_ms = START_MS + buckets * self.width_s * 1_000
            is_exceeded = any(self._exceeds(row, buckets, Fraction(1)) for row in rows)
            exceeded_since = (exceeded_since or end_ms) if is_exceeded else None
            if from_ms is None:
                if exceeded_since is not None and end_ms - exceeded_since >= life.pending_s[severity] * 1_000:
                    from_ms = stated_ms = end_ms
                continue
            part = Fraction(life.resolve_below)
            stays = is_exceeded or any(self._exceeds(row, buckets, part, or_silent=True) for row in rows)
            stated_ms = end_ms if stays else stated_ms
            if not stays and end_ms - stated_ms >= life.keep_firing_s[severity] * 1_000:
                yield Lived(severity, from_ms, end_ms)
                from_ms = None
        if from_ms is not None:
            yield Lived(severity, from_ms, None)

    def _exceeds(self, row: PolicyRow, buckets: int, part: Fraction, or_silent: bool = False) -> bool:
        (long, _), (short, turns) = (self._share(length_s, buckets) for length_s in (row.long_s, row.short_s))
        limit = part * self._fires_at(row, buckets)
        return long > limit and (short > limit or (or_silent and turns == 0))

    def _fires_at(self, row: PolicyRow, buckets: int) -> Fraction:
        if row.within_s is None:
            return Fraction(row.threshold)
        slo = self.watched.slo
        rate, spent = 1 - Fraction(slo.objective), self._share(slo.period_s, buckets)[0]
        return max(rate, (rate - spent) * slo.period_s / row.within_s)

    def _share(self, length_s: int, buckets: int) -> tuple[Fraction, int]:
        """Bad share of the last window, whose start is rounded outward, and how many turns are in it."""
        state_s = state_bucket_ms(length_s, is_wide=False) // 1_000
        first = max(0, (buckets * self.width_s - length_s) // state_s * state_s // self.width_s)
        bad, total = (int(counts[first:buckets].sum()) for counts in (self.bad, self.total))
        return (Fraction(bad, total) if total else Fraction(0)), total

    def counters(self) -> list[dict[str, str]]:
        """The counters that a worker would have shown after every bucket."""
        labels = {"slo": self.watched.slo.name, "slice": self.slice, **slice_dimensions(self.slice), "instance": "a"}
        text = ", ".join(f'{name}="{value}"' for name, value in labels.items())
        return [
            {"series": f"{name}_total{{{text}}}", "values": " ".join(map(str, np.cumsum([0, *counts])))}
            for name, counts in ((SLO_EVENTS, self.total), (SLO_BAD_EVENTS, self.bad))
        ]

    def lives(self, alert: Alerted | Lived, within_s: int) -> list[dict[str, Any]]:
        """Expectations that the alert fires as long and without a break; its beginning and end differ by so much at most."""
        assert alert.to_ms is not None
        firing, all_s = self._firing(alert.severity), len(self.bad) * self.width_s
        from_s, to_s = ((at_ms - START_MS) // 1_000 for at_ms in (alert.from_ms, alert.to_ms))
        lasts, about = (to_s - from_s) // self.width_s, 2 * within_s // self.width_s
        ever = f"count_over_time({firing}[{all_s + self.width_s}s])"
        return [
            _expected(ever, from_s - within_s - self.width_s, None),
            _expected(f"count({firing})", from_s + within_s, 1),
            _expected(f"count({firing})", to_s - within_s - self.width_s, 1),
            _expected(f"count({firing})", to_s + within_s, None),
            _expected(f"count(({ever} >= {lasts - about}) <= {lasts + about})", all_s, 1),
        ]

    def quiet(self) -> dict[str, Any]:
        """The expectation that nothing ever fires for this slice."""
        ever = f'count_over_time(ALERTS{{slo="{self.watched.slo.name}", slice="{self.slice}"}}[100d])'
        return _expected(ever, len(self.bad) * self.width_s, None)

    def _firing(self, severity: Severity) -> str:
        labels = f'severity="{severity}", slo="{self.watched.slo.name}", slice="{self.slice}"'
        return f'ALERTS{{alertname="SloBurnRateHigh", alertstate="firing", {labels}}}'


def unit_test(
    rules: Path, told: Sequence[Told], expected: Sequence[Mapping[str, Any]], alerts: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A unit test file: series with samples, and evaluations, at the width of their buckets."""
    (width_s,) = {each.width_s for each in told}
    groups = [group["name"] for group in yaml.safe_load(rules.read_text())["groups"]]
    case = {
        "interval": f"{width_s}s",
        "input_series": [series for each in told for series in each.counters()],
        "promql_expr_test": list(expected),
        "alert_rule_test": list(alerts),
    }
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{width_s}s",
        "group_eval_order": groups,
        "tests": [case],
    }


def run(folder: Path, tests: Mapping[str, Mapping[str, Any]]) -> str:
    """Nothing where every unit test holds, or what promtool says."""
    files = []
    for name, test in tests.items():
        files.append(folder / f"{name}.test.yaml")
        files[-1].write_text(json.dumps(test))  # Which is YAML, and quick to write.
    command = ["promtool", "test", "rules", *map(str, files)]
    one_core = os.environ | {"GOMAXPROCS": "1"}  # More would wait for each other: a test is evaluated step by step.
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=one_core)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def _expected(expression: str, at_s: int, value: int | None) -> dict[str, Any]:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {"expr": expression, "eval_time": f"{at_s}s", "exp_samples": samples}
