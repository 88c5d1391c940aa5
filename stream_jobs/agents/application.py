"""The Faust application: one consumer group, the stages as agents, settings that were found to matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import faust

from schemas.kafka import KafkaAddress
from schemas.topics import PARTITIONS_DEFAULT
from stream_jobs.agents.exact import BlockTable
from stream_jobs.agents.header_names import accept_any_header_name
from stream_jobs.agents.positions import RewindingConsumer

GROUP = "turnwatch"
SESSION_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """`instance`: a stable name makes membership static, so that a quick restart does not rebalance the others."""

    kafka: KafkaAddress
    partitions: int = PARTITIONS_DEFAULT
    replication_factor: int = 1
    instance: str | None = None
    data_dir: Path = field(default_factory=lambda: Path(".turnwatch/faust"))


def build(settings: ApplicationSettings) -> faust.App:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    accept_any_header_name()
    app = faust.App(
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
        stream_buffer_maxsize=4_096,
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
