"""Slices as text: `pool=realtime,bundle=v2`, dimensions in the order of their cut.

The text is a slice's identity everywhere (state, topics, labels of an alert); dimension values can hold neither `=` nor
`,`, so it reads back exactly. The slice of the cut without dimensions is `all`.
"""

from __future__ import annotations

from functools import lru_cache

import polars as pl
import xxhash

EVERYTHING = "all"
SLICE_PATTERN = rf"^(?:{EVERYTHING}|[a-z_]+=[^=,]+(?:,[a-z_]+=[^=,]+)*)$"
"""What every slice's text matches, whatever the cuts and vocabularies of the version that wrote it."""


def slice_text(dimensions: tuple[str, ...]) -> pl.Expr:
    """The expression that writes each row's slice for a cut by `dimensions`.

    >>> pl.DataFrame({"pool": ["batch"], "region": ["eu-west-1"]}).select(slice_text(("pool", "region"))).item()
    'pool=batch,region=eu-west-1'
    """
    if not dimensions:
        return pl.lit(EVERYTHING).alias("slice")
    return pl.format(",".join(f"{name}={{}}" for name in dimensions), *dimensions).alias("slice")


@lru_cache(maxsize=200_000)
def slice_dimensions(text: str) -> dict[str, str]:
    """The dimensions of a slice and their values.

    >>> slice_dimensions("pool=realtime,bundle=v2")
    {'pool': 'realtime', 'bundle': 'v2'}
    """
    if text == EVERYTHING:
        return {}
    return dict(part.split("=", 1) for part in text.split(","))


def may_overlap(one: str, other: str) -> bool:
    """Whether one turn can be of both slices: no dimension has two values.

    >>> may_overlap("pool=realtime", "region=eu-west-1"), may_overlap("pool=realtime", "pool=batch,region=eu-west-1")
    (True, False)
    """
    mine, others = slice_dimensions(one), slice_dimensions(other)
    return all(others.get(name, value) == value for name, value in mine.items())


def cut_of(text: str) -> str:
    """The name of the cut that a slice belongs to (`families.Cut.name`)."""
    return ",".join(slice_dimensions(text)) or EVERYTHING


@lru_cache(maxsize=200_000)
def without_dimension(text: str, name: str) -> str:
    """The slice without one of its dimensions; itself where it has not got it.

    >>> without_dimension("pool=realtime,bundle=v2,language=de", "bundle"), without_dimension("bundle=v2", "bundle")
    ('pool=realtime,language=de', 'all')
    """
    kept = [f"{key}={value}" for key, value in slice_dimensions(text).items() if key != name]
    return ",".join(kept) or EVERYTHING


def owner_text(text: str, owned_without: tuple[str, ...]) -> str:
    """What of a slice decides which shard owns it (`Family.owned_without`)."""
    for name in owned_without:
        text = without_dimension(text, name)
    return text


@lru_cache(maxsize=200_000)
def shard_of(text: str, shards: int) -> int:
    """Which shard owns a slice; stable across processes, machines and library versions (xxh3)."""
    return xxhash.xxh3_64_intdigest(text.encode()) % shards
