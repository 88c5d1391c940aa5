"""What turnwatch is made of, as CycloneDX: every locked Python package and every jar of the local stack's broker.

Derived from `requirements.lock`, `pyproject.toml` and `stack/jars.lock` alone, so that the same locks give the same
bytes. Whoever has a list of vulnerable versions compares it with this, without a machine on which anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack.jars import Jar, read_lock

BILL = "sbom.cdx.json"
LOCK = "requirements.lock"

_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_WANTED_BY = re.compile(r"    # (?:via)?\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)?")
_DIRECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(slots=True)
class Package:
    """A locked package; `wanted_by` names what depends on it, as the lock's comments say."""

    name: str
    version: str
    wanted_by: set[str] = field(default_factory=set)

    @property
    def reference(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def bill_of_materials(repository: Path) -> str:
    """The bill of the locks in `repository`, as a JSON document."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (repository / LOCK).read_text(encoding="utf-8")
    packages = locked_packages(lock)
    needed = needed_at_run_time(packages, {normal(_name(each)) for each in project["dependencies"]})
    components = [
        *(_package(package, "required" if package.name in needed else "excluded") for package in packages),
        *(_jar(jar) for jar in read_lock()),
    ]
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _ourselves(project, own), "properties": [_digest(lock)]},
        "components": components,
        "dependencies": list(_dependencies(packages, normal(project["name"]), own)),
    }
    # Not random: an unchanged bill keeps its number.
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, indent=1) + "\n"


def locked_packages(lock: str) -> list[Package]:
    """Every pinned package under its normal name, in the lock's order; one may be pinned anew for another Python."""
    packages: list[Package] = []
    for line in lock.splitlines():
        if pinned := _PINNED.match(line):
            packages.append(Package(normal(pinned["name"]), pinned["version"]))
        elif packages and (wanted := _WANTED_BY.match(line)) and wanted["name"]:
            packages[-1].wanted_by.add(normal(wanted["name"]))
    return packages


def needed_at_run_time(packages: list[Package], direct: set[str]) -> set[str]:
    """Names of the packages that our direct dependencies bring; all others are tools of whoever develops."""
    needed = set(direct)
    while more := {package.name for package in packages if package.wanted_by & needed} - needed:
        needed |= more
    return needed


def normal(name: str) -> str:
    """A package's name as indexes compare it.

    >>> normal("Faust_Streaming")
    'faust-streaming'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(requirement: str) -> str:
    found = _DIRECT.match(requirement)
    assert found, f"pyproject.toml requires something without a name: {requirement}"
    return found[0]


def _ourselves(project: dict[str, Any], own: str) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": own,
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
    }


def _digest(lock: str) -> dict[str, str]:
    """Ties the bill to the lock, which holds the checksum of every file of every package."""
    return {"name": f"turnwatch:{LOCK}:sha256", "value": hashlib.sha256(lock.encode()).hexdigest()}


def _package(package: Package, scope: str) -> dict[str, Any]:
    reference = package.reference
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "scope": scope,
        "purl": reference,
    }


def _jar(jar: Jar) -> dict[str, Any]:
    reference = f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}"
    return {
        "type": "library",
        "bom-ref": reference,
        "group": jar.group,
        "name": jar.artifact,
        "version": jar.version,
        "scope": "optional",
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "purl": reference,
    }


def _dependencies(packages: list[Package], ours: str, own: str) -> Iterator[dict[str, Any]]:
    """Who depends on whom; the lock says it the other way round."""
    for name, reference in ((ours, own), *((package.name, package.reference) for package in packages)):
        depends_on = [package.reference for package in packages if name in package.wanted_by]
        yield {"ref": reference, "dependsOn": depends_on}
