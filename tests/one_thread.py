"""Polars counts with one thread in a process that runs tests; import this before anything that imports polars.

Tests count frames of a few rows tens of thousands of times, where to hand work to another thread and to wait for it costs
more than the work, and files run side by side as it is. The order in which polars hands out groups is random with one
thread too, so an order that nobody asked for is still noticed. What tests start has as many threads as users' processes.
"""

from __future__ import annotations

import os

_NAME = "POLARS_MAX_THREADS"
_given = os.environ.get(_NAME)
os.environ.setdefault(_NAME, "1")

import polars as pl  # noqa: E402  # It reads the variable once, when it makes its threads.

THREADS = pl.thread_pool_size()

if _given is None:
    del os.environ[_NAME]
