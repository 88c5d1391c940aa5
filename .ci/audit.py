"""Compares every locked package with the published advisories, by pip-audit, and fails where one is affected.

    .venv/bin/python .ci/audit.py

pip-audit has an environment of its own (`build/audit`, from `.ci/audit.lock`), so that it brings nothing into ours. Where
its data cannot be reached it would find nothing and say "no known vulnerabilities", so one package is asked for first;
then what stands instead is said, and that is the committed bill of materials, which has to be that of today's locks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from turnwatch.bill_of_materials import BILL, LOCK, bill_of_materials, locked_packages

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = REPOSITORY / "build" / "audit"
TIMEOUT_S = 300

ACCEPTED: dict[str, str] = {}
"""Advisories that do not reach us: identity → why not. Anything else that is found fails the audit."""


def main() -> int:
    if (REPOSITORY / BILL).read_text(encoding="utf-8") != bill_of_materials(REPOSITORY):
        print(f"{BILL} is not that of today's locks: run `turnwatch render` and commit it.")
        return 1
    lock = (REPOSITORY / LOCK).read_text(encoding="utf-8")
    packages = [f"{package.name}=={package.version}" for package in locked_packages(lock)]
    try:
        install()
        # It passes over what it cannot look up: the first one shows whether it can look up anything.
        is_reachable = not any("skip_reason" in found for found in audited(packages[:1]))
        found = audited(packages) if is_reachable else []
    except (OSError, subprocess.SubprocessError, ValueError):
        found = []
    if not found:
        print(f"pip-audit cannot reach its data from here: nothing was audited. {BILL} names {len(packages)} packages.")
        return 0
    return told(found)


def install() -> None:
    if (ENVIRONMENT / "bin" / "pip-audit").exists():
        return
    venv.create(ENVIRONMENT, with_pip=False, clear=True)
    command = [sys.executable, "-m", "pip", "--python", str(ENVIRONMENT / "bin" / "python"), "install", "--quiet"]
    command += [
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
        "--requirement",
        str(REPOSITORY / ".ci" / "audit.lock"),
    ]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)


def audited(packages: list[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each package: its vulnerabilities, or why it was passed over."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(packages))
        requirements.flush()
        command = [str(ENVIRONMENT / "bin" / "pip-audit"), "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--progress-spinner", "off", "--requirement", requirements.name]
        said = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    found: list[dict[str, Any]] = json.loads(said.stdout)["dependencies"]
    return found


def told(found: list[dict[str, Any]]) -> int:
    """Prints what was found; 1 where something has to be done about it."""
    affected = 0
    for package in found:
        if "skip_reason" in package:
            print(f"note: {package['name']} was passed over: {package['skip_reason']}")
        for advisory in package.get("vulns", []):
            names = {advisory["id"], *advisory.get("aliases", [])}
            why_not = next((ACCEPTED[name] for name in names if name in ACCEPTED), None)
            affected += why_not is None
            remedy = (
                why_not or f"raise it to {' or '.join(advisory['fix_versions']) or 'a version that is not out yet'}"
            )
            print(f"{package['name']} {package['version']}: {advisory['id']}: {remedy}.")
    print(f"{len(found)} packages audited, {affected} advisories to act on.")
    return 1 if affected else 0


if __name__ == "__main__":
    sys.exit(main())
