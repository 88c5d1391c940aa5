"""The real Alertmanager, where it is installed, with the repository's configuration and the local stack's pager.

Only the webhook's address differs from what a deployment runs: routes, groups, inhibitions and templates are the same
file. It stands alone (no cluster port) and listens on loopback. Without it the demo shows the page itself.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from stack.clickhouse import answers_ok
from stack.failures import StackFailure
from stack.machine import LOOPBACK, choose_ports
from stack.processes import Lifetime, Running, start, wait_until

HOW_TO_GET_IT = (
    "Alertmanager is not installed: `apt-get install prometheus-alertmanager`, or put `alertmanager` in PATH."
)
BINARIES = ("prometheus-alertmanager", "alertmanager")
PAGER_URL = "http://127.0.0.1:9095/page"
"""The address that stands in alerts/alertmanager.yml for whoever gets the pages."""
WATCHDOG_URL = "http://127.0.0.1:9095/watchdog"
"""The same for the dead man's switch. The local pager listens to both, beside each other."""

START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A started Alertmanager: where its API is and which process it is."""

    port: int
    running: Running

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def is_healthy(self) -> bool:
        return answers_ok(self.port, "/-/ready")

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        wait_until(self.is_healthy, self.running, timeout_s)

    def stop(self) -> None:
        self.running.stop()


def find_alertmanager() -> Path | None:
    """The program, by Debian's name or its own, or `None`."""
    found = (shutil.which(name) for name in BINARIES)
    return next((Path(path) for path in found if path), None)


def start_alertmanager(
    run_dir: Path, configuration: Path, pager_url: str | None = None, port: int = 0, lifetime: Lifetime = "parent"
) -> Alertmanager | None:
    """Start it with `configuration`, paging to `pager_url`; `None` where it is not installed (`HOW_TO_GET_IT`)."""
    binary = find_alertmanager()
    if binary is None:
        return None
    (port,) = choose_ports((port,))
    run_dir.mkdir(parents=True, exist_ok=True)
    copy = run_dir / "alertmanager.yml"
    copy.write_text(paging_to(pager_url, configuration), encoding="utf-8")
    command = [
        str(binary),
        f"--config.file={copy}",
        f"--storage.path={run_dir / 'alertmanager'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--cluster.listen-address=",
    ]
    return Alertmanager(port, start("Alertmanager", command, run_dir / "alertmanager.log", lifetime))


def paging_to(pager_url: str | None, configuration: Path) -> str:
    """The configuration's text with the pager's addresses in it."""
    try:
        text = configuration.read_text(encoding="utf-8")
    except OSError as error:
        raise StackFailure(f"Alertmanager's configuration {configuration} cannot be read: {error.strerror}.") from error
    if pager_url is None:
        return text
    if PAGER_URL not in text:
        message = f"{configuration} names no webhook {PAGER_URL} that the local stack could replace by its pager's."
        raise StackFailure(message)
    return text.replace(PAGER_URL, pager_url).replace(WATCHDOG_URL, urljoin(pager_url, urlsplit(WATCHDOG_URL).path))
