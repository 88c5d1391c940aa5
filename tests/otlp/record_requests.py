"""Records what the installed SDK's exporter puts on the wire, as `recorded/sdk_<version>_<temporality>.txt`: base64 of bodies.

`python -m tests.otlp.record_requests` writes files for the SDK that is installed. Older ones stay: what was sent once is
read for ever.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from tests.otlp.exports import EXPONENTIAL, SDK_DELTA

FOLDER = Path(__file__).parent / "recorded"


@contextmanager
def keeping() -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback: the endpoint for metrics, and the bodies that came."""
    bodies: list[bytes] = []

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Keeping) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics", bodies
        server.shutdown()
        serving.join()


def recorded(is_delta: bool) -> list[bytes]:
    """Bodies of two collections: 3 and 2 requests, tokens, a first token with the conventions' bounds, a depth of 7 and 9."""
    with keeping() as (endpoint, bodies):
        _export(endpoint, is_delta)
    return bodies[:2]


def _export(endpoint: str, is_delta: bool) -> None:
    exporter = OTLPMetricExporter(
        endpoint=endpoint,
        preferred_temporality=SDK_DELTA if is_delta else None,
        preferred_aggregation=EXPONENTIAL if is_delta else None,
    )
    bounds = ExplicitBucketHistogramAggregation((0.1, 0.25, 0.5, 1.0, 4.0))
    views = [View(instrument_name="gen_ai.server.time_to_first_token", aggregation=bounds)]
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e7)
    provider = MeterProvider(
        [reader], Resource({"service.instance.id": "recorded", "service.version": "v7"}), views=views
    )
    meter, chat = provider.get_meter("tests"), {"gen_ai.operation.name": "chat"}
    duration = meter.create_histogram("gen_ai.server.request.duration", "s")
    first_token = meter.create_histogram("gen_ai.server.time_to_first_token", "s")
    tokens = meter.create_counter("turnwatch.turns.tokens_out")
    depth = meter.create_gauge("turnwatch.queues.depth")
    for seconds, waiting in (((0.3, 3.9, 4.5), 7), ((1.0, 9.0), 9)):
        for second in seconds:
            duration.record(second, chat)
            first_token.record(second / 10, chat)
            tokens.add(40)
        depth.set(waiting, {"turnwatch.queue": "llm_first_token"})
        reader.force_flush()
    reader.shutdown()


def record() -> None:
    FOLDER.mkdir(exist_ok=True)
    for temporality in ("delta", "cumulative"):
        lines = [base64.b64encode(body).decode() for body in recorded(temporality == "delta")]
        name = f"sdk_{version('opentelemetry-sdk').replace('.', '_')}_{temporality}.txt"
        (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    record()
