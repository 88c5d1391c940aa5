"""A Kafka broker with a listener for each way of letting somebody in, and who is let in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.kafka import KafkaAddress
from tests.security.certificates import Authority, Certificate

USER, PASSWORD = "ana", "canary-of-a-user-that-exists"


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """One broker with a listener for each way of letting somebody in."""

    plain: str
    over_tls: str
    mutual: str
    with_password: str
    authority: Authority
    client: Certificate

    def address(self, mechanism: str = "SCRAM-SHA-512", password: str = PASSWORD) -> KafkaAddress:
        cafile = str(self.authority.cafile)
        return KafkaAddress(self.with_password, "SASL_SSL", mechanism, USER, password, cafile)  # type: ignore[arg-type]  # Also wrong ones.


def listeners(servers: dict[str, str], folder: Path, own: Authority) -> dict[str, object]:
    certificate = own.for_servers_here("broker")
    keystore = folder / "keystore.pem"
    keystore.write_text(certificate.keyfile.read_text() + certificate.certfile.read_text())
    listening = ",".join(f"{name}://{server}" for name, server in servers.items())
    login = "org.apache.kafka.common.security"
    return {
        "listeners": listening,
        "advertised.listeners": listening,
        "listener.security.protocol.map": "ENCRYPTED:SSL,MUTUAL:SSL,PASSWORD:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keystore,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": own.cafile,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.password.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.password.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        "listener.name.password.plain.sasl.jaas.config": (
            f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
    }
