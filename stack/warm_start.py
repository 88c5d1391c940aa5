"""What a Kafka broker learnt on its first start, so that later ones are quick: classes ready to use, and a first checkpoint.

`warm_up.py` lets one learn it and keeps it beside the jars: an ahead-of-time cache of what Java loaded and linked (JEP 483, 514,
515), and the checkpoint that `kafka-storage format` made. A start with both takes a third of the processor's time. Both are optional: where they are
absent, or Java cannot use them, a broker formats its folder and loads its classes as ever. They belong to one build of
Java and to the very files of the jars, and are found under a fingerprint of those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.jars import kafka_home, read_lock

CACHE, CHECKPOINT = "broker.aot", "bootstrap.checkpoint"


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
    warm = WarmStart(home() / fingerprint(java, classpath))
    return warm if warm.checkpoint.is_file() else None


def fingerprint(java: Path, classpath: Sequence[Path]) -> str:
    """Of everything by which Java would refuse a cache: where its own modules and the jars are, their sizes and times."""
    files = [java.resolve().parent.parent / "lib" / "modules", *classpath]
    facts = [(str(each), (status := each.stat()).st_size, status.st_mtime_ns) for each in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def home() -> Path:
    return kafka_home(read_lock()) / "warm"
