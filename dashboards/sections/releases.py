"""Panels about releases: what is in them, what gates said, and how bundles compare."""

from __future__ import annotations

from dashboards.panels import CALM, OKABE_ITO, PAGE, TICKET, TIMES, Chart, Column, Grid, Place
from dashboards.queries import releases
from dashboards.queries.burn_rate import Watched
from dashboards.variables import BURN_UID, RELEASES_UID, STAGES_UID, drill_down

_DECISIONS = {"continue": CALM, "pause": TICKET, "rollback": PAGE}
_OUTCOMES = {"inside": CALM, "undecided": TICKET, "insufficient": TICKET, "worse": PAGE}
_ONE_BUNDLE = drill_down("bundle", to=RELEASES_UID)


def verdicts() -> Grid:
    columns: dict[str, Column] = {
        "decision": Column(words=_DECISIONS, width=100),
        "bundle": Column(link=_ONE_BUNDLE, width=130),
        "baseline": Column(width=130),
        "because": Column(width=320),
        "blockers": Column(width=220),
        "way_back": Column(width=220),
        **{name: Column("dateTimeAsIso") for name in ("at", "from_at", "to_at")},
    }
    meaning = (
        "The newest verdict of each release, the newest first: continue, pause or rollback, why, and the smallest declared step that "
        "restores what got worse. Of a release without a row nobody has asked a gate: that is no good news."
    )
    return Grid(releases.VERDICTS, "Newest verdicts", meaning, Place(24, 7), columns)


def judged() -> Grid:
    columns: dict[str, Column] = {
        "outcome": Column(words=_OUTCOMES, width=110),
        "bundle": Column(width=130),
        "slice": Column(width=200),
        "metric": Column(width=170),
        **{name: Column("none") for name in ("baseline_value", "candidate_value", "allowed", "low", "high")},
        "baseline_samples": Column("short"),
        "candidate_samples": Column("short"),
        "because": Column(width=320),
    }
    meaning = (
        "What the newest verdict of each release was judged by, metric by metric in its own unit; what got worse first. It is worse "
        "where even the lower bound of how much worse it is ('low') is above what is allowed, inside where the upper one is not."
    )
    return Grid(releases.JUDGED, "What they were judged by", meaning, Place(24, 9), columns)


def looks() -> Grid:
    columns: dict[str, Column] = {
        "at": Column("dateTimeAsIso"),
        "decision": Column(words=_DECISIONS, width=100),
        "because": Column(width=320),
    }
    meaning = "Every look that a gate took in the range and in the day before it, the newest first: when a release turned bad."
    return Grid(releases.LOOKS, "Every look", meaning, Place(10, 9), columns)


def released() -> Grid:
    columns: dict[str, Column] = {
        "bundle": Column(link=_ONE_BUNDLE, width=130),
        "at": Column("dateTimeAsIso"),
        "artifact_kind": Column(width=120),
        "owner": Column(width=120),
        "ways_back": Column(width=240),
    }
    meaning = (
        "Every bundle as it was declared last, the newest first, artifact by artifact: its version, who answers for it, what it was "
        "made from, its evaluation, the version to go back to, and the declared ways back."
    )
    return Grid(releases.RELEASED, "What is in them, and the way back", meaning, Place(14, 9), columns)


def bundles() -> Grid:
    columns: dict[str, Column] = {
        "pool": Column(width=80),
        "bundle": Column(link=_ONE_BUNDLE, width=140),
        "turns": Column("short"),
        "share_of_turns": Column(bar=OKABE_ITO[0]),
        "errors": Column("percentunit", 3),
        "abandoned": Column("percentunit", 3),
        "mean_turn_ms": Column("ms", 1),
        "first_seen": Column("dateTimeAsIso"),
        "last_seen": Column("dateTimeAsIso"),
    }
    meaning = (
        "What each bundle served in the range, the largest of each pool first: its part of the turns, the shares that failed and that "
        "users abandoned, and the mean turn. A bundle with few turns says little yet."
    )
    return Grid(releases.BUNDLES, "Bundles side by side", meaning, Place(24, 7), columns)


def objectives(watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=220),
        "pool": Column(width=80),
        "bundle": Column(link=drill_down("slo", "pool", "bundle", to=BURN_UID), width=140),
        "bad": Column("short"),
        "total": Column("short"),
        "bad_share": Column("percentunit", 3),
        "others_bad_share": Column("percentunit", 3),
        "added": Column("percentunit", 3),
        "burn": Column("none", 2),
    }
    meaning = (
        "Each objective's bad share in each bundle beside that of all other bundles together; what a bundle adds most, measured by "
        "the objective's budget, first. Bundles that serve different slices are not alike: narrow both to one region and route."
    )
    return Grid(releases.objectives_by_bundle(watched), "Objectives, by bundle", meaning, Place(24, 10), columns)


def stages() -> Grid:
    milliseconds = Column("ms", 1)
    columns: dict[str, Column] = {
        "pool": Column(width=80),
        "stage": Column(width=150),
        "bundle": Column(link=drill_down("pool", "bundle", to=STAGES_UID), width=140),
        "observed": Column("short"),
        **dict.fromkeys(("mean_ms", "p95_ms", "p99_ms", "p95 added", "p99 added"), milliseconds),
        "against": Column(width=140),
    }
    meaning = (
        "Latency of every stage in the turn's order, bundle beside bundle; 'added' is against the bundle that had most of that stage. "
        "The first part with a large addition is what changed; the wholes follow from it."
    )
    return Grid(releases.STAGES_BY_BUNDLE, "Stages, by bundle", meaning, Place(24, 12), columns)


def cost() -> Grid:
    dollars = Column("currencyUSD", 5)
    columns: dict[str, Column] = {
        "pool": Column(width=80),
        "bundle": Column(width=140),
        "turns": Column("short"),
        "successes": Column("short"),
        "success_share": Column("percentunit", 2),
        "used_usd": Column("currencyUSD", 2),
        "used_usd_per_success": dollars,
        "reserved_usd": Column("currencyUSD", 2),
        "reserved_usd_per_success": dollars,
        "uncosted_gpu_s": Column("s", 0),
        "uncosted_tokens": Column("short"),
    }
    meaning = (
        "Dollars per successful turn of each bundle, the dearest first: of what its turns used, and of what was reserved for it, idle "
        "included. Without a success there is no figure, and the row is first. What has no price is beside it, never guessed."
    )
    return Grid(releases.COST_BY_BUNDLE, "Cost per success, by bundle", meaning, Place(24, 7), columns)


def turns() -> Chart:
    meaning = "Turns per second of each pool and bundle: when a release began to serve, how fast it grew, and whether it was taken back."
    return Chart(
        releases.TURNS_BY_BUNDLE, "Turns, by bundle", meaning, "count:turns/s", Place(12, 9), axis="turns per second"
    )


def burn(watched: Watched) -> Chart:
    meaning = (
        "Bad share over what the objective allows, step by step, of each objective and bundle; the eight with the highest peak. A line "
        "that leaves its twin of the other bundle after a release's mark is what the release did."
    )
    return Chart(
        releases.burn_by_bundle(watched), "Burn, by bundle", meaning, TIMES, Place(12, 9), axis="times allowed spending"
    )
