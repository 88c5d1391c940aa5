"""Settings that protect nothing, or not what was meant, are refused in a sentence that names the variable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from turnwatch import settings as declared
from turnwatch.places import alertmanagers, boards_url, clickhouse, grafana, kafka, places, read_by_grafana
from turnwatch.provision import wanted
from turnwatch.settings import OF_TESTS, SettingsError, load, variables

REPOSITORY = Path(__file__).resolve().parents[2]
SASL = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "PLAIN",
    "KAFKA__USERNAME": "ana",
    "KAFKA__PASSWORD": "canary",
}
ABSENT = "no-such-file.pem"
EMPTY = "empty.pem"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / EMPTY).touch()
    for name, value in (("KAFKA__BOOTSTRAP", "kafka:9092"), ("CLICKHOUSE__URL", "http://clickhouse/turnwatch")):
        monkeypatch.setenv(f"TURNWATCH_{name}", value)


def refused(monkeypatch: pytest.MonkeyPatch, **given: str) -> str:
    """What is said about settings; every address is asked for."""
    for name, value in given.items():
        monkeypatch.setenv(f"TURNWATCH_{name}", value)
    with pytest.raises(SettingsError) as error:
        everything()
    assert "canary" not in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def everything() -> tuple[object, ...]:
    settings = load()
    return places(settings), grafana(settings), read_by_grafana(settings), boards_url(settings)


@pytest.mark.parametrize(
    ("given", "variable", "told"),
    [
        # Half of what it takes.
        ({**SASL, "KAFKA__USERNAME": ""}, "KAFKA__USERNAME", "SASL_SSL needs a username"),
        ({**SASL, "KAFKA__PASSWORD": ""}, "KAFKA__PASSWORD", "SASL_SSL needs a password"),
        ({**SASL, "KAFKA__SASL_MECHANISM": ""}, "KAFKA__SASL_MECHANISM", "it has to be 'PLAIN'"),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA__SASL_MECHANISM", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__KEYFILE": EMPTY}, "KAFKA__KEYFILE", "no certificate that"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__KEY_PASSWORD": "canary"}, "KAFKA__KEY_PASSWORD", "no certificate"),
        ({"ALERTMANAGER__USERNAME": "ana"}, "ALERTMANAGER__PASSWORD", "no password"),
        ({"ALERTMANAGER__PASSWORD": "canary"}, "ALERTMANAGER__USERNAME", "no user name"),
        ({"GRAFANA__USERNAME": "ana"}, "GRAFANA__PASSWORD", "no password"),
        # More than one way in.
        ({"GRAFANA__USERNAME": "a", "GRAFANA__PASSWORD": "b", "GRAFANA__TOKEN": "canary"}, "GRAFANA__TOKEN", "either"),
        (
            {"ALERTMANAGER__USERNAME": "a", "ALERTMANAGER__PASSWORD": "b", "ALERTMANAGER__TOKEN": "canary"},
            "ALERTMANAGER__TOKEN",
            "either",
        ),
        # Given, and protecting nothing.
        ({"KAFKA__PASSWORD": "canary"}, "KAFKA__PASSWORD", "PLAINTEXT sends no credentials"),
        ({"KAFKA__USERNAME": "ana"}, "KAFKA__USERNAME", "PLAINTEXT sends no credentials"),
        ({"KAFKA__CAFILE": EMPTY}, "KAFKA__CAFILE", "PLAINTEXT has no TLS"),
        ({"KAFKA__CERTFILE": EMPTY}, "KAFKA__CERTFILE", "PLAINTEXT has no TLS"),
        ({"CLICKHOUSE__CAFILE": EMPTY}, "CLICKHOUSE__URL", "write https://"),
        ({"ALERTMANAGER__URLS": "http://a", "ALERTMANAGER__CAFILE": EMPTY}, "ALERTMANAGER__URLS", "write https://"),
        ({"GRAFANA__URL": "http://g", "GRAFANA__CAFILE": EMPTY}, "GRAFANA__URL", "write https://"),
        ({"GRAFANA__CLICKHOUSE_PASSWORD": "canary"}, "GRAFANA__CLICKHOUSE_PASSWORD", "none is named"),
        ({"GRAFANA__CLICKHOUSE_CAFILE": EMPTY}, "GRAFANA__CLICKHOUSE_CAFILE", "none is named"),
        (
            {"GRAFANA__CLICKHOUSE_URL": "http://c/t", "GRAFANA__CLICKHOUSE_CAFILE": EMPTY},
            "GRAFANA__CLICKHOUSE_URL",
            "write https://",
        ),
        # Files that are not there, or not what they should be.
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CAFILE": ABSENT}, "KAFKA__CAFILE", "does not exist"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CAFILE": EMPTY}, "KAFKA__CAFILE", "no certificate in PEM"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CERTFILE": ABSENT}, "KAFKA__CERTFILE", "does not exist"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CERTFILE": EMPTY}, "KAFKA__CERTFILE", "in PEM"),
        ({"CLICKHOUSE__URL": "https://c/t", "CLICKHOUSE__CAFILE": ABSENT}, "CLICKHOUSE__CAFILE", "does not exist"),
        ({"CLICKHOUSE__URL": "https://c/t", "CLICKHOUSE__CAFILE": EMPTY}, "CLICKHOUSE__CAFILE", "no certificate"),
        (
            {"GRAFANA__CLICKHOUSE_URL": "https://c/t", "GRAFANA__CLICKHOUSE_CAFILE": ABSENT},
            "GRAFANA__CLICKHOUSE_CAFILE",
            "does not exist",
        ),
        ({"ALERTMANAGER__URLS": "https://a", "ALERTMANAGER__CAFILE": ABSENT}, "ALERTMANAGER__CAFILE", "does not exist"),
        ({"GRAFANA__URL": "https://g", "GRAFANA__CAFILE": EMPTY}, "GRAFANA__CAFILE", "no certificate"),
        # Credentials where they would be shown.
        ({"KAFKA__BOOTSTRAP": "ana:canary@kafka:9092"}, "KAFKA__BOOTSTRAP", "without credentials"),
        ({"KAFKA__BOOTSTRAP": "sasl://ana:canary@kafka:9092"}, "KAFKA__BOOTSTRAP", "without a scheme"),
        ({"CLICKHOUSE__URL": "https://ana:canary@c/t"}, "CLICKHOUSE__URL", "TURNWATCH_CLICKHOUSE__PASSWORD"),
        (
            {"GRAFANA__CLICKHOUSE_URL": "https://ana:canary@c/t"},
            "GRAFANA__CLICKHOUSE_URL",
            "TURNWATCH_GRAFANA__CLICKHOUSE_PASSWORD",
        ),
        ({"CLICKHOUSE__URL": "https://c/t?password=canary"}, "CLICKHOUSE__URL", "not supported"),
        ({"ALERTMANAGER__URLS": "https://a,https://ana:canary@b"}, "ALERTMANAGER__URLS", "must not hold credentials"),
        ({"GRAFANA__URL": "http://ana:canary@g"}, "GRAFANA__URL", "must not hold credentials"),
        ({"GRAFANA__URL": "ana:canary@g:3000"}, "GRAFANA__URL", "must not hold credentials"),
        ({"GRAFANA__PUBLIC_URL": "http://ana:canary@g"}, "GRAFANA__PUBLIC_URL", "must not hold credentials"),
        # No address at all.
        ({"KAFKA__BOOTSTRAP": "kafka:9092,,"}, "KAFKA__BOOTSTRAP", "host:port"),
        ({"KAFKA__BOOTSTRAP": "kafka:99999"}, "KAFKA__BOOTSTRAP", "host:port"),
        ({"KAFKA__BOOTSTRAP": "kafka:9092/topic"}, "KAFKA__BOOTSTRAP", "host:port"),
        ({"ALERTMANAGER__URLS": "alertmanager:9093"}, "ALERTMANAGER__URLS", "begin with http"),
        ({"GRAFANA__PUBLIC_URL": "grafana"}, "GRAFANA__PUBLIC_URL", "begin with http"),
    ],
    ids=lambda each: ",".join(each) if isinstance(each, dict) else "",
)
def test_what_cannot_be_meant_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], variable: str, told: str
) -> None:
    said = refused(monkeypatch, **given)
    assert said.startswith(f"TURNWATCH_{variable}: ") and said.endswith((".", "?"))
    assert told in said


@pytest.mark.parametrize(
    "name", ["CLOK", "CLICKHOUSE_PASSWORD", "KAFKA", "KAFKA__PASWORD", "kafka__cafille", "ANYTHING"]
)
def test_a_variable_that_nobody_reads_is_refused_with_the_nearest_that_somebody_does(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said = refused(monkeypatch, **{name: "canary"})
    nearest = said.partition("did you mean ")[2].rstrip("?")
    assert f"TURNWATCH_{name}" in said and nearest in set(variables())


def test_variables_of_tests_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_TESTS:
        monkeypatch.setenv(name, "1")
    assert everything()


def test_every_variable_that_tests_read_is_known_to_be_theirs() -> None:
    """Whoever sets one for the tests may run a command in the same shell."""
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'environ(?:\.get\(|\[)"(TURNWATCH_\w+)"', text)}
    assert read <= OF_TESTS | set(variables())


def test_grafana_reads_by_an_account_and_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may open a board may send any statement by that account, so it is not that of whoever writes."""
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__PASSWORD", "of-the-sink")
    assert read_by_grafana(load()) == clickhouse(load())
    monkeypatch.setenv("TURNWATCH_GRAFANA__CLICKHOUSE_URL", "http://reader@clickhouse.inside:8123/turnwatch")
    monkeypatch.setenv("TURNWATCH_GRAFANA__CLICKHOUSE_PASSWORD", "of-the-reader")
    source = wanted(load()).source
    assert (source.endpoint, source.username) == ("http://clickhouse.inside:8123", "reader")
    assert source.secrets() == {"password": "of-the-reader"}


