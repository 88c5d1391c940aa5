"""Pictures on their way to a file."""

from __future__ import annotations

from pathlib import Path

from schemas.failures import Foreseen


def write_picture(path: Path, picture: str) -> None:
    """Writes an SVG; raises `Foreseen` where it cannot be written."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Foreseen(f"{path}: the picture cannot be written: {error.strerror}.") from None
