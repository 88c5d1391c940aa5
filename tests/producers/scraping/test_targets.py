"""A configuration that cannot be meant is told with its place, before anything is asked; what is told repeats no address."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from producers.scraping.targets import ConfigError, read_config

SOUND: dict[str, Any] = {
    "producer": "scrape-eu-1",
    "region": "eu-west-1",
    "targets": [
        {"url": "http://gpu-07:8000/metrics", "kind": "vllm", "host": "gpu-07", "pool": "realtime", "bundle": "v2"},
        {"url": "http://gpu-07:9400/metrics", "kind": "dcgm", "host": "gpu-07", "pool": "realtime", "bundle": "v2",
         "queue": "llm_first_token"},
    ],
}  # fmt: skip


def written(folder: Path, config: object) -> Path:
    path = folder / "scrape.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
    return path


def with_target(**fields: Any) -> dict[str, Any]:
    first, *others = SOUND["targets"]
    changed = {name: value for name, value in {**first, **fields}.items() if value is not None}
    return {**SOUND, "targets": [changed, *others]}


def test_a_sound_configuration_is_read_with_its_defaults(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, SOUND))
    assert (config.interval_s, config.timeout_s) == (10, 2.0)
    assert [each.taken for each in config.targets] == [("queues",), ("queues",)]
    assert config.targets[0].served("anything") == ("v2", "llm_first_token")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("targets: [", "not YAML"),
        ("producer: x\n region: e\n", "line 2: it is not YAML"),
        ("hello", "the file has to name producer, region and targets"),
        ("", "the file"),
        ({**SOUND, "targets": []}, "targets"),
        ({**SOUND, "interval": 10}, "interval"),
        ({**SOUND, "region": "Europe"}, "region"),
        ({**SOUND, "timeout_s": 10.0}, "timeout_s has to be less than interval_s"),
        ({**SOUND, "targets": [SOUND["targets"][0]] * 2}, "two targets"),
        (with_target(url="gpu-07:8000"), "targets.0.url"),
        (with_target(url="http://ana:secret-word@gpu-07:8000/metrics"), "without credentials"),
        (with_target(url="file:///etc/passwd"), "targets.0.url"),
        (with_target(kind="ollama"), "targets.0.kind"),
        (with_target(host="GPU 7"), "targets.0.host"),
        (with_target(pool="live"), "pool of the contract"),
        (with_target(bundle=None), "give either bundle, or models"),
        (with_target(kind="tgi", bundle=None, models={"m": {"bundle": "v2"}}), "does not tell models apart"),
        (with_target(kind="triton"), "give queue"),
        (with_target(queue="ordering"), "it has to be one of queue_wait"),
        (with_target(families=["queues", "stages"]), "give route"),
        (with_target(families=["costs"], route="voice"), "give model_version"),
        (with_target(families=["duplex"]), "targets.0.families.0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, config: object, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(written(tmp_path, config))
    sentence = str(error.value)
    assert told in sentence and str(tmp_path) in sentence and sentence.endswith(".")
    assert "secret-word" not in sentence


def test_a_mistake_that_all_targets_make_is_told_once(tmp_path: Path) -> None:
    targets = [
        {**SOUND["targets"][0], "host": f"gpu-{at}", "url": f"http://gpu-{at}/", "kind": "vlm"} for at in range(7)
    ]
    with pytest.raises(ConfigError) as refused:
        read_config(written(tmp_path, {**SOUND, "region": "here", "targets": targets}))
    told = str(refused.value)
    assert told.count("it has to be 'vllm'") == 1 and "targets.0.kind, targets.1.kind" in told
    assert "at least 1 item" not in told
    assert "targets.4.kind and 2 more: it has to be" in told and "region: it has to be a region" in told


def test_the_configuration_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "scraping.md").read_text(encoding="utf-8")
    first, second = (block.partition("```")[0] for block in text.split("```yaml\n")[1:])
    config = read_config(written(tmp_path, textwrap.dedent(first)))
    assert [each.kind for each in config.targets] == ["vllm", "dcgm"]
    several = {**SOUND, "targets": yaml.safe_load(textwrap.dedent(second))}
    assert set(read_config(written(tmp_path, several)).targets[0].models) == {"asr_streaming", "tts_fast"}
