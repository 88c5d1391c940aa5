"""What the documents name exists: paths, links, commands, options, targets, settings, figures of the contract.

And no file of the repository names a package registry's host or a path of somebody's machine.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from schemas.families import COUNT_MAX, FAMILIES, HEARTBEATS, K_SESSIONS_MIN
from schemas.frames import (
    FRAME_BYTES_MAX,
    FRAME_DECODED_BYTES_MAX,
    FRAME_ROWS_MAX,
    SCHEMA_MAJOR,
    SCHEMA_MINOR,
    FrameHeader,
    headers_of,
)
from schemas.partials import PARTIALS_VERSION
from schemas.rejections import PRODUCERS_MAX, Reason
from schemas.topics import PARTITIONS_DEFAULT, TOPICS
from stream_jobs.operators.totals.fence import GAP_NUMBERS, NUMBERS_KEPT
from stream_jobs.operators.totals.fences import GAPS_MAX, INCARNATIONS_MAX, PAGES
from stream_jobs.operators.totals.opening import FUTURE_MAX_MS, PAST_MAX_MS
from turnwatch.cli import app
from turnwatch.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
DECISIONS = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
CONTRACT = (REPOSITORY / "docs" / "contract.md").read_text(encoding="utf-8")
COMMANDS_PAGE = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")

NOT_OURS = {".git", ".venv", ".turnwatch", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__"}
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"\.(?:py|md|ya?ml|sql|json|toml|lock|sh|xml|txt|cfg)$")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))


def quoted(document: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", document.read_text(encoding="utf-8")))


def paths_in(document: Path) -> Iterator[str]:
    """Quoted names that can only be paths of the repository: within one of its folders, or with a file's ending."""
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    for name in quoted(document):
        is_path = re.fullmatch(r"[\w.*-]+(?:/[\w.*-]+)*/?", name) is not None
        if is_path and (name.split("/")[0] in folders or FILE_NAME.search(name)):
            yield name


def commands_in(document: Path) -> Iterator[list[str]]:
    """The words after `turnwatch` of every command that is quoted or stands in a fenced block."""
    fenced = [line for fence in FENCE.findall(document.read_text(encoding="utf-8")) for line in fence.splitlines()]
    for text in (*quoted(document), *fenced):
        words = text.partition("  # ")[0].split()
        while words and re.fullmatch(r"TURNWATCH_\w+=\S*", words[0]):
            words = words[1:]
        if len(words) > 1 and words[0].removeprefix(".venv/bin/") == "turnwatch":
            yield words[1:]


