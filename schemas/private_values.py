"""Values that may not leave a host, whatever field they stand in: how they are recognised.

Each rule is a pattern or a statistic over distinct values, in columns. A value is refused for the first rule that it breaks.
What the rules cannot know stays possible: a surname is a legal name of a route, and eight random letters look like an
abbreviation. So values are only ever taken into dimensions that declare a vocabulary or a pattern; these rules
watch the dimensions whose pattern is any name (`FREE_DIMENSIONS`), and say why other values were refused.

A date or an instant (`20261121`, `2026-11-21`, `20261121153000`, years 2020 to 2039) is no telephone number, and up to 12
hexadecimal digits between separators are an abbreviated commit, no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from schemas.dimensions import DIMENSIONS, SLUG
from schemas.randomness import EXCESS_MAX, LOOKED_AT_BYTES, excess_bits
from schemas.refusals import Refusal

FREE_DIMENSIONS = frozenset(name for name, dimension in DIMENSIONS.items() if dimension.pattern == SLUG)
"""Dimensions that allow any name. The others' vocabularies and patterns are too narrow for anything private."""

NAME_LENGTH_MAX = 63
ENCODED_LENGTH_MIN, ENCODED_EXCESS_MIN = 200, 200.0
"""So many characters without a space that bytes could be encoded in are bytes, if they look like those: capital and small letters
and digits among each other, as in base64, or as random. Many words without a space between them have less than 200 bits of excess."""
CHARACTERS_MIN = 16
"""What is longer than a name and has fewer different characters repeats itself: that is no key, and no bytes either."""

_DATE = r"20[23][0-9]([._-]?)(?:0[1-9]|1[0-2])[._-]?(?:0[1-9]|[12][0-9]|3[01])"
_STAMP = rf"(^|[^0-9+])(?:{_DATE}(?:T?[0-9]{{2}}(?:[0-9]{{2}}){{0,2}}Z?)?)($|[^0-9])"
_SHORT_HASH = r"(?i)(^|[._-])g?[0-9a-f]{4,12}($|[._-])"
_MIXED_HASH = r"(?i)(^|[._-])g?[0-9]*[a-f][0-9a-f]*($|[._-])"
"""Digits among hexadecimal letters are no telephone number; of more than 12 of them, they are a key."""

_MEDIA = r"^(?:data:[a-z]+/|UklGR|SUQz|T2dnUw|ZkxhQ|iVBORw0KGgo|/9j/4|GkXfo|RIFF|OggS|fLaC)"
_ENCODED = rf"^[A-Za-z0-9+/_=-]{{{ENCODED_LENGTH_MIN},}}$"
_NUMBERS = r"-?[0-9]*\.[0-9]+(?:e-?[0-9]+)?(?:\s*[,; ]\s*-?[0-9]*\.?[0-9]+(?:e-?[0-9]+)?){7,}"
_EMAIL = r"(?i)[a-z0-9._%+-]+(?:@|%40|\(at\)|\[at\])[a-z0-9.-]+\.[a-z]{2,}"
_EMAIL_SPELLED = r"(?i)[a-z0-9][._-]at[._-][a-z0-9-]+(?:\.|[._-]dot[._-])(?:com|org|net|edu|gov|io|[a-z]{2})$"
_PHONE_RUN = r"[0-9]{9,}"
_PHONE_PLUS = r"\+[1-9](?:[ ().-]*[0-9]){6,14}"
_PHONE_GROUPS = tuple(
    rf"(?:^|[^0-9A-Za-z])((?:[0-9]{{1,4}}{by})?\(?[0-9]{{2,5}}\)?(?:{by}[0-9]{{2,8}}){{1,4}})(?:$|[^0-9A-Za-z])"
    for by in ("-", r"\.", "_", r"[ /()-]+")
)
PHONE_DIGITS_MIN = 10
"""Fewer digits in groups are a version or a range; in one run, 9 are enough."""
_UUID = r"(?i)[0-9a-f]{8}[._-]?(?:[0-9a-f]{4}[._-]?){3}[0-9a-f]{12}"
_HEX = r"(?i)[0-9a-f]{13,}"
_TOKEN = (
    r"(?i)^(?:(?-i:eyJ)[a-z0-9_-]{6,}|gh[opsu]_[a-z0-9]{20,}|github_pat_|glpat-[a-z0-9_-]{16,}|xox[abprs]-[a-z0-9-]{10,}"
    r"|(?:akia|asia)[0-9a-z]{12,}|aiza[a-z0-9_-]{20,}|hf_[a-z0-9]{20,}|sk-(?:proj|ant|svcacct)-|sk-[a-z0-9]{32,}|[rs]k_(?:live|test)_"
    r"|(?:bearer|basic)\s|-----begin)"
)
_WORDS = r"\S\s+\S+\s+\S"


_POD_LETTERS = "bcdfghjklmnpqrstvwxz"
_POD_RANDOM = f"-(?=[0-9]*[{_POD_LETTERS}])[{_POD_LETTERS}2456789]"
_POD_SUFFIX = re.compile(f"(?:{_POD_RANDOM}{{5,10}})?{_POD_RANDOM}{{5}}$")
"""What Kubernetes appends to the name of a pod, in its alphabet: of the template, and of the pod. Either without a letter (1 pod in 400) is
left where it is: it may be half a telephone number."""

PASSED_MAX = 65_536
_PASSED: set[str] = set()
"""Names that were looked at and passed: the same few come back in every batch. What did not pass is remembered nowhere."""


