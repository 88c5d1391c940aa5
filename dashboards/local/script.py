"""Vega, Vega-Lite and Vega-Embed as one script, which the local board serves itself: no other host is asked for it."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import vl_convert

from dashboards.local.specs import VEGA_LITE

_GLOBALS = "window.vega = vega; window.vegaLite = vegaLite; window.vegaEmbed = vegaEmbed;"


def vega_script(cache: Path) -> bytes:
    """The script, which defines `vega`, `vegaLite` and `vegaEmbed`; bundled once per version, and kept in `cache`."""
    kept = cache / f"vega-{version('vl-convert-python')}-{VEGA_LITE}.js"
    if not kept.is_file():
        _keep(kept, vl_convert.javascript_bundle(_GLOBALS, vl_version=VEGA_LITE).encode())
    return kept.read_bytes()


def _keep(path: Path, script: bytes) -> None:
    """Under its name it is whole or not at all, whoever else bundles it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(script)
    Path(file.name).replace(path)
