"""Verdicts on the record, before anybody is told of them.

The newest of a release is the record of its key in the compacted topic `verdicts`; the table `verdicts` keeps all of them, through
`rollups`. What Kafka does not confirm was never told: whoever asks again gets another verdict.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from producers.connection import why_unreachable
from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from schemas.rollups import encode
from schemas.topics import ROLLUPS, VERDICTS
from schemas.verdict_rows import rows
from schemas.verdicts import ReleaseVerdict, decode
from turnwatch.statements import read_statements

RECORD_WITHIN_S = 20.0
CLOSE_WITHIN_S = 2.0
ROWS_A_MESSAGE = 2_000


class NotRecorded(Foreseen):
    """Kafka did not confirm a verdict, so there is none; the message says what to do."""


async def record(address: KafkaAddress, verdict: ReleaseVerdict, within_s: float = RECORD_WITHIN_S) -> None:
    """Returns once Kafka has the verdict and its rows. Raises `NotRecorded`."""
    producer = AIOKafkaProducer(
        **address.aiokafka_options(), acks="all", enable_idempotence=True, compression_type="lz4"
    )
    is_reached = False
    try:
        async with asyncio.timeout(within_s):
            await producer.start()
            is_reached = True
            await _send(producer, verdict)
    except TimeoutError:
        why = f"Kafka did not confirm it within {within_s:g} s: topic {VERDICTS} is missing (`turnwatch prepare` makes it), or Kafka is ill."
        raise NotRecorded(_sentence(verdict, why)) from None
    except (KafkaError, OSError) as error:
        why = f"Kafka refused it ({type(error).__name__})." if is_reached else await why_unreachable(address)
        raise NotRecorded(_sentence(verdict, why)) from error
    finally:
        await _close(producer)


async def read_verdicts(address: KafkaAddress) -> tuple[dict[str, ReleaseVerdict], int]:
    """By release what was said last, and how many records are no verdicts. Of two that were judged at once the later look is it,
    whichever was recorded first.
    """
    found: dict[str, ReleaseVerdict] = {}

    def take(verdict: ReleaseVerdict) -> None:
        found[verdict.release] = max(found.get(verdict.release, verdict), verdict, key=lambda each: each.at_ms)

    unreadable = await read_statements(address, VERDICTS, decode, take)
    return found, unreadable


async def _send(producer: AIOKafkaProducer, verdict: ReleaseVerdict) -> None:
    """Its rows, and last what makes it the newest of its release."""
    table = rows(verdict)
    for first in range(0, table.num_rows, ROWS_A_MESSAGE):
        headers, payload = encode("verdicts", table.slice(first, ROWS_A_MESSAGE))
        await producer.send_and_wait(ROLLUPS, payload, headers=headers, partition=0)
    await producer.send_and_wait(VERDICTS, verdict.encode(), key=verdict.release.encode(), partition=0)


async def _close(producer: AIOKafkaProducer) -> None:
    """Everything that was confirmed has been awaited: what is left after a failure is waited for briefly only."""
    closing = asyncio.ensure_future(producer.stop())
    await asyncio.wait([closing], timeout=CLOSE_WITHIN_S)
    if not closing.done():
        closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


def _sentence(verdict: ReleaseVerdict, why: str) -> str:
    return f"The verdict on {verdict.release} is not recorded, so there is none: {why} Ask again."
