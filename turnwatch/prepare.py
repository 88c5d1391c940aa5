"""Creates what the stream jobs need before they start: topics in Kafka, tables in ClickHouse. Harmless to repeat."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from producers.connection import why_unreachable
from schemas.counted import counted
from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from schemas.topics import CHANGELOGS, TOPICS
from stream_jobs.sinks.migrate import migrate
from turnwatch.places import places
from turnwatch.settings import Settings, load

KNOWN_POLL_S = 0.05
KNOWN_WITHIN_TRIES = 60


class PrepareError(Foreseen):
    """Something that is needed could not be created; the message says what, where and what to do."""


async def create_topics(kafka: KafkaAddress, partitions: int, replication_factor: int = 1) -> list[str]:
    """Creates the topics that are missing, and returns their names. An existing one with another partition count is refused."""
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    try:
        await admin.start()
    except KafkaError as error:
        raise PrepareError(await why_unreachable(kafka)) from error
    try:
        known = set(await admin.list_topics())
        await _refuse_other_partitions(admin, known, partitions)
        missing = [spec for spec in (*TOPICS, *CHANGELOGS) if spec.name not in known]
        topics = [
            NewTopic(spec.name, spec.partitions or partitions, replication_factor, topic_configs=spec.config())
            for spec in missing
        ]
        if topics:
            _refuse_errors(kafka, await admin.create_topics(topics))
            await _until_known(admin, {spec.name for spec in missing})
        return [spec.name for spec in missing]
    finally:
        await admin.close()


async def _until_known(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Kafka answers a moment before brokers know of what it made. Who may not see topics that it makes waits for a moment."""
    for _ in range(KNOWN_WITHIN_TRIES):
        if names <= set(await admin.list_topics()):
            return
        await asyncio.sleep(KNOWN_POLL_S)


def _refuse_errors(kafka: KafkaAddress, answer: Any) -> None:
    """aiokafka hands errors back instead of raising them. A topic that somebody else made meanwhile is none."""
    for topic, code, *message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            reason = for_code(code).__name__ + (f": {message[0]}" if message and message[0] else "")
            raise PrepareError(
                f"Kafka at {kafka.bootstrap} did not create topic {topic} ({reason}); correct the settings or the broker."
            )


async def _refuse_other_partitions(admin: AIOKafkaAdminClient, known: set[str], partitions: int) -> None:
    specs = (*TOPICS, *CHANGELOGS)
    wanted = {spec.name: spec.partitions or partitions for spec in specs if spec.name in known}
    for described in await admin.describe_topics(list(wanted)) if wanted else []:
        found = len(described["partitions"])
        if found != wanted[described["topic"]]:
            raise PrepareError(
                f"Topic {described['topic']} has {counted(found, 'partition')}, but TURNWATCH_KAFKA__PARTITIONS asks for {wanted[described['topic']]}: "
                "set it to what exists, or add partitions and restart every producer (new incarnations)."
            )


def prepare_blocking(settings: Settings) -> str:
    """Topics and tables; a sentence of what was made."""
    known = places(settings)
    topics = asyncio.run(create_topics(known.kafka, settings.kafka.partitions, settings.kafka.replication_factor))
    applied = migrate(known.clickhouse)
    return f"created {counted(len(topics), 'topic')}, applied {counted(len(applied), 'migration')}."


def run_prepare() -> int:
    print(prepare_blocking(load()).capitalize())
    return 0
