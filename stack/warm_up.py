"""Lets a Kafka broker learn what makes later ones quick (`warm_start.py`): starts one, and ends it.

`make setup` runs `python -m stack.warm_up`. Java writes its ahead-of-time cache as the broker ends.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from stack.failures import StackFailure
from stack.jars import locked_classpath
from stack.kafka import find_java, start_kafka
from stack.warm_start import CACHE, CHECKPOINT, WarmStart, fingerprint, home, learnt

ENDING_S = 120.0
"""Java writes the cache as it ends, which takes seconds of a quiet machine."""
KEPT_MAX = 3
"""Of several checkouts, each with a Java of its own; 70 MB each."""


def ensure() -> WarmStart:
    """What was learnt, by a broker that is started for it where nothing was yet."""
    java, classpath = find_java(), locked_classpath()
    return learnt(java, classpath) or _learn(home() / fingerprint(java, classpath))


def _learn(folder: Path) -> WarmStart:
    """Starts a broker and ends it; what it leaves gets its name at once and whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="learning-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        options = ("-XX:+IgnoreUnrecognizedVMOptions", f"-XX:AOTCacheOutput={made / CACHE}")
        broker = start_kafka(Path(scratch), java_options=options)
        try:
            broker.wait_until_healthy()
            shutil.copy(broker.data_dir / CHECKPOINT, made / CHECKPOINT)
        finally:
            broker.running.stop(ENDING_S)
        if not folder.exists():
            made.rename(folder)
    _forget_all_but_the_newest(folder.parent)
    return WarmStart(folder)


def _forget_all_but_the_newest(home: Path) -> None:
    complete = [each for each in home.iterdir() if (each / CHECKPOINT).is_file()]
    for folder in sorted(complete, key=lambda each: each.stat().st_mtime)[:-KEPT_MAX]:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    try:
        ensure()
    except (StackFailure, OSError) as failure:
        print(f"Kafka will start as slowly as the first time, which harms nothing: {failure}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
