"""A collector in a process of its own, whose clock runs faster than the wall: minutes pass in seconds.

python -m tests.integration.fast_collector FOLDER PORT BOOTSTRAP SPEED BEGAN_MS
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from producers.collecting.process import CollectorSettings, collect, kafka
from schemas.kafka import KafkaAddress

PRODUCER, REGION = "eu-west-1-collector-0", "eu-west-1"


@dataclass(frozen=True, slots=True)
class FastClock:
    """Runs `speed` times as fast as the wall since `began_ms`."""

    speed: float
    began_ms: int

    def now_ms(self) -> int:
        return self.began_ms + int((time.time() * 1_000 - self.began_ms) * self.speed)

    async def sleep_until(self, at_ms: int) -> None:
        await asyncio.sleep(max(0, at_ms - self.now_ms()) / 1_000 / self.speed)


def settings(folder: Path, port: int) -> CollectorSettings:
    return CollectorSettings(PRODUCER, REGION, folder, "127.0.0.1", port, stop_within_s=20)


async def main(folder: str, port: str, bootstrap: str, speed: str, began_ms: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = FastClock(float(speed), int(began_ms))
    await collect(settings(Path(folder), int(port)), kafka(KafkaAddress(bootstrap)), stop, clock)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(main(*sys.argv[1:]))
