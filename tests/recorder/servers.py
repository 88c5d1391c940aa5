"""A collector's HTTP side on loopback that can be away, and come back under the same address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from producers.observation_batches import PATH, Answer
from tests.recorder.hosts import FakeCollector


@dataclass
class Served:
    """What the server has taken, and what it says instead of an answer of a collector."""

    collector: FakeCollector = field(default_factory=FakeCollector)
    page: bytes = b""


@contextmanager
def serving(served: Served, port: int = 0) -> Iterator[str]:
    """The address, for as long as the server is there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # No connection outlives the server.

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = (
                served.collector("", headers, body, 0.0) if self.path == PATH else Answer(404, error="No such page.")
            )
            told = served.page or answer.body()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
