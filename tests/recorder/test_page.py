"""The snippets of docs/recorder.md, run one after the other as they stand there, but for addresses and paths."""

from __future__ import annotations

import asyncio
import re
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from producers.key_ring_file import create
from tests.recorder.servers import Served, serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recorder.md"


def snippets() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [
        textwrap.dedent(found) for found in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    ]


def soon(answer: Any) -> Any:
    async def called(*_: object) -> Any:
        return answer

    return called


def of_the_host() -> dict[str, Any]:
    """What a gateway has that the page does not show."""
    at_once = {name: lambda *_: None for name in ("transcribe", "first_token", "first_audio")}
    later = {name: soon(None) for name in ("transcribe_soon", "search", "remember")}
    usage = SimpleNamespace(prompt=812, completion=60)
    return {
        **at_once,
        **later,
        "first_token_soon": soon("an answer"),
        "call_id": "call-1",
        "audio": b"",
        "usage": usage,
    }


def test_what_the_page_shows_records_turns_and_their_stages(tmp_path: Path) -> None:
    made, told, asynchronous = snippets()
    create(tmp_path / "ring", time.time_ns() // 1_000_000, tenant_kept_d=400)
    served, names = Served(), of_the_host()
    with serving(served) as address:
        made = re.sub(r"http://collector-\d:9471", address, made)
        made = made.replace("/run/secrets/turnwatch-ring", str(tmp_path / "ring"))
        exec(made.replace("/var/lib/voice-gateway", str(tmp_path)), names)
        exec(told, names)
        exec(asynchronous, names)
        assert asyncio.run(names["serve"]("call-2", b"")) == "an answer"
        names["recorder"].close()
    first, second = served.collector.rows().to_dicts()
    assert (first["tokens_in"], first["tokens_out"], first["is_success"]) == (812, 60, True)
    stages = [
        {name for name in row if name.endswith("_ms") and isinstance(row[name], float)} for row in (first, second)
    ]
    of_both = {"turn_ms", "final_transcript_ms", "llm_first_token_ms"}
    assert stages == [of_both | {"tts_first_audio_ms", "first_audio_ms"}, of_both | {"retrieval_ms"}]
    assert not [name for name in names["recorder"].totals() if "dropped" in name or "values" in name]
