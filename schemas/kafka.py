"""Where Kafka is and how to speak to it: one address, checked before anybody connects."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from schemas.addresses import AddressError, show_certificate, verifying

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """`bootstrap` is a comma-separated list of host:port.

    With TLS, brokers' certificates and names are verified: by the CAs in `cafile`, or by the system's. `certfile` and
    `keyfile` are what we show to brokers that ask who we are. SASL carries `username` and `password`.
    """

    bootstrap: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    key_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for server in self.bootstrap.split(","):
            _require_host_and_port(server.strip())
        self._require_whole_credentials()
        self._require_whole_certificate()
        self.ssl_context()

    @property
    def is_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @property
    def is_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """What TLS connections are made with; none where the protocol has no TLS."""
        if not self.is_tls:
            return None
        context = verifying(self.cafile, "Kafka")
        if self.certfile:
            show_certificate(context, self.certfile, self.keyfile, self.key_password)
        return context

    def aiokafka_options(self) -> dict[str, Any]:
        """Keyword arguments for any aiokafka client."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security_protocol}
        if self.is_tls:
            options["ssl_context"] = self.ssl_context()
        if self.is_sasl:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def _require_whole_credentials(self) -> None:
        given = {"sasl_mechanism": self.sasl_mechanism, "username": self.username, "password": self.password}
        if not self.is_sasl:
            _refuse_unused(given, f"{self.security_protocol} sends no credentials: SASL_SSL does")
            return
        wanted = {"sasl_mechanism": "a mechanism (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512)"}
        for setting in (name for name, value in given.items() if not value):
            missing = wanted.get(setting, f"a {setting}")
            raise AddressError(
                f"Security protocol {self.security_protocol} needs {missing}, and none is given.", setting
            )

    def _require_whole_certificate(self) -> None:
        own = {"certfile": self.certfile, "keyfile": self.keyfile, "key_password": self.key_password}
        if not self.is_tls:
            _refuse_unused({"cafile": self.cafile, **own}, f"{self.security_protocol} has no TLS: SSL and SASL_SSL do")
        elif not self.certfile:
            _refuse_unused(own, "there is no certificate that it belongs to")


def _require_host_and_port(server: str) -> None:
    """Refuse what is no host:port. Messages never repeat it, for a password may be in it."""
    try:
        parts = urlsplit(f"//{server}")
        is_meant = bool(parts.hostname) and parts.port != 0 and parts.netloc == server and "@" not in server
    except ValueError:
        is_meant = False
    if not is_meant:
        raise AddressError(
            "Kafka's servers have to be written as host:port, several separated by commas, without a scheme and "
            "without credentials.",
            "bootstrap",
        )


def _refuse_unused(given: dict[str, str | None], why: str) -> None:
    """Refuse a value that would silently protect nothing."""
    for setting in (name for name, value in given.items() if value):
        raise AddressError(f"This is given, but {why}.", setting)