def private_reasons(values: Iterable[str]) -> dict[str, Refusal]:
    """Which of these texts may not leave a host, and why.

    >>> private_reasons(["support-billing", "4915112345678", "2026.11.21-4f2a91c"])
    {'4915112345678': <Refusal.PHONE: 'phone'>}
    """
    fresh = [value for value in values if value not in _PASSED]
    if not fresh:
        return {}
    # JSON can spell halves of characters, which no column can hold.
    readable = [value if value.isascii() else value.encode("utf-8", "replace").decode() for value in fresh]
    reasons = refusals_of(pl.Series("value", readable, dtype=pl.String)).to_list()
    passed = [value for value, reason in zip(fresh, reasons, strict=True) if reason is None]
    if len(_PASSED) + len(passed) > PASSED_MAX:
        _PASSED.clear()
    _PASSED.update(passed[:PASSED_MAX])
    return {value: Refusal(reason) for value, reason in zip(fresh, reasons, strict=True) if reason is not None}


def is_credential(value: str) -> bool:
    """Whether a text begins as tokens and keys do that are known by their beginning: it is no name, also where names are random."""
    return re.match(_TOKEN, value) is not None


def without_pod_suffix(name: str) -> str:
    """The name without what Kubernetes appends to that of a pod.

    >>> without_pod_suffix("gateway-5d78c9bcf7-x2k4z")
    'gateway'
    """
    return _POD_SUFFIX.sub("", name)


def is_host_name(name: str) -> bool:
    """Whether a legal name of a producer may be one: what it is told by in logs and dead letters.

    >>> [is_host_name(name) for name in ("eu-west-1-collector-0", "gateway-5d78c9bcf7-x2k4z", "4915112345678")]
    [True, True, False]
    """
    return not private_reasons([without_pod_suffix(name)])


def look_at_host_names(names: Iterable[str]) -> None:
    """Judges many names at once, so that `is_host_name` finds them judged: each on its own costs a millisecond."""
    private_reasons({without_pod_suffix(name) for name in names if len(name) <= NAME_LENGTH_MAX})


def refusals_of(values: pl.Series) -> pl.Series:
    """The reason (`Refusal`) for which each text may not leave a host; null where none is known, and for nulls."""
    known = pl.DataFrame({"value": values.str.head(LOOKED_AT_BYTES * 2), "length": values.str.len_chars()})
    told = known.with_columns(told=pl.col("value").str.replace_all(_STAMP, "${1}-${3}"))
    told = told.with_columns(excess=excess_bits(told["told"].str.replace_all(_SHORT_HASH, "-")))
    told = told.with_columns(_looks(has_long=bool((told["length"] > NAME_LENGTH_MAX).any())))
    return told.select(_first_reason()).to_series().alias(values.name)


def _first_reason() -> pl.Expr:
    reason = pl.lit(None, pl.String)
    for refusal, breaks in reversed(_RULES):
        reason = pl.when(breaks).then(pl.lit(refusal.value)).otherwise(reason)
    return reason.alias("reason")


def _looks(has_long: bool) -> tuple[pl.Expr, pl.Expr]:
    """Whether each value is of enough characters to be a key, and whether it looks like encoded bytes; names are short, and
    nobody waits for what is asked of others."""
    if not has_long:
        return pl.lit(True).alias("is_varied"), pl.lit(False).alias("is_encoded")
    is_long = pl.col("length") > NAME_LENGTH_MAX
    characters = pl.when(is_long).then("value").str.split("").list.n_unique()
    is_varied = ~is_long | (characters >= CHARACTERS_MIN)
    is_mixed = pl.all_horizontal(_any("value", some) for some in ("[A-Z]", "[a-z]", "[0-9+/]"))
    looks_so = is_varied & (is_mixed | (pl.col("excess") > ENCODED_EXCESS_MIN))
    return is_varied.alias("is_varied"), (_any("value", _ENCODED) & looks_so).alias("is_encoded")


def _is_key() -> pl.Expr:
    return pl.col("is_varied") & (_any("told", _TOKEN, _UUID, _HEX) | (pl.col("excess") > EXCESS_MAX))


def _any(column: str, *patterns: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(column).str.contains(pattern) for pattern in patterns)


def _is_phone() -> pl.Expr:
    digits = (
        pl.col("told").str.extract(groups).str.replace_all("[^0-9]", "").str.len_chars() for groups in _PHONE_GROUPS
    )
    in_groups = pl.any_horizontal((count >= PHONE_DIGITS_MIN).fill_null(False) for count in digits)
    has_run = pl.col("told").str.replace_all(_MIXED_HASH, "-").str.contains(_PHONE_RUN)
    return has_run | _any("told", _PHONE_PLUS) | in_groups


_RULES: tuple[tuple[Refusal, pl.Expr], ...] = (
    (Refusal.AUDIO, _any("value", _MEDIA) | pl.col("is_encoded")),
    (Refusal.EMBEDDING, _any("value", _NUMBERS)),
    (Refusal.EMAIL, _any("value", _EMAIL, _EMAIL_SPELLED)),
    (Refusal.PHONE, _is_phone()),
    (Refusal.HIGH_ENTROPY, _is_key()),
    (Refusal.FREE_TEXT, _any("value", _WORDS) | (pl.col("length") > NAME_LENGTH_MAX)),
)
"""In the order of precedence."""
