"""Topics of a real broker that a test takes away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiokafka.admin import AIOKafkaAdminClient

from schemas.kafka import KafkaAddress


async def delete_topics(kafka: KafkaAddress, topics: Collection[str] | None = None) -> None:
    """Takes these away, or all of ours, and waits until nobody finds them."""
    admin = AIOKafkaAdminClient(**kafka.aiokafka_options())
    await admin.start()
    try:
        gone = (
            topics if topics is not None else [each for each in await admin.list_topics() if not each.startswith("__")]
        )
        await admin.delete_topics(list(gone))
        while not set(gone).isdisjoint(await admin.list_topics()):
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
