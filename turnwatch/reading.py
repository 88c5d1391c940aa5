"""Topics as commands read them, from their beginning to the end that they have: a reader, or a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from producers.connection import why_unreachable
from schemas.kafka import KafkaAddress
from stream_jobs.agents.reading import FETCH_BYTES_MAX, Reader, ReadFailure, reading


@asynccontextmanager
async def reader_of(address: KafkaAddress, fetch_bytes: int = FETCH_BYTES_MAX) -> AsyncIterator[Reader]:
    """A reader, or a sentence about why there is none."""
    is_reading = False
    try:
        async with reading(address, fetch_bytes) as reader:
            is_reading = True
            yield reader
    except KafkaError as error:
        told = f"Kafka at {address.bootstrap} broke off ({type(error).__name__}): try again."
        raise ReadFailure(told if is_reading else await why_unreachable(address)) from error
