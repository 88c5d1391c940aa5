"""Settings: where everything is, from environment variables `TURNWATCH_…` (nested with `__`) or a running local stack.

`TURNWATCH_KAFKA__BOOTSTRAP=kafka:9092`, for instance. Secrets are never printed. Without settings the commands speak to
the local stack that `turnwatch up` or `turnwatch demo` started in this folder.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.failures import BadInput
from schemas.kafka import KafkaAddress, SecurityProtocol
from schemas.topics import PARTITIONS_DEFAULT


class SettingsError(BadInput):
    """Settings that cannot be used; the message names the variable and what it has to be."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KafkaSettings(_Section):
    bootstrap: str | None = None
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    cafile: str | None = None
    partitions: Annotated[int, Field(ge=1, le=1_024)] = PARTITIONS_DEFAULT
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1

    def address(self, local_bootstrap: str | None) -> KafkaAddress:
        bootstrap = self.bootstrap or local_bootstrap
        if bootstrap is None:
            raise SettingsError(
                "No Kafka is known: set TURNWATCH_KAFKA__BOOTSTRAP, or start a local stack with `turnwatch up`."
            )
        password = self.password.get_secret_value() if self.password else None
        return KafkaAddress(
            bootstrap, self.security_protocol, self.sasl_mechanism, self.username, password, self.cafile
        )


class ClickHouseSettings(_Section):
    url: str | None = None
    password: SecretStr | None = None
    cafile: str | None = None
    cluster: str | None = None


class AlertmanagerSettings(_Section):
    urls: str = ""
    """Comma-separated; all of them get every alert."""
    username: str | None = None
    password: SecretStr | None = None


class GrafanaSettings(_Section):
    url: str = "http://127.0.0.1:3000"
    public_url: str = "http://127.0.0.1:3000"
    """What links in pages point to."""
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None


class MetricsSettings(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int | None, Field(ge=0, le=65_535)] = None


class CapacitySettings(_Section):
    gpu_seconds_per_audio_second: Decimal | None = None
    target_utilization: Decimal = Decimal("0.7")
    vad_savings: Decimal = Decimal(0)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TURNWATCH_", env_nested_delimiter="__", extra="ignore")

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    metrics: MetricsSettings = MetricsSettings()
    capacity: CapacitySettings = CapacitySettings()
    clock: Literal["wall", "watermark"] = "wall"
    instance: str | None = None
    """A worker's own stable name: killed and started anew, it goes on at once instead of after its old session."""
    run_dir: Path = Path(".turnwatch")
    runbook_base_url: str = "https://github.com/turnwatch/turnwatch/blob/main/"


def load() -> Settings:
    """The settings, or `SettingsError` with the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = "TURNWATCH_" + "__".join(str(part).upper() for part in first["loc"])
        raise SettingsError(f"{variable}: {first['msg']}.") from None