def command_tree(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every subcommand that does something, by its full name."""
    below = getattr(command, "commands", {})
    if not below or (name and getattr(command, "invoke_without_command", False)):
        yield name, command
    for each, subcommand in below.items():
        yield from command_tree(subcommand, f"{name} {each}".strip())


COMMANDS: dict[str, Any] = dict(command_tree(typer.main.get_command(app)))


def mistakes_in(words: list[str]) -> list[str]:
    """What the command line would not understand of a command."""
    name = next((name for count in (2, 1) if (name := " ".join(words[:count])) in COMMANDS), None)
    if name is None:
        return [f"there is no command turnwatch {words[0]}"]
    known = {"--help", *(option for parameter in COMMANDS[name].params for option in parameter.opts)}
    given = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    return [f"turnwatch {name} has no option {option}" for option in given if option not in known]


def variables(section: type[BaseModel] = Settings, prefix: str = "TURNWATCH_") -> Iterator[str]:
    """Every environment variable that the settings read."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def files_of_the_repository() -> list[Path]:
    """What git knows or would take; in an unpacked archive, everything but what tools leave behind."""
    if (REPOSITORY / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()
        paths = [REPOSITORY / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in REPOSITORY.rglob("*") if not NOT_OURS & set(path.relative_to(REPOSITORY).parts)]
    return [path for path in paths if path.is_file()]


# -- what documents name ---------------------------------------------------------------------------------------------


@each_document
def test_every_path_that_is_named_exists(document: Path) -> None:
    assert [name for name in paths_in(document) if not list(REPOSITORY.glob(name.rstrip("/")))] == []


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    files = [target.partition("#")[0] for target in targets]
    assert [name for name in files if name and not (document.parent / name).exists()] == []


@each_document
def test_every_command_that_is_named_is_one(document: Path) -> None:
    assert [mistake for words in commands_in(document) for mistake in mistakes_in(words)] == []


@each_document
def test_every_target_of_make_that_is_named_exists(document: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE))
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@each_document
def test_every_setting_that_is_named_is_read(document: Path) -> None:
    named = set(re.findall(r"TURNWATCH_[A-Z][A-Z_]*[A-Z]", document.read_text(encoding="utf-8")))
    assert named - set(variables()) == set()


def test_a_wrong_command_would_be_noticed() -> None:
    """These checks would be worth nothing if they understood everything."""
    assert mistakes_in(["reply", "trace.csv"]) == ["there is no command turnwatch reply"]
    assert mistakes_in(["bench", "memory", "--sloes", "3"]) == ["turnwatch bench memory has no option --sloes"]
    assert mistakes_in(["bench"]) == ["there is no command turnwatch bench"]
    assert len(list(commands_in(REPOSITORY / "README.md"))) > 3
    assert len(list(paths_in(REPOSITORY / "ARCHITECTURE.md"))) > 30


# -- what documents have to name -------------------------------------------------------------------------------------


def test_readme_fits_a_screen_and_has_one_diagram() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 60
    assert sum("─▶" in fence or "mermaid" in fence for fence in FENCE.findall(readme)) == 1


def test_every_decision_is_linked_from_the_architecture() -> None:
    architecture = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [path.name for path in DECISIONS if f"](docs/decisions/{path.name})" not in architecture] == []


def test_decisions_are_numbered_without_gaps_and_named_by_their_title() -> None:
    architecture = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for number, path in enumerate(DECISIONS, 1):
        title = path.read_text(encoding="utf-8").splitlines()[0]
        assert path.name.startswith(f"{number:04}-")
        assert title.startswith(f"# {number}. ")
        assert f"[{title.partition('. ')[2]}](docs/decisions/{path.name})" in architecture


def test_the_page_of_commands_has_all_of_them_and_every_setting() -> None:
    assert [name for name in COMMANDS if f"`turnwatch {name}" not in COMMANDS_PAGE] == []
    assert [name for name in variables() if f"`{name}`" not in COMMANDS_PAGE] == []


# -- the contract's page says what the code does ---------------------------------------------------------------------


def test_the_contract_states_the_version_and_every_header_in_order() -> None:
    header = FrameHeader(HEARTBEATS, HEARTBEATS.partitions[0], "producer", 0, 0, 0)
    assert re.findall(r"^\| `(tw-[a-z-]+)` \|", CONTRACT, re.MULTILINE) == [name for name, _ in headers_of(header, b"")]
    assert CONTRACT.startswith(f"# The contract, version {SCHEMA_MAJOR}.{SCHEMA_MINOR}\n")
    assert f"| `format` | {PARTIALS_VERSION} |" in CONTRACT


def test_the_contract_names_every_reason_and_no_other() -> None:
    reasons = CONTRACT.partition("Reasons: ")[2].partition(".\n")[0]
    assert set(re.findall(r"`(\w+)`", reasons)) == {reason.value for reason in Reason}


def test_the_contract_states_the_bounds_that_hold() -> None:
    lateness_s = {family.lateness_s: family.name for family in FAMILIES.values()}
    assert lateness_s.keys() == {120, 21_600, 259_200}
    assert (lateness_s[21_600], lateness_s[259_200]) == ("costs", "quality")
    for bound in (
        f"| payload | {FRAME_BYTES_MAX:,} bytes |",
        f"| payload after decompression (Arrow) | {FRAME_DECODED_BYTES_MAX:,} bytes |",
        f"| rows in a frame | {FRAME_ROWS_MAX:,} |",
        f"| one measure in one row | 2^{COUNT_MAX.bit_length() - 1} |",
        f"| window end after the broker's append time | {FUTURE_MAX_MS // 1_000} s |",
        f"| window end before the broker's append time | {PAST_MAX_MS // 86_400_000} days |",
        "Kafka partition | 120 s; 6 h of `costs`, 3 days of `quality` |",
        f"where it has not come yet | {NUMBERS_KEPT:,} |",
        f"| incarnations of one producer, per Kafka partition and family | {INCARNATIONS_MAX} |",
        f"per Kafka partition and family within 7 days | {PRODUCERS_MAX:,} (a setting) |",
        f"there are at most {GAPS_MAX:,} such gaps",
        f"each {GAP_NUMBERS:,} numbers of which some are missing",
        f"Producers are spread over {PAGES} pages",
        f"fewer than {K_SESSIONS_MIN} distinct",
    ):
        assert bound in CONTRACT


def test_the_contract_states_every_privacy_partition_with_its_window() -> None:
    lines = [line for line in CONTRACT.splitlines() if line.startswith("| `")]
    for family in FAMILIES.values():
        for partition in family.partitions:
            dimensions = f"| {', '.join(partition.dimensions)} | {partition.k_window_s} s |"
            (line,) = [line for line in lines if line.startswith(f"| `{partition.name}` |") and dimensions in line]
            assert f"`{family.name}`" in line


def test_the_contract_lists_every_topic() -> None:
    section = CONTRACT.partition("## Topics\n")[2]
    for topic in TOPICS:
        shown = re.sub(r"\.\w+$", ".<family>", topic.name)
        (line,) = [line for line in section.splitlines() if f"`{shown}`" in line]
        kept = "compacted" if topic.cleanup == "compact" else rf"{topic.retention_h // 24} days?"
        clock = "the broker's append time" if topic.timestamps == "LogAppendTime" else "the sender's"
        assert re.search(rf"\| {kept} \| {clock} \|$", line)
    assert f"the deployment's ({PARTITIONS_DEFAULT})" in section


# -- what no file names ----------------------------------------------------------------------------------------------

REGISTRIES = (
    ("pypi", "org"), ("pythonhosted", "org"), ("maven", "org"), ("maven", "apache", "org"), ("npmjs", "org"),
    ("npmjs", "com"), ("yarnpkg", "com"), ("crates", "io"), ("docker", "io"), ("docker", "com"), ("quay", "io"),
    ("ghcr", "io"), ("gcr", "io"), ("debian", "org"), ("ubuntu", "com"), ("golang", "org"), ("rubygems", "org"),
    ("anaconda", "org"),
)  # fmt: skip
"""In pieces, so that this file doesn't name them either."""

HOST = re.compile("|".join(rf"\b{re.escape('.'.join(parts))}\b" for parts in REGISTRIES), re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.}~-])/(?:work|root|(?:home|Users)/\w+)/")


def test_no_file_names_a_registry_or_a_path_of_a_machine() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {match[0]}"
        for path in files_of_the_repository()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        for match in (HOST.search(line), MACHINE_PATH.search(line))
        if match
    ]
    assert found == []


def test_a_registry_and_a_path_would_be_noticed() -> None:
    assert HOST.search("--index-url https://" + ".".join(("files", "pythonhosted", "org")) + "/simple")
    assert MACHINE_PATH.search("see /" + "home/ana/turnwatch/README.md")
