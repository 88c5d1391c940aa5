"""The ClickHouse server of the local stack: a process of its own that serves `clickhouse_http.py` on loopback."""

from __future__ import annotations

import http.client
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stack.machine import LOOPBACK, choose_ports, require_disk_space
from stack.processes import Lifetime, Running, start, wait_until

START_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 2.0
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class ClickHouseServer:
    """A started server: where clients reach it and which process it is."""

    port: int
    user: str
    password: str
    data_dir: Path
    running: Running

    @property
    def url(self) -> str:
        """Its address for clients, with credentials when it has any."""
        account = f"{quote(self.user)}:{quote(self.password, safe='')}@" if self.password else ""
        return f"http://{account}{LOOPBACK}:{self.port}"

    def is_healthy(self) -> bool:
        return answers_ok(self.port, "/ping")

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        wait_until(self.is_healthy, self.running, timeout_s)

    def stop(self) -> None:
        self.running.stop()


def start_clickhouse(
    run_dir: Path, port: int = 0, user: str = "default", password: str = "", lifetime: Lifetime = "parent"
) -> ClickHouseServer:
    """Start a server whose data and log are in `run_dir`; port 0 chooses a free one. It is not yet healthy."""
    require_disk_space(run_dir)
    (port,) = choose_ports((port,))
    data_dir, log = run_dir / "clickhouse", run_dir / "clickhouse.log"
    command = [sys.executable, "-m", "stack.clickhouse_http", "--data", str(data_dir.absolute()), "--port", str(port)]
    account = {"TURNWATCH_CLICKHOUSE_USER": user, "TURNWATCH_CLICKHOUSE_PASSWORD": password}
    # The module is found wherever we were started from, installed or not.
    running = start("ClickHouse", command, log, lifetime, account | {"PYTHONPATH": str(CHECKOUT)})
    return ClickHouseServer(port, user, password, data_dir, running)


def answers_ok(port: int, path: str) -> bool:
    """Whether a GET of `path` on this machine's `port` answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
