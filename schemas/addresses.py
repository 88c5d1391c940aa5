"""What the addresses of all servers have in common: checked before anybody connects, and never giving a secret away.

A certificate is always verified, with the name in it: by the CA file that is given, and otherwise by the CAs that the
system trusts. There is no switch that turns this off. Messages never repeat a URL, for a password may be in it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from schemas.failures import BadInput

RUNBOOKS_URL = "https://github.com/turnwatch/turnwatch/blob/main/"
"""Where runbooks are found, by their path in the repository, unless settings say otherwise."""


class AddressError(BadInput):
    """An address that cannot be meant; the message says what to write instead.

    `setting` names the part of the address that is wrong, as the settings call it.
    """

    def __init__(self, sentence: str, setting: str = "url") -> None:
        super().__init__(sentence)
        self.setting = setting


def web_address(url: str, whose: str) -> SplitResult:
    """The parts of an http(s) URL that holds no credentials; `whose` begins the sentence where it is none."""
    try:
        parts = urlsplit(url)
        is_meant = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_meant = False
    if "@" in url:
        raise AddressError(f"{whose} must not hold credentials: give user name and password apart.")
    if not is_meant:
        raise AddressError(f"{whose} has to begin with http:// or https:// and name a host.")
    return parts


def require_tls_for(cafile: str | None, url: str, server: str) -> None:
    """Refuse a CA file that nothing would be compared with."""
    if cafile and not url.startswith("https:"):
        raise AddressError(f"A CA file is given, but {server}'s URL begins with http://: write https:// to use TLS.")


def verifying(cafile: str | None, server: str) -> ssl.SSLContext:
    """TLS that trusts the CAs in `cafile`, or the system's, and nobody else."""
    if cafile and not Path(cafile).is_file():
        raise AddressError(f"The CA file {cafile} for {server} does not exist.", "cafile")
    try:
        return ssl.create_default_context(cafile=cafile or None)
    except OSError as error:
        reason = error.strerror if isinstance(error, PermissionError) else "it holds no certificate in PEM"
        raise AddressError(f"The CA file {cafile} for {server} cannot be used: {reason}.", "cafile") from None


def show_certificate(context: ssl.SSLContext, certfile: str, keyfile: str | None, key_password: str | None) -> None:
    """Let `context` show a client's certificate to servers that ask for one."""
    for setting, path in (("certfile", certfile), ("keyfile", keyfile)):
        if path and not Path(path).is_file():
            raise AddressError(f"The file {path} does not exist.", setting)
    try:
        # Given as a function, or OpenSSL would ask the terminal for the password of an encrypted key.
        context.load_cert_chain(certfile, keyfile or None, password=lambda: key_password or "")
    except OSError as error:
        raise _unusable(error, certfile, keyfile or certfile) from None


def _unusable(error: OSError, certfile: str, key: str) -> AddressError:
    """What is wrong with a client's certificate or key; of most of it OpenSSL says nothing but that it is wrong."""
    if isinstance(error, PermissionError):
        return AddressError(f"{certfile} or {key} may not be read by this user.", "keyfile")
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return AddressError(f"The key in {key} does not belong to the certificate in {certfile}.", "keyfile")
    if "ENCRYPTED" in Path(key).read_text(encoding="ascii", errors="replace"):
        return AddressError(f"The key in {key} is encrypted, and this password does not open it.", "key_password")
    return AddressError(f"{certfile} and {key} do not hold a certificate and its key in PEM.", "certfile")