@pytest.mark.parametrize("value", ["123", "true", "null", '{"a": 1}', "[1]", "%41", "pass word", "ünïcode"])
def test_a_secret_is_taken_as_it_is_written(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name in (*SASL, "GRAFANA__TOKEN", "ALERTMANAGER__TOKEN", "CLICKHOUSE__PASSWORD"):
        monkeypatch.setenv(f"TURNWATCH_{name}", SASL.get(name, value))
    monkeypatch.setenv("TURNWATCH_KAFKA__PASSWORD", value)
    monkeypatch.setenv("TURNWATCH_ALERTMANAGER__URLS", "http://alertmanager:9093")
    settings = load()
    assert kafka(settings).password == clickhouse(settings).password == grafana(settings).token == value
    assert alertmanagers(settings)[0].bearer_token == value


def test_every_secret_is_declared_as_one() -> None:
    """What is called like a secret never shows its value."""
    sections = [field.annotation for field in declared.Settings.model_fields.values()]
    named = [
        (section.__name__, name, field)
        for section in sections
        if isinstance(section, type) and issubclass(section, BaseModel)
        for name, field in section.model_fields.items()
        if any(word in name for word in ("password", "token", "secret"))
    ]
    assert len(named) >= 7
    assert [(where, name) for where, name, field in named if "SecretStr" not in str(field.annotation)] == []
