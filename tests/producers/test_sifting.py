"""What cannot be right is refused, once, under the first reason that it gives; the rest is kept as it came."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from producers.counting import sifted
from producers.observations import KINDS, LATENCIES, LATENCY_MS_MAX, with_unsaid
from producers.sifting import AMOUNT_MAX
from schemas.refusals import Refusal
from tests.producers.observed import OBSERVED

NAN, INFINITE = float("nan"), float("inf")

BROKEN: list[tuple[str, dict[str, Any], Refusal]] = [
    ("turns", {"session": None}, Refusal.NO_SESSION),
    ("turns", {"is_error": None}, Refusal.MALFORMED),
    ("turns", {"tokens_in": None}, Refusal.MALFORMED),
    ("turns", {"tokens_in": -1}, Refusal.NEGATIVE),
    ("turns", {"tokens_in": AMOUNT_MAX + 1}, Refusal.INCONSISTENT),
    ("turns", {"ended_at_ms": -1}, Refusal.NEGATIVE),
    ("turns", {"retrieval_ms": NAN}, Refusal.NOT_FINITE),
    ("turns", {"turn_ms": INFINITE}, Refusal.NOT_FINITE),
    ("turns", {"turn_ms": -0.1}, Refusal.NEGATIVE),
    ("turns", {"turn_ms": LATENCY_MS_MAX + 1}, Refusal.INCONSISTENT),
    ("turns", {"jitter_ms": NAN}, Refusal.NOT_FINITE),
    ("turns", {"turn_ms": 9.0, "heard_ms": None, "vad_ms": 5.0, "network_ms": 5.1}, Refusal.INCONSISTENT),
    ("turns", {"turn_ms": None, "heard_ms": 9.0, "vad_ms": 5.0, "network_ms": 5.1}, Refusal.INCONSISTENT),
    ("turns", {"turn_ms": 9.0, "first_audio_ms": 10.1}, Refusal.INCONSISTENT),
    ("turns", {"turn_ms": 9.0, "heard_ms": 10.1}, Refusal.INCONSISTENT),
    ("turns", {"tool_calls": 1, "tool_calls_unsafe": 2}, Refusal.INCONSISTENT),
    ("turns", {"pool": "private"}, Refusal.OUTSIDE_VOCABULARY),
    ("turns", {"route": None}, Refusal.OUTSIDE_VOCABULARY),
    ("turns", {"tenant": "Example Ltd"}, Refusal.OUTSIDE_VOCABULARY),
    ("queues", {"host": None}, Refusal.MALFORMED),
    ("queues", {"queue": "llm"}, Refusal.OUTSIDE_VOCABULARY),
    ("queues", {"depth": -1}, Refusal.NEGATIVE),
    ("queues", {"kv_blocks": 1, "kv_blocks_used": 2}, Refusal.INCONSISTENT),
    ("queues", {"drafts_proposed": 1, "drafts_accepted": 2}, Refusal.INCONSISTENT),
    ("quality", {"session": None}, Refusal.NO_SESSION),
    ("quality", {"entities": 1, "entity_errors": 2}, Refusal.INCONSISTENT),
    ("quality", {"word_errors": 100_001}, Refusal.INCONSISTENT),
    ("quality", {"consent": "perhaps"}, Refusal.OUTSIDE_VOCABULARY),
    ("costs", {"turns": 1, "successes": 2}, Refusal.INCONSISTENT),
    ("costs", {"turns": 2, "gpu_used_ms": 7_200_002}, Refusal.INCONSISTENT),
    ("costs", {"gpu_reserved_ms": -5}, Refusal.NEGATIVE),
    ("releases", {"is_start": None}, Refusal.MALFORMED),
    ("releases", {"artifact_kind": "voiceprint"}, Refusal.OUTSIDE_VOCABULARY),
    ("releases", {"artifact": "Prompt of the day!"}, Refusal.FREE_TEXT),
]


def with_one_broken(kind: str, change: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sound observations, and the same with their second one changed; of a turn's times nothing else is known then."""
    sound = OBSERVED[kind](1)
    rows = sound.to_dicts()
    rows[1] |= (dict.fromkeys(LATENCIES.values()) if kind == "turns" else {}) | change
    return sound, pl.DataFrame(rows, schema=sound.schema)


@pytest.mark.parametrize("kind", OBSERVED)
def test_what_can_be_right_is_kept_as_it_came(kind: str) -> None:
    sound = OBSERVED[kind](2)
    found = sifted(kind, sound)
    assert found.refused == 0 and found.sound.equals(sound)


@pytest.mark.parametrize(("kind", "change", "reason"), BROKEN, ids=lambda each: str(each))
def test_each_contradiction_has_its_reason_and_takes_nothing_else_along(
    kind: str, change: dict[str, Any], reason: Refusal
) -> None:
    sound, broken = with_one_broken(kind, change)
    found = sifted(kind, broken)
    assert found.reasons.as_dict() == {reason.value: 1}
    assert found.sound.equals(pl.concat([sound[:1], sound[2:]]))


def test_on_a_bound_is_within_it() -> None:
    for change in (
        {"turn_ms": LATENCY_MS_MAX},
        {"turn_ms": 9.0, "heard_ms": None, "vad_ms": 5.0, "network_ms": 5.0},  # A whole ms is rounding.
        {"tokens_in": AMOUNT_MAX},
        {"tool_calls": 2, "tool_calls_unsafe": 2},
    ):
        assert sifted("turns", with_one_broken("turns", change)[1]).refused == 0


def test_what_breaks_several_rules_is_counted_once_under_the_first_reason() -> None:
    _, broken = with_one_broken("turns", {"pool": "private", "session": None, "turn_ms": -1.0, "jitter_ms": NAN})
    assert sifted("turns", broken).reasons.as_dict() == {Refusal.OUTSIDE_VOCABULARY.value: 1}
    _, broken = with_one_broken("turns", {"session": None, "turn_ms": -1.0, "jitter_ms": NAN})
    assert sifted("turns", broken).reasons.as_dict() == {Refusal.NOT_FINITE.value: 1}


def test_nothing_is_lost_between_what_is_kept_and_what_is_refused() -> None:
    rows = OBSERVED["turns"](3).to_dicts()
    changes = [change for kind, change, _ in BROKEN if kind == "turns"]
    for place, change in enumerate(changes):
        rows[place * 3] |= change
    turns = pl.DataFrame(rows, schema=KINDS["turns"])
    found = sifted("turns", turns)
    assert len(found.sound) + found.refused == len(turns) and found.refused == len(changes)


def test_what_a_producer_leaves_out_is_unknown_or_nothing_but_never_a_refusal() -> None:
    turns = OBSERVED["turns"](4).drop("tenant", "retries", "jitter_ms", "is_success")
    found = sifted("turns", turns)
    assert found.refused == 0
    assert found.sound.equals(with_unsaid(turns, KINDS["turns"]))
    assert found.sound.select("tenant", "retries", "jitter_ms", "is_success").unique().rows() == [("*", 0, None, None)]
