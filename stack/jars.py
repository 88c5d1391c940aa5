"""The Kafka broker's jars, pinned: every one named with its checksum in `jars.lock`, kept in a per-user cache.

`make setup` runs `python -m stack.jars`. It asks `jgo` for the jars that the cache lacks, checks each against the lock
before it gets its final name, and is silent and quick when nothing is missing. A jar therefore is in the cache complete
and verified, or not at all. `python -m stack.jars relock VERSION` resolves another broker version and prints the lock
to commit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stack.failures import StackFailure

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

LOCK = Path(__file__).with_name("jars.lock")
BROKER = "org.apache.kafka:kafka_2.13"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl"
"""What carries the broker's log lines to log4j. Kafka ships it beside its jars but does not declare it."""

LOG4J = "org.apache.logging.log4j:log4j-core"
PARALLEL_DOWNLOADS = 4
RETRY_PAUSES_S = (0.5, 2.0)
HASH_CHUNK_BYTES = 1 << 20


class JarsUnavailable(StackFailure):
    """The broker's jars cannot be had; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: its Maven coordinate and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(path: Path = LOCK) -> tuple[Jar, ...]:
    """The jars that `jars.lock` pins, one `group:artifact:version sha256` a line."""
    jars = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
        except ValueError:
            message = f"{path.name}, line {number}: expected 'group:artifact:version sha256', found {line!r}"
            raise JarsUnavailable(message) from None
        jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def kafka_version(jars: Sequence[Jar]) -> str:
    """The version of the broker among the locked jars."""
    return next(jar.version for jar in jars if f"{jar.group}:{jar.artifact}" == BROKER)


def cache_root() -> Path:
    """Where this user's caches of turnwatch are, by the XDG rules."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "turnwatch"


def kafka_home(jars: Sequence[Jar]) -> Path:
    """The cache folder of the locked broker: its jars and what is derived from them."""
    return cache_root() / f"kafka-{kafka_version(jars)}"


def locked_classpath() -> tuple[Path, ...]:
    """The broker's jars in the cache, in the lock's order; a sentence when `make setup` has not put them there."""
    jars = read_lock()
    folder = kafka_home(jars) / "jars"
    absent = [jar.filename for jar in jars if not (folder / jar.filename).is_file()]
    if absent:
        count = f"{len(absent)} of the Kafka broker's {len(jars)} jars"
        message = f"{count} are not in {folder} (first: {absent[0]}): run `make setup`."
        raise JarsUnavailable(message)
    return tuple(folder / jar.filename for jar in jars)


def ensure(report: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Bring every locked jar into the cache, verified; `report(done, total)` is called as they arrive."""
    jars = read_lock()
    folder = kafka_home(jars) / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not is_verified(folder / jar.filename, jar)]
    if missing:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="download-") as scratch:
            for done, _jar in enumerate(download(missing, Path(scratch), folder), start=1):
                report(len(jars) - len(missing) + done, len(jars))
    return folder


def is_verified(path: Path, jar: Jar) -> bool:
    return path.is_file() and sha256_of(path) == jar.sha256


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def download(jars: Sequence[Jar], scratch: Path, folder: Path) -> Iterator[Jar]:
    """Fetch `jars` into `scratch` and give each its name in `folder` once it is verified."""
    maven = maven_context(scratch)
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        arrivals = {pool.submit(fetch, maven, jar): jar for jar in jars}
        try:
            for arrival in as_completed(arrivals):
                jar = arrivals[arrival]
                admit(arrival.result(), jar, folder)
                yield jar
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def maven_context(repo_cache: Path) -> MavenContext:
    """`jgo`'s view of the repositories: its own default and those of the user's jgo configuration, if any."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext
    from jgo.maven._core import DEFAULT_REMOTE_REPOS

    configured = GlobalSettings.load().repositories
    return MavenContext(repo_cache=repo_cache, remote_repos=DEFAULT_REMOTE_REPOS | configured)


def fetch(maven: MavenContext, jar: Jar) -> Path:
    """One jar from the repositories, not yet verified; a network that stumbles is asked again."""
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for pause_s in RETRY_PAUSES_S:
        try:
            return artifact.resolve()
        except OSError:  # Every network error of requests is one.
            (artifact.cached_path or Path()).unlink(missing_ok=True)
            time.sleep(pause_s)
    try:
        return artifact.resolve()
    except (OSError, RuntimeError) as error:  # jgo says RuntimeError when no repository has it.
        message = (
            f"Could not download {jar.coordinate}: {first_line(error)} Check the network (or the repositories in your "
            "jgo configuration) and run `make setup` again; what has arrived is kept."
        )
        raise JarsUnavailable(message) from error


def first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text[:200].rstrip(".") + "."


def admit(arrived: Path, jar: Jar, folder: Path) -> None:
    """Move a verified jar to its final name, at once and whole; refuse one whose bytes are not the locked ones."""
    found = sha256_of(arrived)
    if found != jar.sha256:
        message = (
            f"{jar.coordinate} has SHA-256 {found}, but stack/jars.lock says {jar.sha256}: it was not kept. "
            "If a proxy or mirror rewrites downloads, name a faithful one in your jgo configuration."
        )
        raise JarsUnavailable(message)
    arrived.replace(folder / jar.filename)


def relock(version: str) -> str:
    """The text of a lock for broker `version`: its whole runtime closure, each jar with the checksum of its bytes."""
    with tempfile.TemporaryDirectory(prefix="turnwatch-relock-") as scratch:
        maven = maven_context(Path(scratch))
        artifacts = {f"{each.groupId}:{each.artifactId}": each for each in runtime_closure(maven, BROKER, version)}
        group, name = LOGGING.split(":")
        artifacts[LOGGING] = maven.project(group, name).at_version(artifacts[LOG4J].version).artifact()
        lines = sorted(f"{name}:{each.version} {sha256_of(each.resolve())}" for name, each in artifacts.items())
    header = (
        f"# The Kafka {version} broker and all it needs at run time: `python -m stack.jars relock {version}` wrote it."
    )
    return "\n".join([header, *lines, ""])


def runtime_closure(maven: MavenContext, project: str, version: str) -> list[Artifact]:
    """A project's own jar and everything it needs at run time, by Maven's rules."""
    from jgo.parse import Coordinate

    group, name = project.split(":")
    wanted = maven.create_dependency(Coordinate(group, name, version, scope="compile"))
    inputs, transitive = maven.resolver.resolve([wanted])
    return [each.artifact for each in (*inputs, *transitive) if each.scope in ("compile", "runtime")]


def ensure_with_progress() -> None:
    """`ensure`, with a bar on the terminal from the first jar that has to be fetched."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns) as progress:
        task = progress.add_task(f"Kafka {kafka_version(read_lock())} jars", total=None)
        ensure(lambda done, total: progress.update(task, completed=done, total=total))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stack.jars", description="Fetch and verify the Kafka broker's jars."
    )
    commands = parser.add_subparsers(dest="command")
    relocking = commands.add_parser("relock", help="print the lock of another broker version")
    relocking.add_argument("version", help="a Kafka version, for example 4.2.1")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "relock":
            print(relock(chosen.version), end="")
        elif not all_verified():
            ensure_with_progress()
    except JarsUnavailable as unavailable:
        print(unavailable, file=sys.stderr)
        return 1
    return 0


def all_verified() -> bool:
    jars = read_lock()
    return all(is_verified(kafka_home(jars) / "jars" / jar.filename, jar) for jar in jars)


if __name__ == "__main__":
    sys.exit(main())
