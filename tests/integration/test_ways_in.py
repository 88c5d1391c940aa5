"""The commands that need no code in a serving process, between real exporters or pipes and a real Kafka."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import time
from pathlib import Path

from producers.collector import Frame
from schemas.families import FAMILIES
from schemas.frames import decode_header
from schemas.kafka import KafkaAddress
from schemas.rejections import Rejected
from schemas.topics import aggregates
from stream_jobs.agents.reading import reading
from tests.integration.commands import TURNWATCH, begun, surrounded
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.exporters import serving
from tests.producers.test_observation_lines import TURN
from tests.producers.worlds import rows_of

PATIENCE_S = 40.0


async def frames_in(kafka: KafkaAddress, *families: str) -> list[Frame]:
    found: list[Frame] = []
    async with reading(kafka) as reader:
        for family in families or FAMILIES:
            async for record in reader.records(aggregates(family)):
                header = decode_header(family, list(record.headers))
                assert not isinstance(header, Rejected), header
                found.append(Frame(header, list(record.headers), record.value or b"", 0))
    return found


async def test_a_pipe_of_lines_is_in_kafka_and_its_bad_lines_are_told(kafka: KafkaAddress, tmp_path: Path) -> None:
    begin_ms = int(time.time() * 1_000) - 600_000
    lines = [json.dumps({**TURN, "ended_at_ms": begin_ms + 1_000 * place, "session": place}) for place in range(300)]
    lines[7] = json.dumps({**TURN, "ended_at_ms": begin_ms, "route": "ana@example.com"})
    ended = await asyncio.to_thread(
        subprocess.run,
        [str(TURNWATCH), "ingest", "-", "--region", "eu-west-1"],
        input="\n".join(lines),
        cwd=tmp_path,
        env=surrounded({"TURNWATCH_KAFKA__BOOTSTRAP": kafka.bootstrap}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout.startswith("300 lines: took 299 turns, refused 1; sent ")
    assert "Line 8 is refused (email): " in ended.stderr and "ana@" not in ended.stdout + ended.stderr
    frames = await frames_in(kafka)
    assert rows_of(frames, "turns")["turns"].sum() == 299
    held = re.search(r"([0-9]+) turns too few shared stay private", ended.stdout)
    assert rows_of(frames, "turns", "audience")["turns"].sum() + int(held[1] if held else 0) == 299


async def test_an_engine_is_scraped_until_the_command_is_asked_to_stop(kafka: KafkaAddress, tmp_path: Path) -> None:
    async with serving() as exporters:
        exporters.texts["vllm"] = shows.vllm([0.2] * 5, waiting=3)
        target = {"url": exporters.url("vllm"), "kind": "vllm", "host": "gpu-07", "pool": "realtime", "bundle": "v2"}
        config = {"producer": "scrape-1", "region": "eu-west-1", "interval_s": 2, "timeout_s": 1.0, "targets": [target]}
        (tmp_path / "scrape.yaml").write_text(json.dumps(config))
        command = begun(tmp_path, "scrape", "scrape.yaml", TURNWATCH_KAFKA__BOOTSTRAP=kafka.bootstrap)
        try:
            deadline = time.monotonic() + PATIENCE_S
            # What was served shows between two scrapes: one of them is a baseline.
            while time.monotonic() < deadline and not (
                (frames := await frames_in(kafka, "queues", "heartbeats")) and exporters.asked["vllm"] >= 4
            ):
                assert command.poll() is None, (tmp_path / "output.txt").read_text()
                exporters.texts["vllm"] = shows.vllm([0.2] * (5 + exporters.asked["vllm"]), waiting=3)
                await asyncio.sleep(0.5)
            command.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(command.wait, 20) == 0
        finally:
            command.kill()
    said = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in said, said
    rows = rows_of(await frames_in(kafka, "queues"), "queues")
    assert set(rows["depth"]) == {3} and rows["served"].sum() > 0, said
    assert frames[0].header.producer == "scrape-1"
