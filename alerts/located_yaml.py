"""YAML that remembers where it was written, so that a wrong field is named with its line.

Decimals stay the decimals as written (`0.999` is not the nearest binary fraction), a key given twice is an error, and
nothing but plain data is ever constructed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import yaml

Place = tuple[str | int, ...]
"""Where a value stands in its document: keys and list positions from the top."""

Plain = None | bool | int | Decimal | str | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a file: the line, the field (empty for the document itself), and a sentence."""

    line: int
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as plain data, with the line of every value by its place."""

    data: Plain
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it that was written down."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


class _WrittenOut(yaml.SafeLoader):
    """Refuses aliases: a value stands where it is read, and a file cannot grow when it is."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it open
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed, write the value out", mark)
        return super().compose_node(parent, index)


def field_text(place: Place) -> str:
    """A place as a reader writes it.

    >>> field_text(("spec", "objectives", 0, "target"))
    'spec.objectives[0].target'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def read_documents(text: str) -> tuple[list[Document], list[Mistake]]:
    """All documents of a file, and what kept it from being read."""
    documents: list[Document] = []
    mistakes: list[Mistake] = []
    try:
        for root in yaml.compose_all(text, Loader=_WrittenOut):
            lines: dict[Place, int] = {(): _line(root)}
            documents.append(Document(_plain(root, (), lines, mistakes), lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        mistakes.append(Mistake(line, "", f"This YAML cannot be read: {error.problem or error.context}."))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        mistakes.append(Mistake(line, "", "There is a control character here, which YAML does not allow."))
    except RecursionError:
        mistakes.append(Mistake(1, "", "This YAML is nested too deeply to be read."))
    return documents, mistakes


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _plain(node: yaml.Node, place: Place, lines: dict[Place, int], mistakes: list[Mistake]) -> Plain:
    match node:
        case yaml.MappingNode():
            return {
                key: _plain(value, (*place, key), lines, mistakes)
                for key, value in _entries(node, place, lines, mistakes)
            }
        case yaml.SequenceNode():
            for position, item in enumerate(node.value):
                lines[*place, position] = _line(item)
            return [_plain(item, (*place, position), lines, mistakes) for position, item in enumerate(node.value)]
        case _:
            return _scalar(node)


def _entries(
    node: yaml.MappingNode, place: Place, lines: dict[Place, int], mistakes: list[Mistake]
) -> Iterator[tuple[str, yaml.Node]]:
    seen: dict[str, int] = {}
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            mistakes.append(Mistake(_line(key_node), field_text(place), "A key has to be a plain word."))
            continue
        key = str(key_node.value)
        if key in seen:
            sentence = f"The key {key!r} is given twice, first on line {seen[key]}: keep one."
            mistakes.append(Mistake(_line(key_node), field_text((*place, key)), sentence))
            continue
        seen[key] = lines[*place, key] = _line(key_node)
        yield key, value


def _scalar(node: yaml.Node) -> Plain:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" | "float":
            try:
                number = Decimal(text)
            except InvalidOperation:
                return text  # Octal, base 60, .inf: nothing that a figure of ours is written in.
            return int(number) if number == number.to_integral_value() and "." not in text else number
        case _:
            return text
