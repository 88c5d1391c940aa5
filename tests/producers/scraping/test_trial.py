"""Whoever sets scraping up is told at once what each target says, or why it says nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from producers.scraping.targets import Config
from producers.scraping.trial import tried
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import target
from tests.producers.scraping.exporters import SECRET, serving


async def test_every_target_is_tried_and_told_in_a_sentence() -> None:
    async with serving() as exporters:
        exporters.texts |= {"well": shows.vllm([0.2], waiting=4, running=3), "gpus": shows.dcgm([50])}
        exporters.texts["old"] = "vllm:num_requests_waiting 7\n"
        kinds = {"well": "vllm", "gpus": "dcgm", "old": "vllm", "broken": "vllm", "html": "tgi"}
        targets = tuple(target(kind, host=path, url=exporters.url(path)) for path, kind in kinds.items())
        trials = await tried(Config(producer="scrape-1", region="eu-west-1", targets=targets))
    assert [trial.is_heard for trial in trials] == [True, True, True, False, False]
    well, gpus, old, broken, html = (trial.sentence for trial in trials)
    assert well.startswith("well (vllm): ") and "4 wait and 3 run in llm_first_token of v2" in well
    assert "does not show" not in well + gpus
    assert "7 wait and an unknown number run" in old and "it does not show vllm:num_requests_running" in old
    assert broken == "broken (vllm): gives nothing: it answers with status 500."
    assert html.startswith("html (tgi): gives nothing: the content type")
    assert not any(SECRET in trial.sentence for trial in trials)


async def test_what_is_dropped_is_told_apart_from_what_is_refused_and_no_number_from_zero() -> None:
    async with serving() as exporters:
        lines = [
            'num_requests_waiting{engine="0"} NaN',
            'num_requests_running{engine="0",lora="adapter-3",user="ana@example.com"} 3',
        ]
        exporters.texts["nan"] = "".join(f"vllm:{line}\n" for line in lines)
        lines += [
            'num_requests_waiting{engine="1"} 4',
            'num_requests_waiting{engine="2"} -1',
            'num_requests_running{engine="1"} 0',
        ]
        exporters.texts["some"] = "".join(f"vllm:{line}\n" for line in lines)
        targets = tuple(target("vllm", host=path, url=exporters.url(path)) for path in ("nan", "some"))
        trials = await tried(Config(producer="scrape-1", region="eu-west-1", targets=targets))
    nan, some = (trial.sentence for trial in trials)
    unknown = "nothing is told of llm_first_token of v2 while a gauge of it is no number"
    assert unknown in nan and "it shows no number of vllm:num_requests_waiting" in nan
    assert "does not show vllm:num_requests_waiting" not in nan
    assert nan.endswith("1 sample refused (1 × not_finite); 2 labels dropped (1 × email, 1 × unknown_field).")
    assert unknown in some and "shows no number" not in some and not any(trial.is_heard for trial in trials)
    assert some.endswith(
        "2 samples refused (1 × negative, 1 × not_finite); 2 labels dropped (1 × email, 1 × unknown_field)."
    )


async def test_the_command_tries_without_a_kafka_and_fails_where_a_target_is_silent(tmp_path: Path) -> None:
    away = {"url": "http://127.0.0.1:1/metrics", "kind": "vllm", "host": "gpu-07", "pool": "realtime", "bundle": "v2"}
    config = tmp_path / "scrape.yaml"
    config.write_text(json.dumps({"producer": "scrape-1", "region": "eu-west-1", "targets": [away]}))
    command = [sys.executable, "-m", "turnwatch", "scrape", str(config), "--once"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("gpu-07 (vllm): gives nothing: it cannot be asked")
