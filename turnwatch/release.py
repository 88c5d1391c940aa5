"""`turnwatch release`: what a bundle is made of, declared before it serves, and listed.

A release goes to the compacted topic `releases`, under its bundle, and from there with every other one as rows to ClickHouse:
rows are absolutes, so telling them again changes nothing, and a new database has them all.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Literal

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.release_document import load_release
from schemas.exclusions import WHO_MAX
from schemas.failures import BadInput
from schemas.kafka import KafkaAddress
from schemas.releases import Release, decode, rows, way_back_text
from schemas.rollups import encode
from schemas.topics import RELEASE_DOCUMENTS, ROLLUPS
from turnwatch.exclude import PIPED_WIDTH, NotTold, producer_of
from turnwatch.places import kafka
from turnwatch.printable import printable
from turnwatch.settings import load
from turnwatch.statements import read_statements, say_unreadable


def run_release_declare(file: Path, who: str) -> int:
    """Declares the release of a file, prints its bundle once Kafka has it, and returns the exit code."""
    release = load_release(file, _who(who), int(time.time() * 1_000))
    known = asyncio.run(_tell(kafka(load()), release))
    if known is not None:
        print(f"turnwatch: {known.who} had declared the same already: nothing was added.", file=sys.stderr)
    print(release.bundle)
    return 0


def _who(written: str) -> str:
    who = written.strip()
    if not who or len(who) > WHO_MAX or not who.isprintable():
        raise BadInput(f"--who has to be one line of 1 to {WHO_MAX} characters: say who declares the release.")
    return who


def run_release_list(output: Literal["table", "json"]) -> int:
    """Prints what is declared of every bundle, the oldest first."""
    found, unreadable = asyncio.run(read_releases(kafka(load())))
    say_unreadable(unreadable, RELEASE_DOCUMENTS, "releases")
    declared = sorted(found.values(), key=lambda each: (each.at_ms, each.bundle))
    if output == "json":
        print(json.dumps([each.model_dump(exclude={"format"}) for each in declared], indent=1))
    else:
        _print_table(declared)
    return 0


async def read_releases(address: KafkaAddress) -> tuple[dict[str, Release], int]:
    """By bundle what was declared last, and how many records are none."""
    found: dict[str, Release] = {}
    unreadable = await read_statements(
        address, RELEASE_DOCUMENTS, decode, lambda release: found.update({release.bundle: release})
    )
    return found, unreadable


async def _tell(address: KafkaAddress, release: Release) -> Release | None:
    """Adds the release unless the newest of its bundle says the same, which is then returned; rows of all are told."""
    found, _ = await read_releases(address)
    before = found.get(release.bundle)
    is_known = before is not None and before.says_the_same(release)
    if before is not None and not is_known:
        release = release.model_copy(update={"at_ms": max(release.at_ms, before.at_ms + 1)})
    async with producer_of(address) as producer:
        try:
            if not is_known:
                await producer.send_and_wait(
                    RELEASE_DOCUMENTS, release.encode(), key=release.bundle.encode(), partition=0
                )
                found[release.bundle] = release
            for each in found.values():
                headers, payload = encode("releases", rows([each]))
                await producer.send_and_wait(ROLLUPS, payload, headers=headers, partition=0)
        except KafkaError as error:
            raise NotTold(
                f"Kafka did not confirm release {release.bundle} ({type(error).__name__}): give the same command again, "
                "which adds nothing twice."
            ) from error
    return before if is_known else None


def _print_table(releases: list[Release]) -> None:
    if not releases:
        print("No release was ever declared.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("bundle", "artifact", "version", "owner", "back to", "evaluation", "ways back"):
        table.add_column(column, overflow="fold")
    for release in releases:
        ways = "; ".join(map(way_back_text, release.ways_back))
        for each in release.artifacts:
            cells = (release.bundle, each.name, each.version, each.owner, each.rollback_to, each.evaluation, ways)
            table.add_row(*(Text(printable(each)) for each in cells))
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width, highlight=False, markup=False).print(table)
