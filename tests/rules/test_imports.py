"""Imports point one way, and what belongs in one place is imported in that place only.

Every module is parsed, not run, so that imports inside of functions count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

MAY_IMPORT = {
    "schemas": {"schemas"},
    "producers": {"schemas", "producers"},
    "alerts": {"schemas", "alerts"},
    "dashboards": {"schemas", "dashboards"},
    "stack": {"schemas", "stack"},
    "stream_jobs.operators": {"schemas", "stream_jobs.operators"},
    "stream_jobs.sinks": {"schemas", "stream_jobs.sinks"},
    "stream_jobs.agents": {"schemas", "alerts", "stream_jobs"},
    "turnwatch": {"schemas", "producers", "alerts", "dashboards", "stack", "stream_jobs", "turnwatch"},
    "tests": {"schemas", "producers", "alerts", "dashboards", "stack", "stream_jobs", "turnwatch", "tests"},
}
"""Which of our packages the modules of each package may name. Whatever is not listed is refused."""

OURS = {package.split(".")[0] for package in MAY_IMPORT}

IMPURE = {
    "aiohttp",
    "aiokafka",
    "asyncio",
    "clickhouse_connect",
    "datetime",
    "faust",
    "logging",
    "mode",
    "os",
    "pathlib",
    "prometheus_client",
    "random",
    "socket",
    "subprocess",
    "threading",
    "time",
}
"""What an operator never meets: clocks, loggers, files, processes, networks, chance."""


@cache
def modules() -> tuple[str, ...]:
    """Every module of the repository, by dotted name."""
    folders = sorted(path.parent for path in REPOSITORY.glob("*/__init__.py"))
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return tuple(".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in paths)


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """Dotted names that a module imports, wherever in it; `from a import b` names `a` and `a.b`."""
    return tuple(_named_in(module))


def _named_in(module: str) -> Iterator[str]:
    path = REPOSITORY / Path(*module.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where they point; write the full name."
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def package_of(module: str) -> str:
    """The longest listed package that holds the module."""
    return max((package for package in MAY_IMPORT if is_within(module, package)), key=len, default="")


def trespasses(module: str) -> list[str]:
    package = package_of(module)
    named = {name for name in imports_of(module) if name.split(".")[0] in OURS}
    allowed = MAY_IMPORT.get(package, set())
    # `from stream_jobs import operators` names the parent, too, which holds nothing.
    return sorted(
        name
        for name in named
        if not any(is_within(name, other) or (is_within(other, name) and name == "stream_jobs") for other in allowed)
    )


@pytest.mark.parametrize("module", [name for name in modules() if package_of(name) != "tests"])
def test_imports_point_one_way(module: str) -> None:
    if module == "stream_jobs.__init__":
        assert list(imports_of(module)) == []
        return
    assert package_of(module), f"{module} is in no package whose place in the flow is declared in MAY_IMPORT."
    assert trespasses(module) == []


def test_faust_appears_in_one_folder_only() -> None:
    """But tests may stand in for it: what an agent makes of a consumer is tried with one of ours."""
    users = {name for name in modules() if {"faust", "mode"} & {each.split(".")[0] for each in imports_of(name)}}
    assert users
    assert [name for name in users if not (is_within(name, "stream_jobs.agents") or is_within(name, "tests"))] == []


@pytest.mark.parametrize("module", [name for name in modules() if is_within(name, "stream_jobs.operators")])
def test_operators_are_pure(module: str) -> None:
    """Time, chance and the outside world arrive as arguments."""
    assert sorted(IMPURE & {name.split(".")[0] for name in imports_of(module)}) == []


@pytest.mark.parametrize("module", [name for name in modules() if is_within(name, "schemas")])
def test_the_contract_meets_no_server(module: str) -> None:
    servers = {"aiohttp", "aiokafka", "chdb", "clickhouse_connect", "faust", "grafana_client", "logging", "time"}
    assert sorted(servers & {name.split(".")[0] for name in imports_of(module)}) == []


def test_imports_inside_of_functions_are_seen() -> None:
    """The rule would be blind otherwise: the command line imports everything inside of its functions."""
    assert "turnwatch.demo" in set(imports_of("turnwatch.commands.local"))
