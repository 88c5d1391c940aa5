"""A worker that acknowledges without waiting for confirmations. Not exact: `bench pipeline` measures against it."""

from __future__ import annotations

import sys

from turnwatch.work import run_worker

if __name__ == "__main__":
    sys.exit(run_worker("with", is_fenced=False))
