"""The observer for Pipecat as `docs/otlp.md` shows it: its text, and names that it imports where Pipecat is not installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "otlp.md"
MODULES = {
    "pipecat.frames.frames": ("MetricsFrame",),
    "pipecat.metrics.metrics": ("LLMUsageMetricsData", "TTFBMetricsData"),
    "pipecat.observers.base_observer": ("BaseObserver",),
    "pipecat.services.llm_service": ("LLMService",),
    "pipecat.services.stt_service": ("STTService",),
    "pipecat.services.tts_service": ("TTSService",),
}
"""What the observer imports of Pipecat."""


def snippet() -> str:
    """The text of the observer."""
    texts: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in texts if "pipecat" in text]
    return found


def observer() -> Any:
    """An observer made by the page's text, with whatever its imports find."""
    names: dict[str, Any] = {}
    exec(compile(snippet(), str(PAGE), "exec"), names)
    return names["Facts"]()


@contextmanager
def named_only() -> Iterator[dict[str, type]]:
    """Classes of those names and no behaviour stand where Pipecat's do: what they held was recorded."""
    classes = {name: type(name, (), {}) for names in MODULES.values() for name in names}
    modules = {"pipecat": ModuleType("pipecat")}
    for path, names in MODULES.items():
        parent = path.rpartition(".")[0]
        modules |= {parent: ModuleType(parent), path: ModuleType(path)}
        for name in names:
            setattr(modules[path], name, classes[name])
    before = {path: sys.modules.get(path) for path in modules}
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for path, module in before.items():
            if module is None:
                del sys.modules[path]
            else:
                sys.modules[path] = module
