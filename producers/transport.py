"""Frames to Kafka: idempotent producer, acknowledged by all replicas, lz4, keyed by producer.

`send` returns when Kafka has every frame of a batch. What can heal is retried by the client within a bound; what lasts
longer, or cannot heal, ends in one sentence. A frame that was not acknowledged is never taken for sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from producers.collector import Frame
from producers.connection import why_silent, why_unreachable
from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from schemas.topics import aggregates

REQUEST_TIMEOUT_S = 10
DELIVERY_TIMEOUT_S = 60
"""Longest that a batch is retried before the producer gives up loudly."""
MESSAGE_BYTES_MAX = 1_000_000


class NotDelivered(Foreseen):
    """Kafka could not be reached, or did not take a frame. The message is a sentence for the user."""


class Transport(Protocol):
    """Where frames go; `send` returns once they are there."""

    async def send(self, frames: Iterable[Frame]) -> None: ...


class KafkaTransport:
    """Sends frames to their family's topic. Use as an async context manager.

    The payload is lz4 inside the Arrow frame already; the client's lz4 is for NDJSON and headers.
    """

    def __init__(
        self,
        address: KafkaAddress,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._delivery_timeout_s = delivery_timeout_s
        self._request_timeout_s = request_timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            **self._address.aiokafka_options(),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=5,
            max_request_size=MESSAGE_BYTES_MAX,
            request_timeout_ms=int(self._request_timeout_s * 1_000),
        )
        # aiokafka gives a batch up that has no leader for one *request* timeout, as while a broker restarts. Kafka's own
        # producers have delivery.timeout.ms for this; so do we, and each request still gives up early and is repeated.
        producer._message_accumulator._batch_ttl = self._delivery_timeout_s
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise NotDelivered(await why_unreachable(self._address)) from error
        except asyncio.CancelledError:
            await producer.stop()
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # Everything that was sent has been awaited: what is left after a failure is not waited for a second time.
        closing = asyncio.ensure_future(producer.stop())
        await asyncio.wait([closing], timeout=None if kind is None else self._request_timeout_s)
        if not closing.done():
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    async def send(self, frames: Iterable[Frame]) -> None:
        """Sends frames in order and waits until all replicas have them."""
        assert self._producer is not None, "send() outside of the context manager"
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                pending = [await self._begin(self._producer, frame) for frame in frames]
                await asyncio.gather(*pending)
        except TimeoutError as error:  # Before OSError, which it is one of.
            raise NotDelivered(
                await why_silent(self._address)
                or f"Kafka at {self._address.bootstrap} did not acknowledge frames within {self._delivery_timeout_s:g} s: "
                "check that the broker is up; what was not acknowledged has to be sent again."
            ) from error
        except (KafkaError, OSError) as error:
            # Of a broker that is silent the client names what it was waiting for, such as a topic that nobody has told it of.
            raise NotDelivered(
                await why_silent(self._address)
                or f"Kafka at {self._address.bootstrap} did not take a frame ({_name(error)}): "
                "check that the topics exist (`turnwatch check`) and that the broker is healthy."
            ) from error

    @staticmethod
    async def _begin(producer: AIOKafkaProducer, frame: Frame) -> asyncio.Future[object]:
        """Hands a frame over; where batches before it still wait for a leader, it waits for as long as delivery may take."""
        while True:
            with suppress(KafkaTimeoutError):  # No room for one request timeout: it was not handed over.
                future: asyncio.Future[object] = await producer.send(
                    aggregates(frame.header.family.name),
                    value=frame.payload,
                    key=frame.header.producer.encode(),
                    headers=frame.headers,
                )
                return future


def _name(error: BaseException) -> str:
    return type(error).__name__
