"""Kafka with TLS and credentials, on a real broker: what is sent comes back, and whoever is not let in is told why."""

from __future__ import annotations

import logging
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from producers.connection import why_unreachable
from producers.transport import KafkaTransport, NotDelivered
from schemas.addresses import AddressError
from schemas.kafka import KafkaAddress
from stream_jobs.agents.application import ApplicationSettings, build
from tests.security.certificates import Authority
from tests.security.secured import PASSWORD, SecuredKafka
from turnwatch.prepare import PrepareError, create_topics

pytestmark = pytest.mark.needs("openssl")


async def come_back(kafka: KafkaAddress, payloads: list[bytes]) -> list[bytes]:
    """What a consumer reads of what a producer sent, in a topic that an admin made."""
    topic = f"test-{uuid.uuid4().hex}"
    admin, producer = AIOKafkaAdminClient(**kafka.aiokafka_options()), AIOKafkaProducer(**kafka.aiokafka_options())
    consumer = AIOKafkaConsumer(**kafka.aiokafka_options(), enable_auto_commit=False)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await producer.start()
        for payload in payloads:
            await producer.send_and_wait(topic, payload)
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning(TopicPartition(topic, 0))
        return [(await consumer.getone()).value for _ in payloads]
    finally:
        await consumer.stop()
        await producer.stop()
        await admin.close()


def ways_in(kafka: SecuredKafka) -> dict[str, KafkaAddress]:
    cafile, client = str(kafka.authority.cafile), kafka.client
    return {
        "TLS": KafkaAddress(kafka.over_tls, "SSL", cafile=cafile),
        "a certificate": KafkaAddress(
            kafka.mutual, "SSL", cafile=cafile, certfile=str(client.certfile), keyfile=str(client.keyfile)
        ),
        "SCRAM": kafka.address("SCRAM-SHA-512"),
        "PLAIN": kafka.address("PLAIN"),
    }


@pytest.mark.parametrize("way", ["TLS", "a certificate", "SCRAM", "PLAIN"])
async def test_what_is_sent_comes_back(secured_kafka: SecuredKafka, way: str) -> None:
    payloads = [b"first", b"second"]
    assert await come_back(ways_in(secured_kafka)[way], payloads) == payloads


@pytest.mark.parametrize("way", ["TLS", "a certificate", "SCRAM", "PLAIN"])
async def test_faust_carries_the_same_credentials(secured_kafka: SecuredKafka, way: str, tmp_path: Path) -> None:
    """Its own producer, as the stages' changelogs use it."""
    address = ways_in(secured_kafka)[way]
    app = build(ApplicationSettings(address, partitions=1, data_dir=tmp_path))
    topic = f"test-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(**address.aiokafka_options())
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    await app.producer.start()
    try:
        landed = await app.producer.send_and_wait(topic, None, b"from Faust", 0, None, None)
    finally:
        await app.producer.stop()
    assert (landed.topic, landed.offset) == (topic, 0)


def refusals(kafka: SecuredKafka, other: Authority) -> dict[str, tuple[KafkaAddress, str]]:
    """Addresses that cannot work, and what has to be said of each."""
    stranger, cafile = other.signed("stranger"), str(kafka.authority.cafile)
    shown = {"certfile": str(stranger.certfile), "keyfile": str(stranger.keyfile)}
    return {
        "a wrong password": (
            kafka.address(password="wrong"),
            "does not let user ana in: correct TURNWATCH_KAFKA__USERNAME",
        ),
        "a wrong password, PLAIN": (kafka.address("PLAIN", "wrong"), "does not let user ana in"),
        "a mechanism that is not offered": (
            kafka.address("SCRAM-SHA-256"),
            "does not take SCRAM-SHA-256: set TURNWATCH_KAFKA__SASL_MECHANISM to what it does (",
        ),
        "an authority that is not trusted": (
            replace(kafka.address(), cafile=str(other.cafile)),
            "TLS certificate that is not trusted here",
        ),
        "no authority": (replace(kafka.address(), cafile=None), "give its CA in TURNWATCH_KAFKA__CAFILE"),
        "no certificate": (KafkaAddress(kafka.mutual, "SSL", cafile=cafile), "TURNWATCH_KAFKA__CERTFILE"),
        "a stranger's certificate": (
            KafkaAddress(kafka.mutual, "SSL", cafile=cafile, **shown),  # type: ignore[arg-type]  # Two names of files.
            "TURNWATCH_KAFKA__CERTFILE",
        ),
        "TLS to a port without": (
            replace(kafka.address(), bootstrap=kafka.plain),
            "correct the port or TURNWATCH_KAFKA__SECURITY_PROTOCOL (SASL_SSL)",
        ),
        "no TLS to a port with": (KafkaAddress(kafka.over_tls), "TURNWATCH_KAFKA__SECURITY_PROTOCOL (PLAINTEXT)"),
    }


REFUSED = [
    "a wrong password",
    "a wrong password, PLAIN",
    "a mechanism that is not offered",
    "an authority that is not trusted",
    "no authority",
    "no certificate",
    "a stranger's certificate",
    "TLS to a port without",
    "no TLS to a port with",
]


@pytest.mark.parametrize("why", REFUSED)
async def test_whoever_is_not_let_in_is_told_why(
    secured_kafka: SecuredKafka, other_authority: Authority, why: str
) -> None:
    address, told = refusals(secured_kafka, other_authority)[why]
    sentence = await why_unreachable(address)
    assert sentence.startswith(f"Kafka at {address.bootstrap} ") and sentence.endswith((".", "?"))
    assert told in sentence and PASSWORD not in sentence and "\n" not in sentence


async def test_producers_and_prepare_say_it_in_the_same_sentence(
    secured_kafka: SecuredKafka, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wrong = secured_kafka.address(password="canary-that-is-wrong")
    with pytest.raises(PrepareError, match="does not let user ana in"):
        await create_topics(wrong, 1)
    with pytest.raises(NotDelivered, match="does not let user ana in"):
        async with KafkaTransport(wrong):
            pass
    assert "canary" not in caplog.text


def test_a_certificate_whose_key_is_another_or_encrypted_is_refused(own_authority: Authority, tmp_path: Path) -> None:
    one, two = own_authority.signed("one"), own_authority.signed("two")
    locked = tmp_path / "locked.key"
    command = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        str(one.keyfile),
        "-out",
        str(locked),
        "-passout",
        "pass:open-sesame",
    ]
    subprocess.run(command, check=True, capture_output=True)

    def refusal(**own: str) -> AddressError:
        with pytest.raises(AddressError) as refused:
            KafkaAddress("kafka:9092", "SSL", cafile=str(own_authority.cafile), **own)  # type: ignore[arg-type]  # Names.
        return refused.value

    other_key = refusal(certfile=str(one.certfile), keyfile=str(two.keyfile))
    assert (other_key.setting, "does not belong to" in str(other_key)) == ("keyfile", True)
    for password in ({}, {"key_password": "wrong"}):
        still_locked = refusal(certfile=str(one.certfile), keyfile=str(locked), **password)
        assert (still_locked.setting, "is encrypted" in str(still_locked)) == ("key_password", True)
    assert refusal(certfile=str(tmp_path), keyfile=str(one.keyfile)).setting == "certfile"
    own = {"certfile": str(one.certfile), "keyfile": str(locked), "key_password": "open-sesame"}
    address = KafkaAddress("kafka:9092", "SSL", cafile=str(own_authority.cafile), **own)  # type: ignore[arg-type]  # Names.
    assert "open-sesame" not in repr(address)
