"""The bill of materials names all that is locked, and is that of today's locks; the audit acts on what it is told."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stack.jars import read_lock
from turnwatch.bill_of_materials import BILL, LOCK, bill_of_materials, locked_packages, needed_at_run_time

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / BILL).read_text(encoding="utf-8")
BILLED: Any = json.loads(TEXT)


def test_the_committed_bill_is_that_of_todays_locks() -> None:
    assert bill_of_materials(REPOSITORY) == TEXT, f"{BILL} is stale: run `turnwatch render`."


def test_every_pinned_package_and_every_jar_is_billed_once() -> None:
    pinned = re.findall(r"^(\S+?)==(\S+)", (REPOSITORY / LOCK).read_text(encoding="utf-8"), re.MULTILINE)
    python = [each for each in BILLED["components"] if each["purl"].startswith("pkg:pypi/")]
    assert [(each["name"], each["version"]) for each in python] == pinned
    jars = {each["purl"]: each["hashes"][0]["content"] for each in BILLED["components"] if "hashes" in each}
    assert jars == {f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}": jar.sha256 for jar in read_lock()}
    assert len(BILLED["components"]) == len(python) + len(jars)


def test_references_are_unique_and_lead_somewhere() -> None:
    references = [each["bom-ref"] for each in BILLED["components"]]
    own = BILLED["metadata"]["component"]["bom-ref"]
    assert len(set(references)) == len(references)
    for each in BILLED["dependencies"]:
        assert each["ref"] in {own, *references} and set(each["dependsOn"]) <= set(references)
    (ours,) = [each["dependsOn"] for each in BILLED["dependencies"] if each["ref"] == own]
    assert len(ours) > 20


def test_tools_of_developers_are_told_from_what_runs() -> None:
    scopes = {each["name"]: each["scope"] for each in BILLED["components"]}
    assert {scopes[name] for name in ("aiokafka", "faust-streaming", "polars", "numpy")} == {"required"}
    assert {scopes[name] for name in ("pytest", "mypy", "ruff")} == {"excluded"}
    assert scopes["kafka-clients"] == "optional"


def test_what_depends_on_whom_is_read_from_the_locks_comments() -> None:
    lock = "a==1 \\\n    --hash=sha256:00\n    # via turnwatch (pyproject.toml)\nb_b==2 ; x\n    # via\n    #   a\n    #   C\nc==3\n"
    packages = locked_packages(lock)
    assert {each.name: each.wanted_by for each in packages} == {"a": {"turnwatch"}, "b-b": {"a", "c"}, "c": set()}
    assert needed_at_run_time(packages, {"a"}) == {"a", "b-b"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    specification = importlib.util.spec_from_file_location("audit", REPOSITORY / ".ci" / "audit.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_an_affected_package_fails_the_audit_and_says_what_to_do(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advisory = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"], "description": ""}
    found = [{"name": "a", "version": "1.0", "vulns": [advisory]}, {"name": "b", "version": "2", "vulns": []}]
    assert audit.told(found) == 1
    assert "a 1.0: PYSEC-1: raise it to 1.1." in capsys.readouterr().out
    monkeypatch.setitem(audit.ACCEPTED, "CVE-1", "we never call it")
    assert audit.told(found) == 0


def test_nothing_is_called_audited_where_advisories_cannot_be_had(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip-audit itself says "no known vulnerabilities" then."""
    monkeypatch.setattr(audit, "install", lambda: None)
    monkeypatch.setattr(audit, "audited", lambda packages: [{"name": each, "skip_reason": "?"} for each in packages])
    assert audit.main() == 0
    assert "nothing was audited" in capsys.readouterr().out
