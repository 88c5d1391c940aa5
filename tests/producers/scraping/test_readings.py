"""What scrapes of each engine say: their queues, their tokens, the first tokens' latencies, and GPU time."""

from __future__ import annotations

import re

import polars as pl
import pytest

from producers.scraping.mapping import KINDS, mapping_of
from schemas.refusals import Refusal
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import Scraper, said, target

EVERYTHING = ("queues", "stages", "turns")
FIRST, SECOND = [0.2, 0.3], [0.2, 0.3, 0.04, 0.6, 0.26, 9.0, 0.2, 0.2, 0.2, 0.2]


def amounts(scraper: Scraper, before: str, after: str, kind: str = "queues") -> dict[str, object]:
    scraper.scrape(before)
    rows = said(scraper.scrape(after), kind)
    return {name: value for name, value in rows.items() if isinstance(value, int) and not name.endswith("_ms")} | {
        name: rows[name] for name in ("busy_ms", "available_ms", "gpu_reserved_ms") if name in rows
    }


def test_vllm_says_its_queue_cache_and_drafts() -> None:
    scraper = Scraper(target("vllm", families=EVERYTHING))
    before, after = shows.vllm(FIRST, waiting=1, running=2), shows.vllm(SECOND, waiting=4, running=3, usage=0.5)
    assert amounts(scraper, before, after) == {
        "depth": 4, "running": 3, "servers": 1, "served": 8, "arrivals": 8 + 7 - 3, "waited_ms_sum": 10_700,
        "kv_blocks": 573, "kv_blocks_used": 286, "preemptions": 1, "drafts_proposed": 720, "drafts_accepted": 480,
    }  # fmt: skip


def test_sglang_says_its_queue_and_cache() -> None:
    scraper = Scraper(target("sglang", families=EVERYTHING, warm_streams=64))
    before, after = shows.sglang(FIRST, waiting=1, running=2), shows.sglang(SECOND, waiting=4, running=3, usage=0.25)
    assert amounts(scraper, before, after) == {
        "depth": 4, "running": 3, "servers": 1, "warm_streams": 64, "served": 8, "arrivals": 12, "waited_ms_sum": 10_700,
        "kv_blocks": 4_000, "kv_blocks_used": 1_000, "preemptions": 1,
    }  # fmt: skip


def test_tgi_counts_arrivals_itself() -> None:
    scraper = Scraper(target("tgi", families=EVERYTHING))
    before, after = shows.tgi(FIRST, waiting=1, running=2), shows.tgi(SECOND, waiting=4, running=3)
    assert amounts(scraper, before, after) == {
        "depth": 4, "running": 3, "servers": 1, "served": 8, "arrivals": 12, "waited_ms_sum": 10_700,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["vllm", "sglang", "tgi", "triton"])
def test_a_gauge_that_is_no_number_is_no_empty_queue_and_what_was_counted_meanwhile_is_told_later(kind: str) -> None:
    """A depth of 0 and then of 4 again would be a queue that grows."""
    show, settings = getattr(shows, kind), {"batch_slots": 8, "queue": "llm_first_token", "families": EVERYTHING}
    whole, broken = Scraper(target(kind, **settings)), Scraper(target(kind, **settings))
    first, between, last = show(FIRST, waiting=1), show([*FIRST, 0.1], waiting=3), show(SECOND, waiting=4)
    (depth,) = (name for entry in mapping_of(kind).of("gauge") if entry.measure == "depth" for name in entry.names)
    no_number, replaced = re.subn(rf"(?m)^({depth}\{{.*\}}|{depth}) .*$", r"\1 NaN", between)
    assert replaced == 1
    for scraper, second in ((whole, between), (broken, no_number)):
        read = [scraper.scrape(text) for text in (first, second, last)]
        rows = [each.kinds["queues"] for each in read if "queues" in each.kinds]
        told = pl.concat(rows).select("served", "arrivals", "waited_ms_sum", "batch_slots").sum().row(0)
        if scraper is whole:
            expected = told
            assert not any(each.unknown for each in read)
        else:
            assert [set(each.kinds) & {"queues"} for each in read] == [{"queues"}, set(), {"queues"}]
            assert [len(each.unknown) for each in read] == [0, 1, 0] and read[1].refused[Refusal.NOT_FINITE]
            assert told == expected and told[0] > 0


def test_triton_tells_models_apart_and_counts_places_in_batches() -> None:
    models = {"asr_streaming": {"bundle": "v2", "queue": "asr_first_partial"}}
    scraper = Scraper(target("triton", bundle=None, models=models, batch_slots=8, families=EVERYTHING))
    before, after = shows.triton(FIRST, waiting=1), shows.triton(SECOND, waiting=4)
    assert amounts(scraper, before, after) == {
        "depth": 4, "servers": 1, "served": 8, "arrivals": 11, "waited_ms_sum": 10_700,
        "batch_slots": 16, "batch_slots_filled": 8,
    }  # fmt: skip
    rows = scraper.scrape(shows.triton([*SECOND, 0.05])).kinds
    assert rows["queues"]["queue"].to_list() == rows["rows.stages"]["stage"].to_list() == ["asr_first_partial"]


