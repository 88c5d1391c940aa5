"""How much memory does a worker's burn_rate state take when every bucket of every resolution is full?

The state is the real operator's: slices x SLOs over a 30-day period, filled bucket by bucket, then one decision over
all windows. What is printed is the process's own resident memory, as the operating system accounts for it, beside the
1 GiB that a worker may take.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from stream_jobs.operators.burn_rate.history import History, resolutions

LIMIT_BYTES = 1 << 30
PERIOD_S = 30 * 86_400


def run_memory(slices: int, slos: int) -> int:
    console = Console()
    import stream_jobs.agents.burn_rate  # noqa: F401  # A worker's imports are part of what it takes.

    base = resident_bytes()
    history = History([f"slo_{place}" for place in range(slos)], PERIOD_S)
    now_ms = int(time.time()) // 3_600 * 3_600_000
    for level, start_ms in track(list(_all_buckets(now_ms)), description="filling", console=console):
        counts = np.full((slices, slos, 2), 1_000, dtype=np.int64)
        history.assign(level, start_ms, np.arange(slices), counts)
    started = time.perf_counter()
    for length_s in (60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200, PERIOD_S):
        history.window(length_s * 1_000, now_ms)
    decided_ms = (time.perf_counter() - started) * 1_000
    resident = resident_bytes()
    console.print(
        f"history {history.nbytes / 2**20:.0f} MiB, imports {base / 2**20:.0f} MiB, all windows summed in {decided_ms:.0f} ms"
    )
    print(
        f"slices={slices} slos={slos} resident_mib={resident / 2**20:.0f} limit_mib={LIMIT_BYTES / 2**20:.0f} ratio={resident / LIMIT_BYTES:.2f}"
    )
    return 0 if resident < LIMIT_BYTES else 1


def _all_buckets(now_ms: int) -> Iterator[tuple[int, int]]:
    for level, resolution in enumerate(resolutions(PERIOD_S)):
        first_ms = resolution.start(now_ms - resolution.keep_ms)
        yield from ((level, start_ms) for start_ms in range(first_ms, now_ms, resolution.width_ms))


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1_024 for line in status.splitlines() if line.startswith("VmRSS"))
