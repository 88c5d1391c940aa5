"""What a Kafka broker learnt on its first start, so that later ones are quick: classes ready to use, and a first checkpoint.

`make setup` runs `python -m stack.warm_start`. It starts a broker once, with Java writing what it loaded and linked to an
ahead-of-time cache (JEP 483, 514, 515) as it ends, and keeps that beside the jars, with the checkpoint that
`kafka-storage format` made. A start with both takes a third of the processor's time. Both are optional: where they are
absent, or Java cannot use them, a broker formats its folder and loads its classes as ever. They belong to one build of
Java and to the very files of the jars, and are found under a fingerprint of those.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.failures import StackFailure
from stack.jars import kafka_home, locked_classpath, read_lock

CACHE, CHECKPOINT = "broker.aot", "bootstrap.checkpoint"
ENDING_S = 120.0
"""Java writes the cache as it ends, which takes seconds of a quiet machine."""
KEPT_MAX = 3
"""Of several checkouts, each with a Java of its own; 70 MB each."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """A folder of what was learnt. Older Javas leave no cache."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def java_options(self) -> list[str]:
        cache = self.folder / CACHE
        return [f"-XX:AOTCache={cache}", "-Xlog:aot*=off"] if cache.is_file() else []


def learnt(java: Path, classpath: Sequence[Path]) -> WarmStart | None:
    """What there is for this Java and these jars."""
    warm = WarmStart(_home() / fingerprint(java, classpath))
    return warm if warm.checkpoint.is_file() else None


def fingerprint(java: Path, classpath: Sequence[Path]) -> str:
    """Of everything by which Java would refuse a cache: where its own modules and the jars are, their sizes and times."""
    files = [java.resolve().parent.parent / "lib" / "modules", *classpath]
    facts = [(str(each), (status := each.stat()).st_size, status.st_mtime_ns) for each in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def ensure() -> WarmStart:
    """What was learnt, by a broker that is started for it where nothing was yet."""
    from stack.kafka import find_java  # It imports us, for `learnt`.

    java, classpath = find_java(), locked_classpath()
    return learnt(java, classpath) or _learn(_home() / fingerprint(java, classpath))


def _learn(folder: Path) -> WarmStart:
    """Starts a broker and ends it; what it leaves gets its name at once and whole."""
    from stack.kafka import start_kafka

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


def _home() -> Path:
    return kafka_home(read_lock()) / "warm"


def main() -> int:
    try:
        ensure()
    except (StackFailure, OSError) as failure:
        print(f"Kafka will start as slowly as the first time, which harms nothing: {failure}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
