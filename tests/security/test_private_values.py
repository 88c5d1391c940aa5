"""What is private is recognised, and what fleets call their things is not taken for it."""

from __future__ import annotations

import polars as pl
import pytest

from schemas.content_fields import is_content_field
from schemas.dimensions import DIMENSIONS
from schemas.private_values import FREE_DIMENSIONS, PASSED_MAX, is_host_name, private_reasons, refusals_of
from schemas.randomness import EXCESS_MAX, excess_bits
from schemas.refusals import Refusal
from tests.security.fit_names import rows, surprisal_bits
from tests.security.planted import LEGAL, LONG, PRIVATE, keys, uuids

SEED = 20_261_121
HEX = "0123456789abcdef"


@pytest.mark.parametrize(
    ("reason", "value"), [(reason, value) for each in (PRIVATE, LONG) for reason in each for value in each[reason]]
)
def test_what_is_private_is_refused_for_its_reason(reason: Refusal, value: str) -> None:
    assert refusals_of(pl.Series([value])).to_list() == [reason.value]


def test_names_of_fleets_pass() -> None:
    assert private_reasons(LEGAL) == {}


def test_what_passed_passes_again_and_what_did_not_is_remembered_nowhere() -> None:
    for _ in range(2):
        assert private_reasons(["support", "4915112345678"]) == {"4915112345678": Refusal.PHONE}
    assert private_reasons(f"route-{number}" for number in range(PASSED_MAX + 10)) == {}
    assert private_reasons(["support"]) == {}


@pytest.mark.parametrize(
    ("values", "missed_max"),
    [
        (uuids(SEED, 4_000), 0.0),
        (keys(SEED, 4_000, 16, HEX), 0.0),
        (keys(SEED, 4_000, 32, HEX), 0.0),
        (keys(SEED, 4_000, 24), 0.001),
        (keys(SEED, 4_000, 20), 0.02),
        (keys(SEED, 4_000, 16), 0.10),
    ],
    ids=["uuid", "16 hex", "32 hex", "24 letters and digits", "20 letters and digits", "16 letters and digits"],
)
def test_random_values_are_refused_as_often_as_is_documented(values: list[str], missed_max: float) -> None:
    assert 1 - len(private_reasons(values)) / len(set(values)) <= missed_max, f"seed {SEED}"


def test_abbreviated_commits_pass() -> None:
    for digits in (7, 8, 12):
        commits = [commit for commit in keys(SEED, 4_000, digits, HEX) if not commit.isdigit()]
        assert private_reasons(f"bundle-{commit}" for commit in commits) == {}


def test_the_excess_of_a_stretch_does_not_depend_on_what_surrounds_it() -> None:
    alone, within = excess_bits(pl.Series(["q8fj2kz0x7vb3nw9ty5h", "the-voice-q8fj2kz0x7vb3nw9ty5h-of-support"]))
    assert alone > EXCESS_MAX and within > EXCESS_MAX
    assert excess_bits(pl.Series(["", None, "voice-" * 200], dtype=pl.String)).le(EXCESS_MAX).all()
    assert len(excess_bits(pl.Series([], dtype=pl.String))) == 0


def test_the_table_can_be_fitted_anew() -> None:
    table = rows(surprisal_bits(["banana"] * 50))
    assert len(table) == 28 and set(map(len, table)) == {28}
    b, n = 1, 13
    assert table[0][n] < table[0][b] < "z"


def test_every_dimension_that_takes_any_name_is_watched() -> None:
    loose = {
        name for name, declared in DIMENSIONS.items() if declared.pattern and "q8fj2kz0x7vb3nw9ty5h" in _taken(name)
    }
    assert loose == FREE_DIMENSIONS


def _taken(dimension: str) -> pl.Series:
    value = pl.Series(["q8fj2kz0x7vb3nw9ty5h"])
    return value.filter(value.str.contains(DIMENSIONS[dimension].full_pattern))


@pytest.mark.parametrize(
    ("name", "is_host"),
    [
        ("eu-west-1-collector-0", True),
        ("gateway-5d78c9bcf7-x2k4z", True),
        ("vllm-decode-g5bxk", True),
        ("ip-10-0-12-7", True),
        ("4915112345678", False),
        ("9f86d081884c7d659a2feaa0c55ad015", False),
        ("ana-at-example.com", False),
    ],
)
def test_hosts_may_be_told_and_people_and_keys_may_not(name: str, is_host: bool) -> None:
    assert is_host_name(name) is is_host


CONVENTIONS_SAY_SENSITIVE = {
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.evaluation.explanation",
    "gen_ai.request.stop_sequences",
    "gen_ai.prompt",
    "gen_ai.completion",
}


def test_of_the_conventions_names_exactly_those_of_content_are_content() -> None:
    attributes = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes",
        reason="pip install opentelemetry-semantic-conventions",
    )
    names = {value for name, value in vars(attributes).items() if name.startswith("GEN_AI_") and isinstance(value, str)}
    assert {name for name in names if is_content_field(name)} == CONVENTIONS_SAY_SENSITIVE & names
    assert len(names) > 40


@pytest.mark.parametrize(
    "name",
    [
        *sorted(CONVENTIONS_SAY_SENSITIVE),
        "gen_ai.prompt.0.content",
        "gen_ai_completion_1_tool_calls_0_arguments",
        "Gen-AI.Input.Messages",
        "gen_ai.user.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "traceloop.entity.input",
        "llm.prompts.0.user",
        "llm.input_messages.0.message.content",
        "input.value",
        "retrieval.documents.0.document.content",
        "transcript",
        "speaker_embedding",
    ],
)
def test_names_of_content_are_known_in_every_spelling(name: str) -> None:
    assert is_content_field(name)


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.input_tokens",
        "gen_ai.request.model",
        "gen_ai.prompt.name",
        "gen_ai.client.token.usage",
        "llm.usage.total_tokens",
        "llm.is_streaming",
        "audio_in_ms",
        "tokens_in",
        "model_name",
        "inputs",
    ],
)
def test_names_of_measures_and_models_are_not(name: str) -> None:
    assert not is_content_field(name)