def test_dcgm_says_how_busy_gpus_are_and_that_they_are_paid_for() -> None:
    scraper = Scraper(target("dcgm", families=("queues", "costs")))
    assert amounts(scraper, shows.dcgm([10, 20]), shows.dcgm([50, 100])) == {"busy_ms": 15_000, "available_ms": 20_000}
    assert said(scraper.scrape(shows.dcgm([0, 0])), "costs")["gpu_reserved_ms"] == 20_000


@pytest.mark.parametrize("kind", ["vllm", "sglang", "tgi"])
def test_tokens_are_told_for_engines_whose_turns_nobody_else_counts(kind: str) -> None:
    scraper, show = Scraper(target(kind, families=EVERYTHING)), getattr(shows, kind)
    told = amounts(scraper, show(FIRST), show(SECOND), "rows.turns")
    assert told == {"tokens_in": 2_400, "tokens_out": 320}
    assert set(Scraper(target(kind)).scrape(show(SECOND)).kinds) == {"queues"}


def test_the_latencies_of_first_tokens_are_told_with_their_sum_and_their_coarseness() -> None:
    scraper = Scraper(target("vllm", families=EVERYTHING))
    scraper.scrape(shows.vllm(FIRST))
    rows = scraper.scrape(shows.vllm(SECOND)).kinds["rows.stages"]
    assert rows.select("stage", "scale", "bucket_index", "observations").rows() == [
        ("llm_first_token", -1, 3, 4),  # 0.1 to 0.25 s: within a factor of 4
        ("llm_first_token", 0, 4, 1),  # 0.02 to 0.04 s
        ("llm_first_token", 0, 8, 1),  # 0.25 to 0.5 s
        ("llm_first_token", 0, 9, 1),  # 0.5 to 0.75 s
        ("llm_first_token", 1, 26, 1),  # 7.5 to 10 s: within a factor of √2
    ]
    assert rows["observations"].sum() == 8
    assert rows["latency_ms_sum"].sum() == 10_700


@pytest.mark.parametrize("kind", KINDS)
def test_every_mapped_metric_of_an_engine_is_in_what_it_shows_and_says_something(kind: str) -> None:
    """So a mapping that names a metric wrongly fails here, as far as the expositions are those of the engines."""
    text = shows.dcgm([5]) if kind == "dcgm" else getattr(shows, kind)(SECOND)
    for entry in mapping_of(kind).metrics:
        assert any(f"\n{name}" in text for name in entry.names), entry.names


def test_the_older_name_of_a_metric_is_read_where_the_newer_one_is_not_shown() -> None:
    text = shows.vllm(FIRST, usage=0.5, usage_name="vllm:gpu_cache_usage_perc")
    assert said(Scraper(target()).scrape(text), "queues")["kv_blocks_used"] == 286
    both = text + 'vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.25\n'
    assert said(Scraper(target()).scrape(both), "queues")["kv_blocks_used"] == 143


def test_a_model_that_nobody_declared_is_refused() -> None:
    models = {"meta-llama/Llama-3.1-8B-Instruct": {"bundle": "v2"}}
    scraper = Scraper(target(bundle=None, models=models))
    told = scraper.scrape(shows.vllm(FIRST, model="somebody/else"))
    assert told.kinds == {} and set(told.refused) == {Refusal.OUTSIDE_VOCABULARY}
    assert said(scraper.scrape(shows.vllm(FIRST, waiting=3)), "queues")["depth"] == 3


def test_a_model_that_is_called_what_is_private_is_counted_as_that_unless_its_target_knows_it() -> None:
    private, text = "ann@example.org", shows.vllm(FIRST, waiting=3, model="ann@example.org")
    alone = Scraper(target()).scrape(text)
    assert said(alone, "queues")["depth"] == 3 and set(alone.dropped) == {Refusal.EMAIL} and not alone.refused
    others = Scraper(target(bundle=None, models={"llama": {"bundle": "v2"}})).scrape(text)
    assert others.kinds == {} and set(others.refused) == {Refusal.EMAIL} and not others.dropped
    known = Scraper(target(bundle=None, models={private: {"bundle": "v2"}})).scrape(text)
    assert said(known, "queues")["depth"] == 3 and not known.refused and not known.dropped
    assert not any(private in str(rows.rows()) for told in (alone, known) for rows in told.kinds.values())


def test_a_share_of_more_than_the_whole_is_refused_and_a_blank_is_no_number() -> None:
    told = Scraper(target()).scrape(shows.vllm(FIRST, usage=1.5))
    assert told.refused == {Refusal.INCONSISTENT: 1} and "kv_blocks_used" not in said(told, "queues")
    scraper = Scraper(target("dcgm", families=("queues",)))
    scraper.scrape(shows.dcgm([50, 50]))
    told = scraper.scrape(shows.dcgm([50, shows.DCGM_BLANK]))
    assert told.refused == {Refusal.NOT_FINITE: 1} and said(told, "queues")["available_ms"] == 10_000


def test_time_that_passed_while_an_exporter_was_away_is_not_told() -> None:
    scraper = Scraper(target("dcgm", families=("queues",)))
    scraper.scrape(shows.dcgm([50]))
    told = scraper.scrape(shows.dcgm([50]), after_ms=3_600_000)
    assert said(told, "queues")["available_ms"] == 20_000 and told.spans_gap
