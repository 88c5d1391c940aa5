"""Decisions, silences, growths, findings and verdicts say their format: a newer one stops the worker, an older one without a number is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas import burns, findings, growths, silences, verdicts
from schemas.burns import Quiet
from schemas.failures import Foreseen, Undecodable
from schemas.silences import Silence, SilentProducer
from tests.gates.verdicts import verdict
from tests.rules.burning import CANARY, burning, decided, suspect
from tests.rules.finding import found, saturated
from tests.rules.growing import grown, stated_growths

SUSPECTS = (suspect(CANARY, 1_000, 4_000, first_seen_s=-600),)
HOLDING = (Quiet(slo="turn-4000ms", slice=CANARY, severity="page"),)
WHOLE = decided(10, burning(), suspects=SUSPECTS, held=(burning("page_6h_30m"),), holding=HOLDING)
DECISION = json.loads(burns.encode(WHOLE))
SILENCE = json.loads(
    Silence(
        family="turns", source_partition=0, version=7, newest_ms=1_700_000_700_000, volume=1_000,
        silent=(SilentProducer(producer="host", since_ms=1_700_000_000_000, volume=500),),
    ).model_dump_json()
)  # fmt: skip
GROWTHS = json.loads(stated_growths(10, grown(CANARY)).model_dump_json())
FINDINGS = json.loads(found(10, saturated()).model_dump_json())
VERDICT = json.loads(verdict("rollback").encode())
KINDS = [
    pytest.param(burns.decode, DECISION, burns.DECISION_FORMAT, id="decision"),
    pytest.param(silences.decode, SILENCE, silences.SILENCE_FORMAT, id="silence"),
    pytest.param(growths.decode, GROWTHS, growths.GROWTH_FORMAT, id="growths"),
    pytest.param(findings.decode, FINDINGS, findings.FINDINGS_FORMAT, id="findings"),
    pytest.param(verdicts.decode, VERDICT, verdicts.VERDICT_FORMAT, id="verdict"),
]
Decode = Callable[[bytes], Any]


def changed(statement: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps(statement | changes).encode()


@pytest.mark.parametrize(("decode", "statement", "known"), KINDS)
def test_what_is_stated_says_its_format(decode: Decode, statement: dict[str, Any], known: int) -> None:
    assert statement["format"] == known


@pytest.mark.parametrize(("decode", "statement", "known"), KINDS)
def test_what_was_stated_before_there_was_a_number_is_read(
    decode: Decode, statement: dict[str, Any], known: int
) -> None:
    older = {name: value for name, value in statement.items() if name != "format"}
    assert decode(json.dumps(older).encode()) == decode(json.dumps(statement | {"format": 1}).encode())


@pytest.mark.parametrize("changes", [{}, {"new": 1}, {"gone": None}, {"burns": 7, "silent": 7}])
@pytest.mark.parametrize(("decode", "statement", "known"), KINDS)
def test_a_newer_format_stops_the_worker_whatever_else_it_says(
    decode: Decode, statement: dict[str, Any], known: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(Foreseen, match=f"format {known + 1} was read by a worker that knows {known}: deploy") as raised:
        decode(changed(statement, format=known + 1, **changes))
    assert not isinstance(raised.value, Undecodable)


def test_a_severity_that_came_later_is_no_bad_record() -> None:
    burn = DECISION["burns"][0] | {"severity": "wake_everybody"}
    with pytest.raises(Foreseen, match="deploy the newer worker") as raised:
        burns.decode(changed(DECISION, format=burns.DECISION_FORMAT + 1, burns=[burn]))
    assert not isinstance(raised.value, Undecodable)
    with pytest.raises(Undecodable):
        burns.decode(changed(DECISION, burns=[burn]))


@pytest.mark.parametrize(
    ("fields", "stated_as"),
    [(set(), 1), ({"suspects"}, 2), ({"held"}, 3), ({"holding"}, 3), ({"suspects", "held", "holding"}, 3)],
)
def test_a_decision_is_stated_in_the_oldest_format_that_can_say_it(fields: set[str], stated_as: int) -> None:
    """Or every worker of an older version would end with the first decision of a newer one, burning or not."""
    kept = {name: getattr(WHOLE, name) for name in fields}
    decision = decided(10, burning(), **kept)
    stated = json.loads(burns.encode(decision))
    assert stated["format"] == stated_as
    assert (
        stated.keys() == {"shard", "decided_ms", "completeness", "burns", "quiet", "part", "parts", "format"} | fields
    )
    assert burns.decode(burns.encode(decision)) == decision.model_copy(update={"format": stated_as})


@pytest.mark.parametrize("listed", ["burns", "held"])
@pytest.mark.parametrize("known", [{"spent_today": 0.25}, {"within_s": 7_200}])
def test_what_only_some_burns_say_raises_the_format_where_one_does(listed: str, known: dict[str, Any]) -> None:
    plain, more = burning(), burning("page_6h_30m").model_copy(update=known)
    decision = decided(10, plain).model_copy(update={listed: (plain, more)})
    stated = json.loads(burns.encode(decision))
    assert stated["format"] == 3
    assert [set(known) & burn.keys() for burn in stated[listed]] == [set(known)] * 2
    assert not {"spent_today", "within_s"} - set(known) & stated[listed][1].keys()
    assert burns.decode(burns.encode(decision)) == decision.model_copy(update={"format": 3})
    assert not {"spent_today", "within_s"} & json.loads(burns.encode(decided(10, plain)))["burns"][0].keys()


def test_a_decision_of_another_family_says_so_and_one_of_the_first_need_not() -> None:
    of_events = WHOLE.model_copy(update={"family": "duplex"})
    assert burns.decode(burns.encode(of_events)).owner == ("duplex", 0)
    assert "family" not in json.loads(burns.encode(WHOLE))


@pytest.mark.parametrize("wrong", [{"bad": 4_001}, {"total": 0}, {"first_seen_ms": -1}, {"slice": "pool"}])
def test_a_suspect_that_cannot_be_is_a_bad_record(wrong: dict[str, Any]) -> None:
    suspects = [DECISION["suspects"][0] | wrong]
    with pytest.raises(Undecodable):
        burns.decode(changed(DECISION, suspects=suspects))


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", None, True, [2]])
@pytest.mark.parametrize(("decode", "statement", "known"), KINDS)
def test_what_is_no_number_of_a_format_is_a_bad_record(
    decode: Decode, statement: dict[str, Any], known: int, number: Any
) -> None:
    with pytest.raises(Undecodable):
        decode(changed(statement, format=number, version="x", shard="x"))
