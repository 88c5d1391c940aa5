"""The Faust application: one consumer group, the stages as agents, settings that were found to matter.

Between the fetcher and an agent Faust queues events, and bounds them by number. A record may have a megabyte, so here a
queue is bounded by bytes, too: by whichever it is fuller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import faust
from faust.app import base
from mode.utils.queues import ThrowableQueue

from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT
from stream_jobs.agents.arrivals import bytes_of
from stream_jobs.agents.block_tables import BlockTable
from stream_jobs.agents.header_names import accept_any_header_name
from stream_jobs.agents.partials_read import ReadPartials
from stream_jobs.agents.positions import RewindingConsumer

GROUP = "turnwatch"
SESSION_TIMEOUT_S = 30.0
QUEUED_EVENTS_MAX = 4_096
QUEUED_BYTES_MAX = 48 * 1024 * 1024
"""Of the events that wait for one agent. Fetching pauses at four fifths of it and goes on at half: one fetch (4 MB of each
of 4 partitions) still fits then, and what is left lasts until the next has come."""


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """`instance`: a stable name makes membership static, so that a quick restart does not rebalance the others.

    `queued_bytes_max`: of events that wait for one agent, or while state is recovered for its table.
    """

    kafka: KafkaAddress
    partitions: int = PARTITIONS_DEFAULT
    replication_factor: int = 1
    instance: str | None = None
    data_dir: Path = field(default_factory=lambda: Path(".turnwatch/faust"))
    queued_bytes_max: int = QUEUED_BYTES_MAX


class BoundedQueue(ThrowableQueue[Any]):
    """A queue of events whose size is how full it is: by their number or by their bytes, whichever is more."""

    pressure_drop_ratio = 0.5

    def __init__(self, maxsize: int, bytes_max: int, **named: Any) -> None:
        super().__init__(maxsize, **named)
        self._bytes, self._bytes_max = 0, bytes_max

    def qsize(self) -> int:
        return max(super().qsize(), self._bytes * self.maxsize // self._bytes_max)

    def clear(self) -> None:
        super().clear()
        self._bytes = 0

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._bytes += bytes_of(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= bytes_of(item)
        return item


class Application(faust.App):
    """A Faust application whose queues are bounded by bytes; the partials that its stages share are its own."""

    queued_bytes_max = QUEUED_BYTES_MAX

    @cached_property
    def partials_read(self) -> ReadPartials:
        return ReadPartials()

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> ThrowableQueue[Any]:
        return BoundedQueue(
            maxsize or QUEUED_EVENTS_MAX,
            self.queued_bytes_max,
            flow_control=self.flow_control,
            clear_on_resume=clear_on_resume,
        )


Application.logger = base.logger  # What it says stays where Faust says it; the class itself would have its own.


def build(settings: ApplicationSettings) -> Application:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    accept_any_header_name()
    app = Application(
        GROUP,
        broker=[f"aiokafka://{address.strip()}" for address in settings.kafka.bootstrap.split(",")],
        broker_credentials=_credentials(settings.kafka),
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 10,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance or None,
        consumer_max_fetch_size=4 * 1024 * 1024,
        producer_acks=-1,
        producer_compression_type=None,  # What stages send is compressed already, block by block.
        producer_max_batch_size=256 * 1024,
        producer_max_request_size=1_000_000,
        stream_buffer_maxsize=QUEUED_EVENTS_MAX,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication_factor,
        topic_disable_leader=True,
        store="memory://",
        Table=BlockTable,
        datadir=str(settings.data_dir),
        web_enabled=False,
        worker_redirect_stdouts=False,
        logging_config={"version": 1, "disable_existing_loggers": False},
        autodiscover=False,
    )
    app.queued_bytes_max = settings.queued_bytes_max
    app.transport.Consumer = RewindingConsumer  # type: ignore[misc]  # It is this application's alone.
    return app


def _credentials(kafka: KafkaAddress) -> faust.auth.Credentials | None:
    if not (kafka.is_tls or kafka.is_sasl):
        return None
    context = kafka.ssl_context()
    if kafka.is_sasl:
        return faust.SASLCredentials(
            username=kafka.username, password=kafka.password, mechanism=kafka.sasl_mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context=context)
