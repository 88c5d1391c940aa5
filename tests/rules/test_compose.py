"""docker-compose, Dockerfile and their configuration: valid, pinned, on loopback, without a secret of their own."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from dashboards import data_source, render
from schemas import roles

ROOT = Path(__file__).parents[2]
COMPOSE: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
THEIRS = {name: service for name, service in SERVICES.items() if "build" not in service}
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

theirs = pytest.mark.parametrize("name", THEIRS)
each = pytest.mark.parametrize("name", SERVICES)


def _mounts(service: Any) -> list[tuple[str, str]]:
    """Source and target of every mount of a file or folder of ours."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return [(part[0], part[1]) for part in parts if part[0].startswith("./")]


def test_compose_is_valid_by_the_published_schema() -> None:
    schemas = pytest.importorskip(
        "check_jsonschema", reason="check-jsonschema, which ships the schema, is not installed"
    )
    schema = files(schemas) / "builtin_schemas" / "vendor" / "compose-spec.json"
    from jsonschema.validators import validator_for

    definition = json.loads(schema.read_text(encoding="utf-8"))
    assert [error.message for error in validator_for(definition)(definition).iter_errors(COMPOSE)] == []


def test_everything_that_was_asked_for_is_there() -> None:
    assert set(THEIRS) == {"kafka", "clickhouse", "prometheus", "alertmanager", "grafana"}
    assert set(OURS) == {"prepare", "worker", "collector", "producers"}


@theirs
def test_an_image_is_pinned_to_a_full_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+(?:\.\d+)?", THEIRS[name]["image"])


def test_kafka_is_the_version_of_the_local_stack() -> None:
    lock = (ROOT / "stack" / "jars.lock").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"^org\.apache\.kafka:kafka-clients:(\S+)", lock, re.MULTILINE))
    assert THEIRS["kafka"]["image"] == f"apache/kafka:{version}"


def test_the_plugin_is_the_version_that_panels_name() -> None:
    wanted = f"{data_source.PLUGIN} {data_source.PLUGIN_VERSION}"
    assert THEIRS["grafana"]["environment"]["GF_INSTALL_PLUGINS"] == wanted


@each
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@theirs
def test_a_service_is_watched_and_keeps_its_data(name: str) -> None:
    service = THEIRS[name]
    assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped"
    named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert named and set(named) <= set(COMPOSE["volumes"])


@each
def test_every_mounted_file_exists(name: str) -> None:
    assert all((ROOT / source).exists() for source, _ in _mounts(SERVICES[name]))


def test_configuration_is_mounted_where_it_is_read() -> None:
    for name in ("prometheus", "alertmanager"):
        ((_, target),) = _mounts(THEIRS[name])
        assert f"--config.file={target}" in THEIRS[name]["command"]
    boards: Any = yaml.safe_load(render.render_all(())["dashboards/provisioning/dashboards/boards.yaml"])
    mounted = {target: source for source, target in _mounts(THEIRS["grafana"])}
    assert mounted[boards["providers"][0]["options"]["path"]] == "./dashboards/rendered"


def test_grafana_reads_what_it_is_provisioned_from_and_tells_an_alertmanager_that_is_there() -> None:
    mounted = {target: source for source, target in _mounts(THEIRS["grafana"])}
    for part in ("datasources", "dashboards", "alerting"):
        assert mounted[f"/etc/grafana/provisioning/{part}"] == f"./dashboards/provisioning/{part}"
    name, _, port = render.COMPOSE_TOLD.alertmanager_url.removeprefix("http://").partition(":")
    assert any(str(each).endswith(f":{port}") for each in THEIRS[name]["ports"])


@each
def test_what_is_waited_for_can_come(name: str) -> None:
    for other, awaited in SERVICES[name].get("depends_on", {}).items():
        if awaited["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert awaited["condition"] == "service_completed_successfully" and SERVICES[other]["restart"] == "no"


def test_workers_scale() -> None:
    worker = OURS["worker"]
    assert "container_name" not in worker and "ports" not in worker
    prometheus: Any = yaml.safe_load((ROOT / "stack/config/prometheus.yml").read_text(encoding="utf-8"))
    (discovery,) = [job for job in prometheus["scrape_configs"] if "dns_sd_configs" in job]
    assert discovery["dns_sd_configs"][0]["names"] == ["worker"]
    assert str(discovery["dns_sd_configs"][0]["port"]) == worker["environment"]["TURNWATCH_METRICS__PORT"]


@pytest.mark.parametrize("name", OURS)
def test_settings_of_our_containers_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from turnwatch.settings import Settings

    given: dict[str, str] = OURS[name]["environment"]
    for variable, value in given.items():
        section, _, key = variable.removeprefix("TURNWATCH_").lower().partition("__")
        section_type: Any = Settings.model_fields[section].annotation
        assert key in section_type.model_fields, variable
        monkeypatch.setenv(variable, value)
    assert Settings().kafka.bootstrap == "kafka:19092"


@pytest.mark.parametrize("name", OURS)
def test_commands_of_our_containers_exist(name: str) -> None:
    from typer.main import get_command

    from turnwatch.cli import app

    command, *options = OURS[name]["command"]
    known: Any = get_command(app)
    given = known.commands[command].make_context(command, list(options))
    assert not given.args, "every word is understood"


def test_no_secret_is_written_down() -> None:
    secrets = [
        value
        for service in SERVICES.values()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable
    ]
    assert secrets and all(re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value) for value in secrets)


def test_the_env_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    script = tmp_path / "stack" / "config" / "generate-env.sh"
    script.parent.mkdir(parents=True)
    script.write_text((ROOT / "stack/config/generate-env.sh").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    made = tmp_path / ".env"
    first = made.read_text(encoding="utf-8")
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    assert made.read_text(encoding="utf-8") == first and made.stat().st_mode & 0o077 == 0
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    values = dict(line.split("=") for line in first.splitlines())
    assert set(values) == asked and len(set(values.values())) == len(asked) and all(map(len, values.values()))


def test_boards_read_as_a_user_who_may_only_read() -> None:
    users = ElementTree.parse(ROOT / "stack/config/clickhouse-reader.xml").getroot()
    user = users.find(f"users/{render.COMPOSE_SOURCE.username}")
    assert user is not None and user.findtext("grants/query") == f"GRANT SELECT ON {render.COMPOSE_SOURCE.database}.*"
    profile = users.find(f"profiles/{user.findtext('profile')}")
    assert profile is not None and profile.findtext("readonly") == "2"
    memory = profile.findtext("max_memory_usage")
    assert memory and profile.findtext("constraints/max_memory_usage/max") == memory, "a query could lift its limit"
    assert all(profile.findtext(f"constraints/{name}/min") == "1" for name in roles.READER_LIMITS), "0 is no limit"
    password = user.find("password")
    assert password is not None and password.get("from_env") in THEIRS["clickhouse"]["environment"]


def test_the_image_is_pinned_unprivileged_and_watched() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases) and len(set(bases)) == 1
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\S+)", final, re.MULTILINE)
    assert user.partition(":")[0] not in ("0", "root")
    assert "HEALTHCHECK" in final and "--require-hashes" in DOCKERFILE


def test_everything_copied_into_the_image_exists_and_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in let_through), source
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(copied)


@pytest.mark.needs("prometheus")
def test_prometheus_accepts_its_configuration() -> None:
    checked = subprocess.run(
        ["promtool", "check", "config", str(ROOT / "stack/config/prometheus.yml")], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
