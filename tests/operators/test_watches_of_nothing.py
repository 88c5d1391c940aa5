"""A question about families that nobody reports says nothing, and saves nothing after where it began, at every look."""

from __future__ import annotations

import pytest

from schemas.families import FAMILIES
from schemas.prices import NO_PRICES
from stream_jobs.operators.abuse.watch import AbuseWatch
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.pricing_watch import PricingWatch
from stream_jobs.operators.drift.watch import DriftWatch
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.stages.growth import GrowthWatch
from stream_jobs.operators.totals.reach import LIVE, REPLAYED, Patience
from stream_jobs.operators.totals.traffic import Traffic
from stream_jobs.operators.watching import Watch
from tests.operators.test_drift_in_traffic import partial
from tests.operators.worlds import START_MS

WATCHES: tuple[Watch, ...] = (
    PricingWatch(0, Pricing(NO_PRICES)),
    SaturationWatch(0),
    AbuseWatch(0),
    DriftWatch(0, 1),
    GrowthWatch(0),
)
OF_ANY = {family.name for watch in WATCHES for family in watch.families}
REPORTED = next(family for name, family in FAMILIES.items() if name not in OF_ANY)


@pytest.mark.parametrize("patience", [LIVE, REPLAYED], ids=["live", "replayed"])
@pytest.mark.parametrize("watch", WATCHES, ids=lambda watch: type(watch).__name__)
def test_what_nobody_reports_is_no_news(watch: Watch, patience: Patience) -> None:
    traffic = Traffic(1, patience=patience, watches=(watch,))
    for minute in range(3):
        start_ms = START_MS + minute * 60_000
        traffic.apply(partial(REPORTED, start_ms, {}))
        assert all(rows.num_rows for _, rows in traffic.rollups())
        assert list(traffic.statements(start_ms + 120_000)) == []
        saved = list(watch.unsaved_blocks(minute))
        assert not minute or saved == []
