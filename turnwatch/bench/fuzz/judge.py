"""The judge: what is wrong with a frame, by the text of `docs/contract.md`, row by row in plain Python.

It shares no code with the decoder, and is as slow as it is plain. Of the contract's declarations it takes the data
(names, vocabularies, patterns, which measure is part of which); every rule and every bound is written here once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import xxhash

from schemas.dimensions import DIMENSIONS
from schemas.families import FAMILIES, Family, Key, PrivacyPartition

NUMBERS = ("tw-incarnation", "tw-sequence", "tw-window-start-ms", "tw-k-window-s")
HEADERS = ("tw-schema", "tw-content-type", "tw-producer", "tw-family", "tw-privacy-partition", "tw-checksum", *NUMBERS)
CONTENT_TYPES = ("application/vnd.apache.arrow.stream", "application/x-ndjson")
MINOR_KNOWN = 2
NARROW = ("region", "language", "client_version", "tenant")
"""Dimensions whose pattern leaves no room for anything private."""
OWN_POOL = pa.system_memory_pool()
"""The judge believes what streams claim to unpack to; what it allocates is not to be taken for the decoder's."""

Row = dict[str, Any]


class Fault(Exception):
    """The first thing that is wrong with a frame."""


def rows_of(topic_family: str, headers: Mapping[str, bytes | None], payload: bytes) -> list[Row]:
    """The rows of a sound frame; raises `Fault` for any other."""
    text = _headers(headers)
    family, partition = _place(topic_family, text)
    minor = int(text["tw-schema"].split(".")[1])
    _fits(1 <= len(payload) <= 900_000, "the payload is empty or too large")
    _fits(text["tw-checksum"] == xxhash.xxh3_64(payload).hexdigest(), "the checksum is another payload's")
    _fits(text["tw-content-type"] in CONTENT_TYPES, "the content type is unknown")
    is_arrow = text["tw-content-type"] == CONTENT_TYPES[0]
    rows = _arrow_rows(payload, family, minor) if is_arrow else _json_rows(payload, family, partition, minor)
    _fits(1 <= len(rows) <= 20_000, "there are no rows, or too many")
    for row in rows:
        _judge(row, family, partition)
    return rows


def _fits(claim: bool, fault: str) -> None:
    if not claim:
        raise Fault(fault)


def _headers(headers: Mapping[str, bytes | None]) -> dict[str, str]:
    text: dict[str, str] = {}
    for name in HEADERS:
        value = headers.get(name)
        if value is None or not value.isascii():
            raise Fault(f"{name} is missing or no ASCII text")
        text[name] = value.decode("ascii")
    _fits(bool(re.fullmatch(r"1\.[0-9]{1,4}", text["tw-schema"])), "the version is not 1.x")
    _fits(bool(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text["tw-producer"])), "the producer is no name")
    _fits(not _has_phone(text["tw-producer"]), "the producer is a telephone number")
    _fits(all(re.fullmatch(r"[0-9]{1,18}", text[name]) for name in NUMBERS), "a number is none")
    return text


def _place(topic_family: str, text: dict[str, str]) -> tuple[Family, PrivacyPartition]:
    _fits(text["tw-family"] == topic_family and topic_family in FAMILIES, "the family is another topic's")
    family = FAMILIES[topic_family]
    partitions = {partition.name: partition for partition in family.partitions}
    _fits(text["tw-privacy-partition"] in partitions, "the privacy partition is unknown")
    partition = partitions[text["tw-privacy-partition"]]
    _fits(int(text["tw-k-window-s"]) == partition.k_window_s, "the k-window is not the partition's")
    _fits(int(text["tw-window-start-ms"]) % (1_000 * partition.k_window_s) == 0, "the window begins off its grid")
    return family, partition


def _arrow_rows(payload: bytes, family: Family, minor: int) -> list[Row]:
    source = pa.BufferReader(payload)
    try:
        sent = pa.ipc.open_stream(payload, memory_pool=OWN_POOL).schema
        _columns(sent, family, minor)
        # What is not declared is dropped unread, so whatever is wrong there is wrong with nothing that counts.
        names = [name for name in _names(family) if name not in _later(family, minor)]
        declared = pa.ipc.IpcReadOptions(included_fields=[sent.get_field_index(name) for name in names])
        table = pa.ipc.open_stream(source, options=declared, memory_pool=OWN_POOL).read_all()
        table.validate(full=True)
        _fits(source.tell() == len(payload), "bytes follow the end of the stream")
        _fits(table.get_total_buffer_size() <= 16_000_000, "it unpacks to too much")
        return [dict.fromkeys(_later(family, minor), 0) | row for row in table.to_pylist()]
    except (pa.ArrowException, ValueError, TypeError, OSError, OverflowError) as error:
        raise Fault(f"Arrow cannot read it ({type(error).__name__})") from error


