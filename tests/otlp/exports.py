"""Requests to try: built field by field, or by the real SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource

NOW_MS = 1_790_000_000_000
"""A whole window's start."""
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
SDK_DELTA: dict[type, sdk.AggregationTemporality] = {
    Counter: sdk.AggregationTemporality.DELTA,
    Histogram: sdk.AggregationTemporality.DELTA,
}
EXPONENTIAL: dict[type, Aggregation] = {Histogram: ExponentialBucketHistogramAggregation()}


def ns(ms: int) -> int:
    return ms * 1_000_000


def attributes(named: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_any(value)) for name, value in named.items()]


def _any(value: Any) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_any, value)))
        case _:
            raise AssertionError("not needed yet")


def request(metrics: Sequence[Metric], resource: Mapping[str, Any] | None = None) -> ExportMetricsServiceRequest:
    """All metrics of one resource and scope."""
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    of_resource.resource.attributes.extend(attributes(resource or {}))
    of_resource.scope_metrics.add().metrics.extend(metrics)
    return made


def counter(
    name: str, value: float, at_ms: int, start_ms: int = 0, temporality: int = DELTA, unit: str = "", **labels: Any
) -> Metric:
    """A monotonic sum of one point; `labels` have underscores instead of dots."""
    metric = Metric(name=name, unit=unit)
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    metric.sum.is_monotonic = True
    metric.sum.data_points.add(
        as_double=value,
        time_unix_nano=ns(at_ms),
        start_time_unix_nano=ns(start_ms),
        attributes=attributes({key.replace("__", "."): each for key, each in labels.items()}),
    )
    return metric


def gauge(name: str, value: float, at_ms: int, **labels: Any) -> Metric:
    metric = Metric(name=name)
    metric.gauge.data_points.add(
        as_double=value,
        time_unix_nano=ns(at_ms),
        attributes=attributes({key.replace("__", "."): each for key, each in labels.items()}),
    )
    return metric


def exponential(
    name: str, unit: str, at_ms: int, scale: int, offset: int, counts: Sequence[int], **fields: Any
) -> Metric:
    """An exponential histogram of one delta point; `fields` are those of the point."""
    metric = Metric(name=name, unit=unit)
    metric.exponential_histogram.aggregation_temporality = DELTA
    point = metric.exponential_histogram.data_points.add(
        **{"time_unix_nano": ns(at_ms), "scale": scale, "count": sum(counts) + fields.get("zero_count", 0)} | fields
    )
    point.positive.offset = offset
    point.positive.bucket_counts.extend(counts)
    return metric


def explicit(name: str, unit: str, at_ms: int, bounds: Sequence[float], counts: Sequence[int], **fields: Any) -> Metric:
    """A histogram with explicit bounds, of one delta point."""
    metric = Metric(name=name, unit=unit)
    metric.histogram.aggregation_temporality = DELTA
    given = {"time_unix_nano": ns(at_ms), "count": sum(counts), "explicit_bounds": bounds, "bucket_counts": counts}
    metric.histogram.data_points.add(**given | fields)
    return metric


class SdkExport:
    """The real SDK, whose collections are encoded as its OTLP exporter does."""

    def __init__(
        self,
        resource: Mapping[str, str],
        aggregation: dict[type, Aggregation] | None = None,
        temporality: dict[type, sdk.AggregationTemporality] | None = None,
    ) -> None:
        self._reader = sdk.InMemoryMetricReader(SDK_DELTA if temporality is None else temporality, aggregation)
        self._provider = MeterProvider([self._reader], Resource(resource))
        self.meter = self._provider.get_meter("tests")

    def collected(self) -> ExportMetricsServiceRequest:
        data = self._reader.get_metrics_data()
        assert data is not None
        return encode_metrics(data)
