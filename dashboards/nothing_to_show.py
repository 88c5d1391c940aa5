"""Why a panel may have nothing to show: whether that is good news, or what is missing and where to look."""

from __future__ import annotations

from dashboards.panels import Panel

_ARRIVES = "'How old is the newest' on the fleet overview says whether anything arrives."
_DECIDED = f"No objective was decided for what is chosen: nothing was reported of it, or no worker runs. {_ARRIVES}"
_TURNS = f"No turns were reported of what is chosen. {_ARRIVES}"
_STAGES = f"No stage of a turn was reported of what is chosen; recorders time stages by `turn.stage`. {_ARRIVES}"
_QUEUES = "No queue was reported of what is chosen: serving engines are scraped (`turnwatch scrape`), or recorders observe `queues`."
_FIGURES_OF_QUEUES = f"No queue that is chosen tells this figure, or none was reported. {_ARRIVES}"
_DUPLEX = "No full-duplex event was reported of what is chosen: only recorders and fleets that observe them have any."
_LABELLED = "No labelled call was reported of what is chosen; labels come days late, so look further back."
_DRIFT = f"Nothing is judged yet: an hour has to end first, and slices below the least samples are left out. {_ARRIVES}"
_COST = "Nothing was priced: nobody reported GPU time or hosted tokens of what is chosen, or no price list covers them."
_WITHHELD = "No producer told what it withheld: the collector's family `privacy` did not arrive in this range."
_NO_RELEASE = "No release that is chosen was declared by then; `turnwatch release declare` does it."
_NO_GATE = "No gate was asked about a release that is chosen by then; `turnwatch gate --release` does it."
_NOBODY_LATE = "Nothing came too late."

REASONS: dict[str, str] = {
    **dict.fromkeys(
        (
            "worst_now", "burning_now", "nearness_over_time", "burn_over_time", "budget_left_over_time",
            "budgets_at_a_glance", "objectives_kept", "spent_by_day", "corrected_by_day", "one_failure", "budgets",
            "nearness_to_a_page_by_slice", "nearness_to_a_ticket_by_slice", "completeness", "shown", "exhaustion",
        ),
        _DECIDED,
    ),
    **dict.fromkeys(
        (
            "bad_share_by_bundle", "bad_share_by_region", "bad_share_by_route", "bad_share_over_time",
            "burn_by_breakdown", "slices_that_explain", "turns_per_second", "tokens_per_second",
            "audio_per_second", "bundles", "objectives_by_bundle", "turns_by_bundle", "burn_by_bundle",
        ),
        _TURNS,
    ),
    **dict.fromkeys(
        (
            "stage_p99_over_time", "stage_p50_over_time", "stage_waterfall", "parts_by_bundle", "parts_by_route",
            "stage_growth", "stage_growth_by_bundle", "stage_growth_by_route", "stage_tails", "tail_over_time", "p95_by_bundle", "p95_by_route", "p95_by_region", "stages_by_bundle",
        ),
        _STAGES,
    ),
    **dict.fromkeys(
        (
            "queue_wait_mean", "queue_stage_p95", "queue_utilisation", "batch_occupancy", "kv_cache", "batch_share",
            "warm_streams_and_peak", "least_warm_headroom",
        ),
        _FIGURES_OF_QUEUES,
    ),
    **dict.fromkeys(("queues_worst_now", "queues_now", "queue_depth", "queue_growth"), _QUEUES),
    **dict.fromkeys(
        (
            "duplex_worst", "duplex_by_objective", "duplex_interruption_success_over_time",
            "duplex_barge_in_latency_200ms_over_time", "duplex_overlap_recovery_1500ms_over_time",
            "duplex_micro_turn_freshness_400ms_over_time", "duplex_burn_by_slice", "duplex_by_slice",
            "duplex_events_per_second", "duplex_kinds_per_turn",
        ),
        _DUPLEX,
    ),
    **dict.fromkeys(("word_error_rate_over_time", "labelled_quality_by_slice"), _LABELLED),
    **dict.fromkeys(("drift_now", "drift_times_tolerated", "drift_evidence", "drift_excess", "drift_states"), _DRIFT),
    **dict.fromkeys(
        (
            "cost_now", "cost_per_success_over_time", "cost_per_success_by_over_time", "cost_moved_by", "cost_rates",
            "cost_by_slice", "cost_parts_over_time", "cost_parts_by_model", "cost_by_bundle", "cost_month",
        ),
        _COST,
    ),
    **dict.fromkeys(("given_up", "withheld", "kept_and_generalised"), _WITHHELD),
    **dict.fromkeys(("late_over_time", "late"), _NOBODY_LATE),
    "pages_history": f"No page and no ticket was open: that is how it should be, as long as somebody looks. {_ARRIVES}",
    "replicas_needed": "It takes capacity figures: set TURNWATCH_CAPACITY__GPU_SECONDS_PER_AUDIO_SECOND for the workers. Without streams there is nothing either.",
    "replicas_needed_and_serving": "It takes capacity figures of the workers (TURNWATCH_CAPACITY__GPU_SECONDS_PER_AUDIO_SECOND), and queues that report their servers.",
    "open_findings": f"No question found anything: that is how it should be, as long as somebody looks. {_ARRIVES}",
    "age": "Nothing landed in any table in this range: no producer reports, or no worker runs.",
    "peak_streams": f"No stream began or ended in what is chosen, or none was reported. {_ARRIVES}",
    "producers": "No heartbeat of a producer arrived in this range.",
    "dropped": "No heartbeat of a producer arrived in this range.",
    "held_and_released": "Nothing had to wait for more sessions, or the collector's family `privacy` did not arrive.",
    "excluded": "No window is excluded; `turnwatch exclude add` declares one.",
    "verdicts": _NO_GATE,
    "judged": _NO_GATE,
    "looks": "No gate was asked about a release that is chosen in this range or the day before it.",
    "released": _NO_RELEASE,
    "saturated": "No queue was saturated: that is how it should be, where queues are reported.",
    "drifting": "Nothing drifts in its newest hour: that is how it should be, where 'What is known' shows steady figures.",
    "drift_tickets": f"Nobody had to be told of a change: that is how it should be, as long as somebody looks. {_ARRIVES}",
    "cost_findings": f"No cost rose beyond the tolerance: that is how it should be, as long as somebody looks. {_ARRIVES}",
    "cost_without_price": "Everything that was used has a price, or nothing was used.",
    "trust": "Nothing is known of producers, workers or tables in this range: no producer reports, or no worker runs.",
    "freshness": "No table has a row in this range or the day before it: no worker lands any.",
    "told_after": "No alert began in this range.",
    "refused_over_time": "The edge refused nothing, or the collector's family `privacy` did not arrive.",
    "counted_elsewhere": "This list is part of the board.",
}  # fmt: skip


def why_nothing(panel: Panel) -> str:
    """What it means that the panel has no rows, in a sentence or two; nothing where nobody has said."""
    return REASONS.get(panel.query.name, "")
