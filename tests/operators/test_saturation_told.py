"""What the saturation watch finds, as those are told who are woken: one alert from beginning to end, with what to do."""

from __future__ import annotations

from collections import defaultdict

from alerts.explanations import Links, Paging
from alerts.findings import Found, step
from alerts.incident_scope import OpenIncidents
from alerts.openslo import load_slos
from schemas.burns import LAST_INSTANT_MS
from schemas.families import QUEUES, STAGE_LATENCIES
from schemas.findings import FindingAlert
from stream_jobs.operators.saturation.watch import SaturationWatch
from tests.operators.queue_worlds import LLM, POOL, queue, queue_minute, stage_minute, stated
from tests.operators.worlds import START_MS

DEPTHS = [5, 5, 40, 80, 120, 5, 5, 40, 5, 5, 5, 5, 5, 5]
BATCH_FROM, BATCH_TO = 1, 4
PAGING = Paging(slos={slo.name: slo for slo in load_slos()}, links=Links(runbooks="https://git.example/main"))


def told() -> dict[str, list[FindingAlert]]:
    """By alertname everything that was news."""
    watch, state, news = SaturationWatch(0), Found(), defaultdict(list)
    for number, depth in enumerate(DEPTHS):
        batch = 200 * (BATCH_FROM <= number < BATCH_TO)
        line = queue(depth, DEPTHS[number - 1] if number else None, batch_arrivals=batch, busy_ms=200_000)
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): line}), START_MS)
        watch.tell(
            STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): [1_500.0 if depth > 30 else 300.0] * 20}), START_MS
        )
        for said in stated(watch, number):
            incidents = OpenIncidents(found=state.open, before_ms=LAST_INSTANT_MS)
            stepped = step(state, said, PAGING, incidents, now_ms=said.decided_ms)
            state = stepped.found
            for alert in stepped.news:
                news[alert.labels["alertname"]].append(alert)
    return news


def test_a_saturation_is_one_page_with_its_queue_what_to_do_and_where_to_read_on() -> None:
    news = told()
    assert {name: [each.state for each in alerts] for name, alerts in news.items()} == {
        "Saturated": ["firing", "resolved"],
        "BatchOnRealtimePool": ["firing", "resolved"],
    }
    page, ticket = news["Saturated"][0], news["BatchOnRealtimePool"][0]
    wanted = {"severity": "page", "slice": POOL, "pool": "realtime", "queue": LLM, "question": "saturation"}
    assert page.labels.items() >= (wanted | {"owner": "capacity"}).items()
    assert "incident" in page.labels and "incident" not in ticket.labels
    assert (ticket.labels["severity"], ticket.labels["pool"]) == ("ticket", "realtime")
    assert page.annotations["action"].startswith("Shed the batch work, 31 % of what came in the last minute. ")
    assert page.annotations["runbook_url"] == "https://git.example/main/docs/runbooks/saturation.md"
    assert page.annotations["advice"] == "shed_batch_or_add_capacity"
    assert not any(name.startswith("found_") for name in page.annotations), "no figure has a name that is taken"
