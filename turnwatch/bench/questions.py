"""How many rows a second does each question take in on one core, and how large is its state?

Each operator is the worker's own, told 10,000 slices round by round as it is in a worker; what it says is taken out of it and
thrown away. Seconds are of processor time, over all threads, of the fastest of the last rounds: what else the
machine does slows rounds, and hastens none. Saving is not in them. Bytes of state are those of the blocks that it saved and did not
take back: what Kafka holds, and a restart reads. Beside each stands a peer: grouping the same rows by slice and summing them.

Held to limits are the questions of queues and money: saturation, pricing and spending at 1,000,000 rows a second and core,
the decomposition of 10,000 slices at 1 s, and drift in twelve figures of as many slices at 0.2 s in the minute that decides
their hour. Of `late_labels`, which change nine figures of 1,000 slices in every hour of three days, the seconds are those of the longest
turn that it has of the loop before others may have theirs, held to 0.1 s. `pricing` is the arithmetic alone; `pricing_watch` is all that a worker does with prices, from totals with the
texts of slices to rows of ClickHouse and statements, and is held to the same limit. The others have none, incidents and
findings among them: their rows are statements of one thing that burns, or was found, each of them an alert.
"""

from __future__ import annotations

from turnwatch.bench.question import measured
from turnwatch.bench.question_loads import questions


def run_questions(slices: int, rounds: int, seed: int) -> int:
    """Prints a line for each question; 1 where one misses its limit."""
    missed = []
    for question in questions(slices, rounds, seed):
        found = measured(question, slices)
        print(found.line, flush=True)
        if found.ratio is not None and found.ratio < 1:
            missed.append(question.name)
    return 1 if missed else 0
