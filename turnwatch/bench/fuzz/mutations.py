"""Mutations: how a sound frame becomes one that a broken, outdated or malicious sender might send.

*Sealed* mutants carry the checksum of what they have become, so that whatever lies behind the checksum is reached. A
mutant need not be invalid: which of them are is for the judge to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa
import xxhash

from schemas.frames import ARROW, NDJSON
from turnwatch.bench.fuzz.specimens import Headers, Specimen, written

INTERESTING = (
    0,
    1,
    -1,
    2,
    7,
    8,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    -(2**31),
    2**40 + 1,
    2**62,
    2**63 - 1,
    -(2**63),
)
"""Numbers that lengths, counts and offsets go wrong at."""
TEXTS = (
    "",
    "*",
    "__other__",
    "a b",
    "A",
    "v1\n",
    "\x00",
    "ä",
    "a" * 64,
    "realtime,region=x",
    "pool=realtime",
    "😀",
    "null",
)
HEADER_TEXTS = (
    b"",
    b"0",
    b"-1",
    b"1.0",
    b"2.0",
    b"1.7",
    b"1e3",
    b"\xff",
    b"\n",
    b"9" * 18,
    b"9" * 19,
    b"operational",
    b"audience",
)
CLAIMS = (2**24, 2**30, 2**40, 2**62)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A frame on its way to the topic of `topic_family`."""

    topic_family: str
    headers: Headers
    payload: bytes
    mutation: str


Mutation = Callable[[Random, Specimen, Specimen], tuple[Headers, bytes]]
"""From chance, a specimen and another one: headers and payload of a mutant for the first one's topic."""


def mutant(chance: Random, pool: Sequence[Specimen], number: int) -> Mutant:
    """The mutant of this number; its producer is its own, so that no fence takes it for a repeat of another."""
    specimen, other = chance.choice(pool), chance.choice(pool)
    name = chance.choices(_NAMES, _WEIGHTS)[0]
    headers, payload = MUTATIONS[name][1](chance, specimen, other)
    if headers.get("tw-producer") == b"fuzz-0":
        headers["tw-producer"] = f"fuzz-{number}".encode()
    return Mutant(specimen.header.family.name, headers, payload, name)


def sealed(headers: Headers, payload: bytes) -> tuple[Headers, bytes]:
    return headers | {"tw-checksum": xxhash.xxh3_64(payload).hexdigest().encode()}, payload


