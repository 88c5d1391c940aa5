"""Whoever sets scraping up is told at once what each target says, or why it says nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from producers.scraping.targets import Config
from producers.scraping.trial import tried
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import target
from tests.producers.scraping.exporters import SECRET, serving
from turnwatch.scrape import run_scrape


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


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("http", b"", "it closes the connection without an answer"),
        ("http", b"hello\n", "what answers there is no HTTP"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no TLS"),
    ],
)
async def test_what_does_not_speak_http_is_told_in_words(scheme: str, answer: bytes, words: str) -> None:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        odd = target("vllm", host="odd", url=f"{scheme}://{host}:{port}/metrics")
        (trial,) = await tried(Config(producer="scrape-1", region="eu-west-1", targets=(odd,)))
    assert not trial.is_heard and words in trial.sentence


async def test_the_command_tries_without_a_kafka_and_ends_with_1_where_a_target_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = target("vllm", host="gpu-07", url="http://127.0.0.1:1/metrics")
    config = tmp_path / "scrape.yaml"
    async with serving() as exporters:
        exporters.texts["well"] = shows.vllm([0.2], waiting=4, running=3)
        well = target("vllm", host="gpu-08", url=exporters.url("well"))
        for targets, code, said in (
            ([well, away], 1, "1 of 2 targets gave nothing that could be told.\n"),
            ([well], 0, ""),
        ):
            told = [each.model_dump(mode="json", exclude_unset=True) for each in targets]
            config.write_text(json.dumps({"producer": "scrape-1", "region": "eu-west-1", "targets": told}))
            ended = await asyncio.to_thread(run_scrape, config, is_trial=True)
            printed = capsys.readouterr()
            assert (ended, printed.err, printed.out.count("gives nothing")) == (code, said, code)
            assert printed.out.startswith("gpu-08 (vllm): ") and printed.out.count("\n") == len(targets)
