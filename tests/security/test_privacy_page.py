"""What the page says to whoever signs off is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from producers.session_keys import DISTRIBUTION_MS, SESSION_LIFE_MS, TENANT_LATENESS_MS
from schemas.content_fields import is_content_field
from schemas.families import K_SESSIONS_MIN
from schemas.instants import HOUR_MS
from schemas.private_values import FREE_DIMENSIONS, PHONE_DIGITS_MIN, refusals_of
from schemas.randomness import EXCESS_MAX, SEPARATOR_BITS, USUAL_BITS
from schemas.refusals import MEANINGS, Refusal

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")


def test_every_reason_is_told_in_the_order_of_precedence() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert told == [(reason.value, MEANINGS[reason]) for reason in Refusal]


def test_fields_that_are_named_are_content() -> None:
    section = PAGE.partition("### Fields of content")[2].partition("### Values")[0]
    names = [name for name in re.findall(r"`([a-z_.*0-9]+)`", section) if "/" not in name and not name.endswith(".py")]
    assert len(names) > 10
    assert [name for name in names if not is_content_field(name.replace("*", "user"))] == []


def test_dimensions_that_take_any_name_are_all_named() -> None:
    listed = PAGE.partition("Those that take any name (")[2].partition(")")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == FREE_DIMENSIONS


def test_figures_hold() -> None:
    assert f"beyond {USUAL_BITS:.0f} bits each" in PAGE and f"above {EXCESS_MAX:.0f} bits" in PAGE
    assert f"A separator takes {SEPARATOR_BITS:.0f} bits off" in PAGE
    assert refusals_of(pl.Series(["123456789", "12345678"])).to_list() == ["phone", None]
    assert PHONE_DIGITS_MIN == 10 and "ten or more in groups" in PAGE
    assert refusals_of(pl.Series(["0123456789ab", "0123456789abc"])).to_list() == [None, "high_entropy"]
    assert f"at least {K_SESSIONS_MIN} distinct sessions" in PAGE
    assert DISTRIBUTION_MS == HOUR_MS and "one to two hours after the rotation" in PAGE
    assert f"outlives {SESSION_LIFE_MS // HOUR_MS} h" in PAGE
    assert f"kept for {TENANT_LATENESS_MS // (24 * HOUR_MS)} days" in PAGE
