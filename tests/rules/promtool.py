"""promtool's unit tests, written from series of buckets: the same buckets that our engine judges."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from schemas.metrics import SLO_BAD_EVENTS, SLO_EVENTS
from schemas.slices import slice_dimensions
from schemas.slos import LowTraffic, Severity, WatchedSlo
from turnwatch.backtest.engine import Alerted, alerts
from turnwatch.backtest.series import Series, Span

START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000

Counts = NDArray[np.int64]


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
        watched = WatchedSlo(self.watched.slo, self.watched.rows, LowTraffic.none())
        return alerts(Series(span, (self.slice,), *counts), watched)

    def counters(self) -> list[dict[str, str]]:
        """The counters that a worker would have shown after every bucket."""
        labels = {"slo": self.watched.slo.name, "slice": self.slice, **slice_dimensions(self.slice), "instance": "a"}
        text = ", ".join(f'{name}="{value}"' for name, value in labels.items())
        return [
            {"series": f"{name}_total{{{text}}}", "values": " ".join(map(str, np.cumsum([0, *counts])))}
            for name, counts in ((SLO_EVENTS, self.total), (SLO_BAD_EVENTS, self.bad))
        ]

    def lives(self, alert: Alerted, within_s: int) -> list[dict[str, Any]]:
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
    ended = subprocess.run(["promtool", "test", "rules", *map(str, files)], capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def _expected(expression: str, at_s: int, value: int | None) -> dict[str, Any]:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {"expr": expression, "eval_time": f"{at_s}s", "exp_samples": samples}