def intact(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    return specimen.headers, specimen.payload


# -- bytes ---------------------------------------------------------------------------------------------------------------


def flipped(chance: Random, payload: bytes) -> bytes:
    changed = bytearray(payload)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def renumbered(chance: Random, payload: bytes) -> bytes:
    """One aligned number becomes another: what holds counts, offsets, sizes and values."""
    width = chance.choice((2, 4, 8))
    place = chance.randrange(max(1, len(payload) // width)) * width
    number = chance.choice(INTERESTING) & (1 << 8 * width) - 1
    return payload[:place] + number.to_bytes(width, "little") + payload[place + width :]


def overwritten(chance: Random, payload: bytes) -> bytes:
    start, length = chance.randrange(len(payload)), chance.randint(1, 64)
    noise = chance.choice((b"\x00" * length, b"\xff" * length, chance.randbytes(length)))
    return payload[:start] + noise + payload[start + length :]


def cut_off(chance: Random, payload: bytes) -> bytes:
    return payload[: chance.randrange(len(payload))]


def lengthened(chance: Random, payload: bytes) -> bytes:
    start = chance.randrange(len(payload))
    again = payload[start : start + chance.randint(1, 512)]
    return chance.choice(
        (payload + again, payload + payload, payload + b"\x00" * 8, payload[:start] + again + payload[start:])
    )


BYTE_MUTATIONS = (flipped, renumbered, overwritten, cut_off, lengthened)


def _of_bytes(change: Callable[[Random, bytes], bytes], seals: bool) -> Mutation:
    def mutate(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
        headers, payload = specimen.headers, change(chance, specimen.payload)
        return sealed(headers, payload) if seals else (headers, payload)

    return mutate


def spliced(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """The beginning of one frame and the end of another, at any place or where one stream ends and the other begins."""
    ours, theirs = chance.choice(((len(specimen.payload), 0), (None, None)))
    ours = chance.randrange(len(specimen.payload)) if ours is None else ours
    theirs = chance.randrange(len(other.payload)) if theirs is None else theirs
    return sealed(specimen.headers, specimen.payload[:ours] + other.payload[theirs:])


def overclaiming(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """A buffer that says it unpacks to gigabytes; in text, a number with as many digits."""
    if specimen.header.content_type == NDJSON:
        return sealed(specimen.headers, specimen.payload.replace(b"0,", b"9" * chance.randint(20, 6_000) + b",", 1))
    starts = [
        place
        for place in range(0, len(specimen.payload) - 16, 8)
        if specimen.payload[place + 8 : place + 12] == b"\x04\x22\x4d\x18"
    ]
    if not starts:
        return sealed(specimen.headers, renumbered(chance, specimen.payload))
    start, claim = chance.choice(starts), chance.choice(CLAIMS)
    return sealed(
        specimen.headers, specimen.payload[:start] + claim.to_bytes(8, "little") + specimen.payload[start + 8 :]
    )


# -- headers -------------------------------------------------------------------------------------------------------------


def swapped(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """The headers of one frame before the payload of another."""
    headers = other.headers
    return sealed(headers, specimen.payload) if chance.random() < 0.5 else (headers, specimen.payload)


def one_header(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """One header is another frame's, is missing, has a line break behind it, or is anything else."""
    headers, theirs = specimen.headers, other.headers
    name = chance.choice(sorted(headers))
    kind = chance.randrange(5)
    if kind == 0:
        del headers[name]
    elif kind == 1:
        headers[name] = theirs[name]
    elif kind == 2:
        headers[name] += chance.choice((b"\n", b" ", b"\x00", b"\xc2\xb2"))
    elif kind == 3:
        headers[name] = chance.choice(HEADER_TEXTS)
    else:
        headers[name] = flipped(chance, headers[name])
    return headers, specimen.payload


# -- values --------------------------------------------------------------------------------------------------------------


def recounted(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """One count is another, and the checksum is still the old one's."""
    payload = _with_value(chance, specimen, chance.choice(specimen.header.family.measure_names), _number(chance))
    return specimen.headers, payload


def recounted_and_sealed(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    return sealed(*recounted(chance, specimen, other))


def misvalued(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """One value of any column is another: missing, out of range, or of another vocabulary."""
    name = chance.choice(specimen.rows.column_names)
    kind = specimen.rows.schema.field(name).type
    value = None if chance.random() < 0.2 else chance.choice(TEXTS) if kind == pa.string() else _number(chance)
    return sealed(specimen.headers, _with_value(chance, specimen, name, value))


def recolumned(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """Columns that are missing, renamed, of another type, in another order, too many, or twice there."""
    rows = specimen.rows
    place = chance.randrange(rows.num_columns)
    column, field = rows.column(place), rows.schema.field(place)
    kind = chance.randrange(7)
    if kind == 0:
        rows = rows.remove_column(place)
    elif kind == 1:
        rows = rows.rename_columns(
            [chance.choice(TEXTS) if at == place else name for at, name in enumerate(rows.column_names)]
        )
    elif kind == 2:
        rows = rows.select(chance.sample(rows.column_names, rows.num_columns))
    elif kind == 3:
        rows = rows.append_column(field.name, column)
    elif kind == 4:
        rows = rows.append_column("note", pa.array(["free text"] * rows.num_rows))
    elif kind == 5:
        rows = rows.set_column(
            place, field.name, column.dictionary_encode() if chance.random() < 0.5 else column.cast(pa.string())
        )
    else:
        rows = rows.set_column(place, pa.field(field.name, field.type, nullable=False, metadata={"a": "b"}), column)
    return _as_sent(specimen, rows, chance.choice(("lz4", None)))


def relined(chance: Random, specimen: Specimen, other: Specimen) -> tuple[Headers, bytes]:
    """Text whose lines are not one object each, whose fields come twice, or whose numbers are written oddly."""
    text = specimen.payload if specimen.header.content_type == NDJSON else _as_text(specimen.rows)
    headers = specimen.headers | {"tw-content-type": NDJSON.encode()}
    old, new = chance.choice(_LINE_CHANGES)
    count = text.count(old)
    place = chance.randrange(count) if count else 0
    parts = text.split(old)
    changed = old.join(parts[: place + 1]) + new + old.join(parts[place + 1 :]) if count else text
    return sealed(headers, changed)


_LINE_CHANGES = (
    (b"}\n{", b"},{"),
    (b",", b",\n"),
    (b",", b"\n"),
    (b"}", b',"turns":1}'),
    (b"}", b',"starts":1,"observations":2}'),
    (b"}", b',"note":[[[[]]]]}'),
    (b"}", b"}}"),
    (b"}", b"}\r"),
    (b"}\n", b"}\r"),
    (b"{", b"[{"),
    (b"{", b"\xef\xbb\xbf{"),
    (b"0,", b"0.0,"),
    (b"0,", b"-0,"),
    (b"0,", b"1e3,"),
    (b"0,", b"NaN,"),
    (b"0,", b"true,"),
    (b"0,", b'"0",'),
    (b"0,", b"00,"),
    (b"0,", b"99999999999999999999,"),
    (b'":"', b'":"\\u0000'),
    (b'":"', b'":"\\ud800'),
    (b'":"', b'":"\xff'),
    (b'":"', b'":"a:b'),
    (b'":"', b'":null,"x":"'),
)


def _number(chance: Random) -> int:
    return chance.choice((*INTERESTING, chance.randint(0, 1_000), chance.getrandbits(40)))


def _with_value(chance: Random, specimen: Specimen, name: str, value: Any) -> bytes:
    rows = specimen.rows
    place = rows.column_names.index(name)
    values, kind = rows.column(place).to_pylist(), rows.schema.field(place).type
    if kind == pa.int32() and value is not None:
        value = (value + 2**31) % 2**32 - 2**31
    values[chance.randrange(len(values))] = value
    changed = rows.set_column(place, rows.schema.field(place), pa.array(values, kind))
    return _as_sent(specimen, changed, "lz4")[1]


def _as_sent(specimen: Specimen, rows: pa.Table, codec: str | None) -> tuple[Headers, bytes]:
    is_arrow = specimen.header.content_type == ARROW
    return sealed(specimen.headers, written(rows, codec) if is_arrow else _as_text(rows))


def _as_text(rows: pa.Table) -> bytes:
    """Rows as lines, without what they do not carry."""
    carried = [
        name for name, column in zip(rows.column_names, rows.columns, strict=True) if column.null_count < rows.num_rows
    ]
    named = [
        {name: value for name, value in zip(rows.column_names, row, strict=True) if name in carried}
        for row in zip(*(column.to_pylist() for column in rows.columns), strict=True)
    ]
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in named).encode()


MUTATIONS: dict[str, tuple[int, Mutation]] = {
    "intact": (4, intact),
    "bits flipped": (6, _of_bytes(flipped, seals=False)),
    "bits flipped, sealed": (16, _of_bytes(flipped, seals=True)),
    "numbers changed, sealed": (16, _of_bytes(renumbered, seals=True)),
    "overwritten, sealed": (8, _of_bytes(overwritten, seals=True)),
    "cut off": (2, _of_bytes(cut_off, seals=False)),
    "cut off, sealed": (6, _of_bytes(cut_off, seals=True)),
    "lengthened, sealed": (6, _of_bytes(lengthened, seals=True)),
    "spliced, sealed": (6, spliced),
    "claims too much, sealed": (3, overclaiming),
    "headers swapped": (6, swapped),
    "one header changed": (8, one_header),
    "count changed": (4, recounted),
    "count changed, sealed": (5, recounted_and_sealed),
    "value changed, sealed": (7, misvalued),
    "columns changed, sealed": (4, recolumned),
    "lines changed, sealed": (6, relined),
}
"""Every mutation, and how often it is chosen."""

WELL_FORMED = frozenset(
    {
        "intact",
        "count changed, sealed",
        "value changed, sealed",
        "columns changed, sealed",
        "headers swapped",
        "one header changed",
    }
)
"""Mutations after which Arrow streams are still written as Arrow writes them. Arrow reads some others, too: it looks at no
buffer that it does not need, however far that points out of the stream."""

_NAMES = tuple(MUTATIONS)
_WEIGHTS = tuple(weight for weight, _ in MUTATIONS.values())
