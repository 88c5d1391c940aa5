"""The page that Prometheus scrapes of a process of ours."""

from __future__ import annotations

from prometheus_client import start_http_server

from schemas.failures import Foreseen
from turnwatch.settings import MetricsSettings


def show_metrics(metrics: MetricsSettings) -> None:
    """Serves what this process counts, where a port is given for it; raises `Foreseen` where that port cannot be used."""
    if metrics.port is None:
        return
    try:
        start_http_server(metrics.port, addr=metrics.host)
    except OSError as error:
        raise Foreseen(
            f"Port {metrics.port} on {metrics.host} cannot be used for metrics ({error.strerror}): "
            "stop what listens there, or set TURNWATCH_METRICS__PORT to another."
        ) from None
