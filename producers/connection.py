"""Why Kafka cannot be reached: one attempt to connect, and what came of it as a sentence.

The client tries every server and then says only that none took it. A wrong password, a certificate that is not trusted
and a server that is away want different hands, so whoever could not connect asks here.
"""

from __future__ import annotations

import re
import ssl

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from schemas.kafka import KafkaAddress

ATTEMPT_TIMEOUT_MS = 5_000


async def why_unreachable(kafka: KafkaAddress) -> str:
    """The sentence for the server that told most; where all are simply away, for the last one."""
    return await why_silent(kafka) or (
        f"Kafka at {kafka.bootstrap} broke off and answers again: it may be restarting; try again."
    )


async def why_silent(kafka: KafkaAddress) -> str | None:
    """The same sentence, or None where a server answers."""
    reasons = [await _reason(kafka, host, port) for host, port, _ in collect_hosts(kafka.bootstrap)]
    if None in reasons:
        return None
    told = [reason for reason in reasons if reason and not reason.startswith("cannot be reached")]
    return f"Kafka at {kafka.bootstrap} {(told or reasons)[-1]}"


async def _reason(kafka: KafkaAddress, host: str, port: int) -> str | None:
    options = kafka.aiokafka_options()
    del options["bootstrap_servers"]
    try:
        connection = await create_conn(host, port, request_timeout_ms=ATTEMPT_TIMEOUT_MS, **options)
    except (KafkaError, OSError, EOFError) as error:
        return _told(error, kafka)
    connection.close()
    return None


def _told(error: BaseException, kafka: KafkaAddress) -> str:
    """The rest of a sentence that begins with where Kafka is."""
    protocol = f"TURNWATCH_KAFKA__SECURITY_PROTOCOL ({kafka.security_protocol})"
    match error:
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return f"does not let user {kafka.username} in: correct TURNWATCH_KAFKA__USERNAME or TURNWATCH_KAFKA__PASSWORD."
        case UnsupportedSaslMechanismError():
            offered = ", ".join(re.findall(r"[A-Z][A-Z0-9-]+", str(error).partition("are:")[2])) or "another one"
            return f"does not take {kafka.sasl_mechanism}: set TURNWATCH_KAFKA__SASL_MECHANISM to what it does ({offered})."
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return f"shows a TLS certificate that is not trusted here ({why}): give its CA in TURNWATCH_KAFKA__CAFILE."
        case ssl.SSLError() if "CERTIFICATE" in (error.reason or ""):
            return f"does not take our certificate ({error.reason}): {_own_certificate(kafka)}."
        case ssl.SSLError():
            return f"does not speak TLS on this port: correct the port or {protocol}."
        case KafkaConnectionError() | ConnectionResetError() | EOFError() if not _is_refused(error):
            own = f"; if it asks for a certificate, {_own_certificate(kafka)}" if kafka.is_tls else ""
            return f"breaks connections off: correct the port or {protocol}{own}."
        case TimeoutError():
            return f"does not answer in time: is it running there, and does it speak as {protocol} says?"
        case _:
            name = type(error).__name__
            return f"cannot be reached ({name}): is it running there? `turnwatch up` starts one on this machine."


def _is_refused(error: BaseException) -> bool:
    """Whether nobody listens there, however the client has wrapped that."""
    return isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error)


def _own_certificate(kafka: KafkaAddress) -> str:
    return "correct TURNWATCH_KAFKA__CERTFILE" if kafka.certfile else "give one in TURNWATCH_KAFKA__CERTFILE"
