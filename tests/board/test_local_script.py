"""The local board's script is bundled once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from dashboards.local.script import vega_script


def test_the_script_is_bundled_once_and_then_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = vega_script(tmp_path / "new" / "cache")
    for name in (b"window.vega=", b"window.vegaLite=", b"window.vegaEmbed="):
        assert name in script.replace(b" ", b"")
    assert len(script) > 400_000
    monkeypatch.delattr(vl_convert, "javascript_bundle")
    assert vega_script(tmp_path / "new" / "cache") == script
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1
