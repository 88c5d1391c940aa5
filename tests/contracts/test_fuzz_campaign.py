"""`turnwatch bench fuzz` ends, says what it found, and outlives what it tries."""

from __future__ import annotations

import re
import subprocess
import sys

from turnwatch.bench.fuzz.campaign import BATCH


def test_a_short_campaign_finds_nothing_and_says_so() -> None:
    command = [sys.executable, "-m", "turnwatch", "bench", "fuzz", "--frames", "700", "--seed", "11"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    figures = dict(re.findall(r"(\w+)=([\d.]+)", ended.stdout.splitlines()[-1]))
    assert (figures["frames"], figures["seed"]) == ("700", "11")
    assert {figures[name] for name in ("wrongly_accepted", "wrongly_refused", "miscounted", "crashes")} == {"0"}
    assert int(figures["refused"]) + int(figures["accepted_valid"]) <= 700
    assert 0 < float(figures["arrow_peak_mib"]) < float(figures["limit_mib"])


DEADLY = """
import operator
from turnwatch.bench.fuzz.campaign import BATCH, reports

# It takes one argument and not three, so the process ends with 1.
for report in reports(1, range(100, 100 + BATCH + 1), operator.truth):
    print(report.tally.frames, *report.tally.crashes)
"""


def test_a_process_that_dies_is_told_for_each_batch_and_the_campaign_goes_on() -> None:
    ended = subprocess.run([sys.executable, "-c", DEADLY], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [
        f"{BATCH} frames 100 to {99 + BATCH}: the process ended with 1",
        f"1 frames {100 + BATCH} to {100 + BATCH}: the process ended with 1",
    ]