def _columns(schema: pa.Schema, family: Family, minor: int) -> None:
    names, declared = list(schema.names), [name for name in _names(family) if name not in _later(family, minor)]
    _fits(len(names) == len(set(names)), "a column comes twice")
    _fits(set(declared) <= set(names), "a column is missing")
    _fits(minor > MINOR_KNOWN or set(names) == set(declared), "a column is unknown")
    _fits(not any(pa.types.is_dictionary(kind) for kind in schema.types), "a column is a dictionary's")
    integers = {key.name: pa.int32() for key in family.keys if not key.vocabulary}
    integers |= {measure.name: pa.int64() for measure in family.measures}
    for name in declared:
        _fits(schema.field(name).type == integers.get(name, pa.string()), f"{name} is of another type")


def _later(family: Family, minor: int) -> set[str]:
    """What a frame of that version does not have: it counts as zero."""
    return {measure.name for measure in family.measures if measure.since_minor > minor}


def _names(family: Family) -> list[str]:
    dimensions = [name for partition in family.partitions for name in partition.dimensions]
    keys, measures = [key.name for key in family.keys], [measure.name for measure in family.measures]
    return [*dict.fromkeys(dimensions), *keys, *measures]


def _json_rows(payload: bytes, family: Family, partition: PrivacyPartition, minor: int) -> list[Row]:
    later = _later(family, minor)
    absent = set(_names(family)) - set(partition.dimensions) - later
    declared = set(partition.dimensions) | {name for name in absent if name not in DIMENSIONS}
    rows: list[Row] = []
    for line in payload.split(b"\n"):
        if not line.strip(b" \t\r"):
            continue
        row = _object(line)
        _fits(declared <= set(row), "a field is missing")
        _fits(minor > MINOR_KNOWN or set(row) == declared, "a field is unknown")
        known = {name: row.get(name) if name in declared else None for name in _names(family)}
        rows.append(known | dict.fromkeys(later, 0))
    return rows


def _object(line: bytes) -> Row:
    try:
        _fits(len(line) <= 17_000, "a line is too long")
        found = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Fault("a line is no JSON") from error
    _fits(isinstance(found, dict), "a line is no object")
    row: Row = found
    return row


def _once(pairs: list[tuple[str, Any]]) -> Row:
    _fits(len({name for name, _ in pairs}) == len(pairs), "a field is named twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise Fault(f"{name} is no number")


def _judge(row: Row, family: Family, partition: PrivacyPartition) -> None:
    for name in _names(family):
        if name in DIMENSIONS:
            _fits(_is_dimension(row[name], name, partition), f"{name} holds what it cannot")
    for key in family.keys:
        _fits(_is_key(row[key.name], key), f"{key.name} is outside of its range")
    for measure in family.measures:
        value, most = row[measure.name], 2**47 if measure.unit.endswith("^2") else 2**40
        _fits(type(value) is int and 0 <= value <= most, f"{measure.name} counts what it cannot")
        _fits(measure.part_of is None or value <= row[measure.part_of], f"{measure.name} exceeds its whole")


def _is_dimension(value: object, name: str, partition: PrivacyPartition) -> bool:
    if name not in partition.dimensions:
        return value is None
    declared = DIMENSIONS[name]
    if not isinstance(value, str):
        return False
    if declared.pattern and name not in NARROW and _has_phone(value):
        return False
    is_generalised = value == "*" and declared.generalise_order is not None
    return is_generalised or value in declared.vocabulary or bool(re.fullmatch(declared.pattern or r"(?!)", value))


def _has_phone(value: str) -> bool:
    """Of what the contract calls private, the only thing that mutants and specimens can hold. None of them is a date."""
    return re.search(r"[0-9]{9}", value) is not None


def _is_key(value: object, key: Key) -> bool:
    if key.vocabulary:
        return _one_of(value, key.vocabulary)
    low, high = key.integer_range
    return type(value) is int and (low <= value <= high or value == key.marker)


def _one_of(value: object, allowed: Iterable[str]) -> bool:
    return isinstance(value, str) and value in allowed
