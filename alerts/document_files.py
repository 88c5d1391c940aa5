"""Folders of definitions: their documents file by file, and everything that is wrong in them as `file:line: sentence`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from alerts.located_yaml import Document, Mistake, read_documents
from schemas.failures import BadInput

ENDING = ".yaml"


class WrongFiles(BadInput):
    """Everything that is wrong in files; a problem is a line, `file:line: field: sentence`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Found:
    """The documents of a file, or what kept it from being read."""

    documents: tuple[Document, ...]
    mistakes: tuple[Mistake, ...] = ()


def files_in(directory: Path, what: str) -> list[Path]:
    """The files to read, in order; where there are none, `WrongFiles`."""
    files = sorted(directory.glob(f"*{ENDING}"))
    if not files:
        raise WrongFiles([f"{directory}: no {what} files (*{ENDING}) are here: name a directory that holds some."])
    return files


def passed_over(directory: Path, what: str) -> Iterator[str]:
    """Problems of files that look as if somebody meant them to be read."""
    for file in sorted(directory.glob("*.yml")):
        yield problem(file, Mistake(1, "", f"The file is not read: {what} files end in {ENDING}, rename it."))


def documents_of(file: Path, what: str) -> Found:
    try:
        return documents_in(file.read_text(encoding="utf-8"), what)
    except OSError as error:
        return Found((), (Mistake(1, "", f"The file cannot be read: {error.strerror}."),))
    except UnicodeDecodeError:
        return Found((), (Mistake(1, "", "The file is not UTF-8 text: save it as UTF-8."),))


def documents_in(text: str, what: str) -> Found:
    """The documents of one file's text; `what` is what should be in it."""
    documents, unreadable = read_documents(text)
    if unreadable:
        return Found((), tuple(unreadable))
    if not documents:
        return Found((), (Mistake(1, "", f"The file is empty: write {what} or remove it."),))
    return Found(tuple(documents))


def problem(file: Path, mistake: Mistake) -> str:
    """A mistake as a line that editors can follow."""
    field = f" {mistake.field}:" if mistake.field else ""
    return f"{shown_path(file)}:{mistake.line}:{field} {mistake.sentence}"


def shown_path(file: Path) -> Path:
    """A file as seen from where one stands."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
