"""The view `capacity`: minute by minute what each slice served at once and per second, next to what was warm for it.

A stream needs every stage, so a slice could take as many streams as the stage with the fewest warm ones. Stages that never
say how many streams they could serve are not asked, and nothing is known of slices that name a route: queues are shared
by routes. Tokens and audio are counted when their turn ends, so they come some seconds after the streams they are of.
"""

from __future__ import annotations

from schemas.families import STREAMS
from schemas.families.partitions import OPERATIONAL_CUTS
from schemas.tables import TABLES
from schemas.view_declarations import Shown

_KEYS = ("cut", "slice", *STREAMS.dimensions, "bucket_start")
_SERVED_CUTS = ", ".join(f"'{cut.name}'" for cut in OPERATIONAL_CUTS)

_PARTS = f"""SELECT {", ".join(_KEYS)}, peak_lower, peak_upper, toUInt64(0) AS audio_ms, toUInt64(0) AS tokens,
        CAST(NULL, 'Nullable(UInt64)') AS warm, '' AS stage
    FROM concurrency
    UNION ALL
    SELECT {", ".join(_KEYS)}, 0, 0, audio_in_ms + audio_out_ms, tokens_in + tokens_out, NULL, ''
    FROM traffic
    WHERE cut IN ({_SERVED_CUTS})
    UNION ALL
    SELECT {", ".join("''" if name == "route" else name for name in _KEYS)}, 0, 0, 0, 0, warm_streams, queue
    FROM queues
    WHERE warm_streams > 0"""


def capacity_select() -> str:
    """The statement of the view, over `concurrency`, `traffic` and `queues`."""
    return f"""SELECT {", ".join(_KEYS)},
    max(peak_lower) AS streams_peak_lower,
    max(peak_upper) AS streams_peak_upper,
    sum(audio_ms) / 60000 AS audio_seconds_per_s,
    sum(tokens) / 60 AS tokens_per_s,
    min(warm) AS warm_streams,
    argMin(stage, warm) AS warm_least_at,
    toInt64(min(warm)) - toInt64(max(peak_upper)) AS warm_headroom
FROM (
    {_PARTS})
GROUP BY {", ".join(_KEYS)}"""


def capacity_columns() -> tuple[Shown, ...]:
    """What the columns of the view mean."""
    comments = {column.name: column.comment for column in TABLES["concurrency_1m"].columns}
    return (
        *(Shown(name, comments[name]) for name in _KEYS),
        Shown("streams_peak_lower", "most streams at once if, within a second, ends came before starts", "streams"),
        Shown("streams_peak_upper", "most streams at once if, within a second, starts came before ends", "streams"),
        Shown("audio_seconds_per_s", "audio of both sides, of turns that ended", "seconds per second"),
        Shown("tokens_per_s", "tokens in and out, of turns that ended", "tokens per second"),
        Shown("warm_streams", "streams that the stage with the fewest warm ones can serve; null where no stage tells", "streams"),
        Shown("warm_least_at", "that stage"),
        Shown("warm_headroom", "warm_streams - streams_peak_upper; null where no stage tells", "streams"),
    )  # fmt: skip
