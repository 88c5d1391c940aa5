"""What the stack asks of the machine before it starts anything: free ports and room on the disk."""

from __future__ import annotations

import random
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

from stack.failures import StackFailure

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Where free ports are looked for: below the ranges from which systems take the ports of outgoing connections."""

PORT_ATTEMPTS = 200
PROBE_TIMEOUT_S = 2.0
FREE_BYTES_MIN = 1 << 30


def choose_ports(wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The ports to listen on: each wanted one if it is free, and a free one for each 0. All differ."""
    with ExitStack() as held:  # Held open together, so that no port is given twice.
        return tuple(held.enter_context(bound(port)).getsockname()[1] for port in wanted)


def bound(port: int) -> socket.socket:
    if port:
        return bind(port)
    for candidate in random.sample(PORTS, PORT_ATTEMPTS):
        try:
            return bind(candidate)
        except StackFailure:
            continue
    raise StackFailure(
        f"No free port on {LOOPBACK} among {PORT_ATTEMPTS} tried from {PORTS.start} to {PORTS.stop - 1}."
    )


def bind(port: int) -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, port))
        taken.listen()  # A bound address alone can be shared; a listening one cannot.
    except (OSError, OverflowError) as error:
        taken.close()
        reason = error.strerror if isinstance(error, OSError) else "not a port number"
        message = f"Port {port} on {LOOPBACK} cannot be used ({reason}): stop what listens there or give another port."
        raise StackFailure(message) from error
    return taken


def is_listening(address: str) -> bool:
    """Whether anything accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def require_disk_space(folder: Path) -> None:
    """Refuse to start where a broker would soon run out of disk."""
    free_bytes = shutil.disk_usage(existing_ancestor(folder)).free
    if free_bytes < FREE_BYTES_MIN:
        message = (
            f"Only {free_bytes / (1 << 20):.0f} MiB are free on the disk of {folder}; the local stack needs 1 GiB."
        )
        raise StackFailure(f"{message} Free some, or give another folder.")


def existing_ancestor(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
