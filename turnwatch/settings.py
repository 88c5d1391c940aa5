"""Settings: where everything is, from environment variables `TURNWATCH_…` (nested with `__`) or a running local stack.

`TURNWATCH_KAFKA__BOOTSTRAP=kafka:9092`, for instance. Secrets are never printed. Without settings the commands speak to
the local stack that `turnwatch up` or `turnwatch demo` started in this folder. A variable that nobody reads is refused:
a misspelt one would otherwise be a protection that is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.addresses import RUNBOOKS_URL
from schemas.failures import BadInput
from schemas.kafka import SaslMechanism, SecurityProtocol
from schemas.model_mistakes import sentence
from schemas.rejections import DIVERTED_PER_MINUTE_MAX, PRODUCERS_MAX
from schemas.slos import SLO_SLICES_MAX
from schemas.topics import PARTITIONS_DEFAULT

PREFIX = "TURNWATCH_"
OF_TESTS = frozenset(("TURNWATCH_BACKLOG_MB", "TURNWATCH_DATA", "TURNWATCH_SEED", "TURNWATCH_WORLDS"))
"""Variables that only tests read; they may stand in the environment of a command."""


class SettingsError(BadInput):
    """Settings that cannot be used; the message names the variable and what it has to be."""


class NothingKnown(SettingsError):
    """Neither the settings nor a local stack say where a server is."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KafkaSettings(_Section):
    bootstrap: str | None = None
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    username: str | None = None
    password: SecretStr | None = None
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    key_password: SecretStr | None = None
    partitions: Annotated[int, Field(ge=1, le=1_024)] = PARTITIONS_DEFAULT
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1


class ClickHouseSettings(_Section):
    url: str | None = None
    password: SecretStr | None = None
    cafile: str | None = None
    cluster: str | None = None


class AlertmanagerSettings(_Section):
    urls: str = ""
    """Comma-separated; all of them get every alert."""
    open_at_least_s: Annotated[float, Field(gt=0, le=3_600)] = 45.0
    """As `alerts.telling` has it."""
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    cafile: str | None = None


class GrafanaSettings(_Section):
    url: str = "http://127.0.0.1:3000"
    public_url: str = "http://127.0.0.1:3000"
    """What links in pages point to."""
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    cafile: str | None = None
    clickhouse_url: str | None = None
    """Where Grafana reaches ClickHouse, as a user who only reads; unless given, as we do and by our own account."""
    clickhouse_password: SecretStr | None = None
    clickhouse_cafile: str | None = None
    alertmanager_url: str | None = None
    """Where Grafana reaches our Alertmanager, to tell it what its own rules find."""
    webhook_url: SecretStr | None = None
    """Whom Grafana tells of it besides; such an address often lets in whoever knows it."""
    webhook_token: SecretStr | None = None
    maintenance: str = ""
    """When Grafana tells nobody, such as `sunday 01:00-03:00 Europe/Berlin`; several with semicolons."""


class MetricsSettings(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int | None, Field(ge=0, le=65_535)] = None
    slo_slices_max: Annotated[int, Field(ge=0, le=100_000)] = SLO_SLICES_MAX
    """Of how many slices, each counted once for every objective that watches it, SLO counters are shown."""


class CollectorSettings(_Section):
    name: str | None = None
    """Of this collector alone, in the whole fleet; its frames carry it."""
    region: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9_471
    folder: Path | None = None
    """Where its journal and outbox lie; a folder of its own in the run folder unless given."""
    grace_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    disk_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 1_024
    rows_max: Annotated[int, Field(ge=20_000, le=50_000_000)] = 2_000_000
    noise: bool = False
    """Whether measures that declare noise get it, where they are told by what identifies."""


class OtlpSettings(_Section):
    name: str = "otlp"
    """Of this process alone, among those that report to its collector."""
    region: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 4_318
    collector_url: str = "http://127.0.0.1:9471"
    topic: str | None = None
    """A topic of `otlp_proto` to read besides, in the Kafka of the settings."""
    turns_from: str | None = None
    """The metric that counts turns; `docs/otlp.md` names those that may."""
    pool: str = "realtime"
    route: str = "other"
    bundle: str = "unversioned"


class GatesSettings(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9_472
    token: SecretStr | None = None
    """What whoever asks has to know; needed wherever others than this machine can ask."""
    policy: Path | None = None
    """A file of `kind: CanaryPolicy`; the shipped one unless given."""


class BoardSettings(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9_473


class CapacitySettings(_Section):
    gpu_seconds_per_audio_second: Decimal | None = None
    target_utilization: Decimal = Decimal("0.7")
    vad_savings: Decimal = Decimal(0)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore")

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    metrics: MetricsSettings = MetricsSettings()
    capacity: CapacitySettings = CapacitySettings()
    collector: CollectorSettings = CollectorSettings()
    otlp: OtlpSettings = OtlpSettings()
    gates: GatesSettings = GatesSettings()
    board: BoardSettings = BoardSettings()
    clock: Literal["wall", "watermark"] = "wall"
    instance: str | None = None
    """A worker's own stable name: killed and started anew, it goes on at once instead of after its old session."""
    diverted_per_minute_max: Annotated[int, Field(ge=1)] = DIVERTED_PER_MINUTE_MAX
    """How many records a worker may send to the dead letters of one minute, or in a row, before it stops and pages."""
    stop_within_s: Annotated[float, Field(ge=5, le=600)] = 25.0
    """How long a worker may take to end once it is asked to; less than what its supervisor waits before it kills."""
    pending_mb: Annotated[int, Field(ge=16, le=65_536)] = 256
    """MiB of records, read and not yet saved, that a worker holds before it reads on."""
    producers_max: Annotated[int, Field(ge=1_000, le=PRODUCERS_MAX)] = PRODUCERS_MAX
    """How many lives of producers intake knows, for 7 days, in one family and Kafka partition; others are refused."""
    prices: Path | None = None
    """A file of `kind: PriceList`; the shipped example unless given."""
    spend_policy: Path | None = None
    """A file of `kind: SpendPolicy`; the shipped one, which has no budgets, unless given."""
    drift_policy: Path | None = None
    """A file of `kind: DriftPolicy`; the shipped one unless given."""
    run_dir: Path = Path(".turnwatch")
    runbook_base_url: str = RUNBOOKS_URL


def load() -> Settings:
    """The settings, or `SettingsError` with the variable that is wrong."""
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = PREFIX + "__".join(str(part).upper() for part in first["loc"])
        raise SettingsError(f"{variable}: {sentence(first)}.") from None


def variables(section: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[str]:
    """Every environment variable that is read."""
    for name, declared in section.model_fields.items():
        if isinstance(declared.annotation, type) and issubclass(declared.annotation, BaseModel):
            yield from variables(declared.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def _refuse_unknown(names: Iterable[str]) -> None:
    known = sorted(variables())
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in OF_TESTS.union(known):
            (nearest,) = get_close_matches(name.upper(), known, n=1, cutoff=0)
            raise SettingsError(f"{name} is no setting of turnwatch: did you mean {nearest}?")
