"""Recorded traces: every request becomes exactly one turn, and a file that is none is told by line."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from producers.replay import chunks_of, complete
from producers.traces import MalformedTrace, read_trace

START_MS = 1_700_000_040_000 // 60_000 * 60_000


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("azure_llm_2023/AzureLLMInferenceTrace_conv.csv", 19_366),
        ("azure_llm_2023/AzureLLMInferenceTrace_code.csv", 8_819),
        ("mooncake", 12_031),
        ("vllm_load_test", 6_000),
    ],
)
def test_every_request_of_a_trace_becomes_one_turn(recorded_data: Path, path: str, requests: int) -> None:
    found = recorded_data / path
    if path == "mooncake":
        found = next(file for file in sorted(found.iterdir()) if file.suffix == ".jsonl")
    recording = complete(read_trace(found), seed=7)
    chunks = list(chunks_of(recording, START_MS, 7))
    turns = pl.concat([frame for chunk in chunks for frame in chunk.turns.values()])
    assert len(turns) == requests
    assert (turns["turn_ms"] > 0).all() and (turns["tokens_out"] >= 0).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,forty\n", "line 2"),
        ("<html>\n", "line 1|not a recorded trace|format"),
        ('{"timestamp": 0, "input_length": -5, "output_length": 1, "hash_ids": []}\n', "line 1"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(MalformedTrace, match=said):
        read_trace(path)
