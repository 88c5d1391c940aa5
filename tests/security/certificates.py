"""Certificates as a deployment has them: an authority of its own, servers and clients that it signed. Needs `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, in PEM."""

    certfile: Path
    keyfile: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates; `own` is what whoever trusts it has as CA file."""

    own: Certificate

    @property
    def cafile(self) -> Path:
        return self.own.certfile

    def signed(self, name: str, *extensions: str) -> Certificate:
        """A certificate for `name` with further extensions."""
        issuer = ("-CA", str(self.own.certfile), "-CAkey", str(self.own.keyfile))
        return _made(
            self.own.certfile.with_name(name), *issuer, *_added("basicConstraints=critical,CA:FALSE", *extensions)
        )

    def for_servers_here(self, name: str = "server") -> Certificate:
        return self.signed(name, "subjectAltName=IP:127.0.0.1,DNS:localhost")


def authority(folder: Path) -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    return Authority(_made(folder / "authority", *_added("keyUsage=critical,keyCertSign")))


def _made(stem: Path, *arguments: str) -> Certificate:
    made = Certificate(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    command = ["openssl", "req", "-x509", *_EC_KEY, "-nodes", "-days", "2", "-subj", f"/CN={stem.name}", *arguments]
    command += ["-keyout", str(made.keyfile), "-out", str(made.certfile)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def _added(*extensions: str) -> list[str]:
    return [argument for extension in extensions for argument in ("-addext", extension)]
