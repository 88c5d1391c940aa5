"""A campaign: a million mutants, in a process that may die, watched by one that may not.

A decoder that ends its process, or never answers, is told with the numbers of the mutants it did so at; the campaign
goes on behind them. A mutant is the same for the same seed and number, so `--first N --frames 1` shows it again.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from turnwatch.bench.fuzz.records import try_records
from turnwatch.bench.fuzz.specimens import specimens
from turnwatch.bench.fuzz.trial import Tally, trial

BATCH = 500
FRAMES_PER_RECORD = 10
"""For so many frames, one record of our own topics and state is tried as well."""
PATIENCE_S = 60.0
"""A batch takes a fifth of a second; what takes as long as this does not end."""
ARROW_BYTES_MAX = 64 * 2**20
"""Mutants are small, and what they claim to unpack to is never allocated: a batch of them stays far below this."""
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What the process says after each batch; the next one begins at `reached`."""

    reached: int
    tally: Tally
    arrow_bytes: int


def run_fuzz(frames: int, seed: int, first: int) -> int:
    """Prints what became of them; 1 unless nothing that must not happen did."""
    console, began = Console(), time.monotonic()
    tally, arrow_bytes = Tally(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("fuzzing", total=frames)
        for report in reports(seed, range(first, first + frames)):
            tally.add(report.tally)
            arrow_bytes = max(arrow_bytes, report.arrow_bytes)
            bar.update(task, completed=report.reached - first)
    _show(console, tally, time.monotonic() - began)
    failed = len(tally.failures) or arrow_bytes > ARROW_BYTES_MAX
    print(
        f"seed={seed} frames={tally.frames} refused={tally.refused.total()} accepted_valid={tally.accepted_valid} "
        f"wrongly_accepted={len(tally.wrongly_accepted)} wrongly_refused={len(tally.wrongly_refused)} "
        f"miscounted={len(tally.miscounted)} crashes={len(tally.crashes)} records={tally.records.total()} "
        f"arrow_peak_mib={arrow_bytes / 2**20:.1f} limit_mib={ARROW_BYTES_MAX / 2**20:.0f}"
    )
    return 1 if failed else 0


Work = Callable[[Connection, int, range], None]


def reports(seed: int, numbers: range, work: Work | None = None) -> Iterator[Report]:
    """Reports on all numbers, from as many processes as it takes."""
    context = multiprocessing.get_context("spawn")
    reached = numbers.start
    while reached < numbers.stop:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work or _work, args=(theirs, seed, range(reached, numbers.stop)), daemon=True)
        process.start()
        theirs.close()
        try:
            for report in _heard(ours):
                reached = report.reached
                yield report
            is_stuck = not ours.poll(0)  # One that is gone has closed its end, which can be heard for ever.
            if not is_stuck:
                process.join()
        finally:
            process.kill()
            process.join()
            ours.close()
        if reached < numbers.stop:
            batch = _batch(reached, numbers.stop)
            how = f"no answer in {PATIENCE_S:.0f} s" if is_stuck else f"the process ended with {process.exitcode}"
            reached = batch.stop
            yield Report(reached, Tally(len(batch), crashes=[f"frames {batch.start} to {batch.stop - 1}: {how}"]), 0)


def _heard(ours: Connection) -> Iterator[Report]:
    """Reports, until the process has said all, is gone, or says nothing."""
    while ours.poll(PATIENCE_S):
        try:
            report: Report = ours.recv()
        except EOFError:
            return
        yield report


def _work(connection: Connection, seed: int, numbers: range) -> None:
    faulthandler.enable()
    pool = specimens(seed)
    start = numbers.start
    while start < numbers.stop:
        batch = _batch(start, numbers.stop)
        tally = trial(pool, seed, batch)
        try_records(seed, range(-(-batch.start // FRAMES_PER_RECORD), -(-batch.stop // FRAMES_PER_RECORD)), tally)
        start = batch.stop
        connection.send(Report(start, tally, pa.default_memory_pool().max_memory()))
    connection.close()


def _batch(start: int, stop: int) -> range:
    return range(start, min(start + BATCH, stop))


def _show(console: Console, tally: Tally, took_s: float) -> None:
    console.print(_counts("mutation of a frame", tally.fates), _counts("record of ours", tally.records))
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in tally.refused.most_common())
    console.print(f"Refused: {reasons or 'none'}.")
    console.print(f"{tally.frames:,} frames in {took_s:.0f} s, {took_s / max(1, tally.frames) * 1e6:.0f} us each.")
    for failure in tally.failures[:SHOWN_MAX]:
        console.print(failure, style="red", markup=False)
    if len(tally.failures) > SHOWN_MAX:
        console.print(f"and {len(tally.failures) - SHOWN_MAX} more", style="red")


def _counts(title: str, fates: Counter[tuple[str, str]]) -> Table:
    table = Table(title, "accepted", "refused", box=None)
    for name in sorted({name for name, _ in fates}):
        table.add_row(name, *(f"{fates[name, fate]:,}" for fate in ("accepted", "refused")))
    return table
