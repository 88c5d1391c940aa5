"""A configuration that is sped up keeps its routes, wakes nobody, and is refused where it could not be played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.routes_config import ConfigurationError, read_configuration
from tests.rules.conftest import SHIPPED_CONFIG

URL = "http://127.0.0.1:1/page"


def hastened(written: dict[str, Any], folder: Path, speed: float = 10) -> dict[str, Any]:
    (folder / "given.yml").write_text(yaml.safe_dump(written))
    return read_configuration(folder / "given.yml").hastened(URL, speed)


def config(**fields: Any) -> dict[str, Any]:
    return {"route": {"receiver": "x"}, "receivers": [{"name": "x"}]} | fields


def test_every_time_is_divided_and_everything_else_stays() -> None:
    written = yaml.safe_load(SHIPPED_CONFIG.read_text())
    fast = read_configuration(SHIPPED_CONFIG).hastened(URL, 100)
    assert fast["inhibit_rules"] == written["inhibit_rules"]
    times = {"group_wait", "group_interval", "repeat_interval"}
    for before, after in zip(
        [written["route"], *written["route"]["routes"]], [fast["route"], *fast["route"]["routes"]], strict=True
    ):
        kept = {name: value for name, value in before.items() if name not in {*times, "routes"}}
        assert {name: value for name, value in after.items() if name not in {*times, "routes"}} == kept
        assert times & set(before) == times & set(after)
    assert [fast["route"][name] for name in ("group_wait", "group_interval")] == ["50ms", "300ms"]


def test_what_is_not_written_has_alertmanagers_times(tmp_path: Path) -> None:
    fast = hastened(config(), tmp_path)
    route = fast["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == (
        "3000ms",
        "30000ms",
        "1440000ms",
    )
    assert fast["global"] == {"resolve_timeout": "30000ms"}


def test_a_time_is_never_rounded_to_nothing_nor_below_its_share(tmp_path: Path) -> None:
    fast = hastened(config(route={"receiver": "x", "group_wait": "1s", "group_interval": "1ms"}), tmp_path, speed=3)
    assert (fast["route"]["group_wait"], fast["route"]["group_interval"]) == ("334ms", "1ms")


def test_nobody_is_woken_and_no_secret_is_written(tmp_path: Path) -> None:
    receivers = [
        {"name": "a", "pagerduty_configs": [{"routing_key": "s3cret"}], "slack_configs": [{"api_url": "s3cret"}]},
        {"name": "b", "email_configs": [{"to": "ana@example.org", "auth_password": "s3cret"}]},
        {"name": "c", "webhook_configs": [{"url": "http://pages.example/s3cret", "send_resolved": False}]},
        {"name": "d"},
    ]
    fast = hastened(config(receivers=receivers, **{"global": {"smtp_auth_password": "s3cret"}}), tmp_path)
    assert "s3cret" not in yaml.safe_dump(fast)
    told = {each["name"]: each.get("webhook_configs") for each in fast["receivers"]}
    assert told == {
        "a": [{"url": URL, "send_resolved": True}],
        "b": [{"url": URL, "send_resolved": False}],
        "c": [{"url": URL, "send_resolved": False}],
        "d": None,
    }


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ([], "given.yml: This has to be a section with fields."),
        ({"receivers": []}, "given.yml: route: This has to be a section with fields."),
        (config(receivers={}), "given.yml: receivers: This has to be a list of receivers."),
        (config(receivers=["x"]), r"given.yml: receivers\[0\]: This has to be a section with fields."),
        (config(route={"routes": {}, "receiver": "x"} | {"routes": {"a": 1}}), "route.routes: This has to be a list"),
        (config(route={"routes": [1]}), r"route.routes\[0\]: This has to be a section"),
        (config(**{"global": 5}), "global: This has to be a section"),
        (
            config(route={"routes": [{"group_wait": "5 s"}]}),
            r"route.routes\[0\].group_wait: This has to be a duration such as 30s, and '5 s' is written.",
        ),
        (
            config(route={"routes": [{"group_wait": "300ms"}]}),
            r"At 10 times the speed 300ms would be over before Alertmanager knows what .* a speed of at most 7\.",
        ),
        (
            config(route={"routes": [{"mute_time_intervals": ["nights"]}]}),
            r"route.routes\[0\].mute_time_intervals: What goes by the time of day cannot be played at another.",
        ),
    ],
)
def test_what_cannot_be_played_is_told_with_its_place(written: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        hastened(written, tmp_path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for name, content, said in (
        ("none.yml", None, "No such file"),
        ("latin.yml", b"\xff", "is not UTF-8"),
        ("broken.yml", b"route:\n  a: [1", "broken.yml:2: This YAML cannot be read: expected"),
        ("tab.yml", b"a: \x01", "it is no YAML"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match=said):
            read_configuration(tmp_path / name)
