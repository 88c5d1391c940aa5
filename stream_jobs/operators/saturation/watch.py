"""Which queue grows faster than it is served, how long until it breaks, and what to do: minute by minute, for findings.

A queue is saturated in a minute in which it grew by 25 requests and its latency reached 1,200 ms, both (`saturation.py`,
`queue_pressure.py`); a realtime pool may have batch work besides (`batch_work.py`). Such a minute begins an episode
(`queue_episodes.py`); while one lasts it is stated each minute, with its figures (`queue_figures.py`) and the sentences they
make (`saturation_wording.py`). It is a page where a realtime pool breaks its wait objective within `PAGE_WITHIN_S`, and a
ticket elsewhere. Slices are those that queues are cut into: a bundle's own tells whether its growth began with its
deployment (`new_bundles.py`), which lands in the same shard.

A minute is decided once queues are, and stages are too or `STAGES_WAIT_MS` behind: where nobody times stages, queues speak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl
import pyarrow as pa

from schemas.families import QUEUES, RELEASES, STAGE_LATENCIES, Family
from schemas.findings import LISTED_MAX, Finding, Findings
from schemas.instants import MINUTE_MS
from schemas.slices import cut_of
from schemas.topics import FINDINGS
from stream_jobs.operators.kept_minutes import STATED_MAX, newly_ended
from stream_jobs.operators.saturation.batch_work import IS_REALTIME, loaded_slices
from stream_jobs.operators.saturation.queue_episodes import IDENTITY, SHOWN, QueueEpisodes
from stream_jobs.operators.saturation.queue_figures import (
    LOOKED_AT_MS,
    NOW_MINUTES,
    as_it_shrinks,
    before,
    figures,
    with_regions,
)
from stream_jobs.operators.saturation.queue_minutes import PAIR, SLICES_MAX, QueueMinutes
from stream_jobs.operators.saturation.queue_pressure import (
    CHAIN,
    CLIMB_MS,
    SaturationRule,
    climbs,
    grew_first,
    grown,
    timed,
)
from stream_jobs.operators.saturation.wording import (
    BATCH_ON_REALTIME,
    SATURATED,
    Row,
    batch_on_realtime,
    saturated,
    still,
)
from stream_jobs.operators.stages.new_bundles import NewBundles
from stream_jobs.operators.stages.tails import tails
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json
from stream_jobs.operators.totals.reach import DECIDING_SHARE
from stream_jobs.operators.watching import Known, Statement

QUESTION = "saturation"
HOLDS_S = 300
PAGE_WITHIN_S = 900.0
STAGES_WAIT_MS = 2 * MINUTE_MS
STAGES_KEPT_MS = 10 * MINUTE_MS
"""Before those that may still change: a replay decides queues so much later (`REPLAYED`), and where nobody tells queues
nothing is ever decided."""
_MARKER = f"{QUEUES.name}|decided|{QUESTION}".encode()
_FiguresOf = Mapping[tuple[str, str], Row]
_LoadedOf = Mapping[str, Row]
_CUTS = {cut.name for cut in QUEUES.cuts}


class SaturationWatch:
    """The queues of one shard: a `Watch` of queues, stages and releases."""

    families = (QUEUES, STAGE_LATENCIES, RELEASES)

    def __init__(self, shard: int, rule: SaturationRule | None = None, slices_max: int = SLICES_MAX) -> None:
        self._shard, self._rule = shard, rule or SaturationRule()
        self._minutes = QueueMinutes(slices_max)
        self._stages: dict[int, pl.DataFrame] = {}
        self._bundles = NewBundles()
        self._episodes = QueueEpisodes()
        self._decided_ms = 0
        self._is_unsaved = False

    @property
    def left_out(self) -> int:
        """Slices of the newest minute that are not watched because others have more arrivals."""
        return self._minutes.left_out

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; those before `oldest_open_ms` are told no more."""
        if totals.is_empty():
            return
        if family is QUEUES:
            self._minutes.tell(totals)
        elif family is RELEASES:
            self._bundles.tell(totals, oldest_open_ms)
        else:
            self._tell_stages(totals, oldest_open_ms - STAGES_KEPT_MS)

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """None: minutes of queues are in the rollups, and what was found in the findings."""
        yield from ()

    def statements(self, known: Known) -> Iterator[Statement]:
        """What is found, for each minute that is decided and not stated yet."""
        queues_ms, stages_ms = (known.decidable_until_ms(family) for family in (QUEUES, STAGE_LATENCIES))
        until_ms = max(min(queues_ms, stages_ms), queues_ms - STAGES_WAIT_MS)
        for found in self.state(until_ms, known):
            yield Statement(FINDINGS, found.model_dump_json().encode())

    def state(self, until_ms: int, known: Known) -> Iterator[Findings]:
        """A statement for every minute that has ended at `until_ms` and has none yet; after a start for the newest one."""
        ended = newly_ended(self._decided_ms, until_ms)
        if not ended:
            return
        for end_ms in ended:
            found = self._decide(end_ms, known.completeness(QUEUES, end_ms))
            if end_ms in ended[-STATED_MAX:]:
                yield found
        self._decided_ms, self._is_unsaved = ended[-1], True
        self._minutes.age(self._decided_ms)
        self._bundles.age(self._decided_ms)
        self._forget_stages(self._decided_ms)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        yield from self._minutes.unsaved_blocks(applied_offset, self._decided_ms)
        yield from self._bundles.unsaved_blocks(applied_offset)
        yield from self._episodes.unsaved_blocks(applied_offset)
        if self._is_unsaved:
            yield Block(_MARKER, stamped(applied_offset, pack_json(self._decided_ms)))
            self._is_unsaved = False

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        return self._minutes.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        self._minutes.restore(stored)
        self._bundles.restore(stored)
        self._episodes.restore(stored)
        if _MARKER in stored:
            self._decided_ms = int(unpack_json(body(stored[_MARKER])))

    def _tell_stages(self, totals: pl.DataFrame, oldest_ms: int) -> None:
        watched = [text for text in totals["slice"].unique().to_list() if cut_of(text) in _CUTS]
        mine = totals.filter(pl.col("slice").is_in(watched) & pl.col("stage").is_in(CHAIN))
        for (start_ms,), minute in mine.partition_by("bucket_start_ms", as_dict=True).items():
            if start_ms >= self._decided_ms:  # Of decided minutes nobody asks for latencies any more.
                self._stages[int(start_ms)] = minute.drop("bucket_start_ms")
        self._forget_stages(oldest_ms)

    def _forget_stages(self, oldest_ms: int) -> None:
        self._stages = {start_ms: rows for start_ms, rows in self._stages.items() if start_ms >= oldest_ms}

    def _decide(self, end_ms: int, completeness: float) -> Findings:
        """Judges the minute that ends then, and moves the episodes by it."""
        at_ms = end_ms - MINUTE_MS
        minute = self._minutes.at(at_ms)
        if minute.is_empty() and self._episodes.open.is_empty():
            return self._statement(end_ms, completeness, {}, {})  # What follows would come to that, too.
        queues = grown(minute, self._minutes.newest_before(at_ms, minute), at_ms, self._rule)
        loaded = loaded_slices(queues)
        suspects = self._suspects(queues)
        slow = timed(suspects, self._tails(suspects, at_ms), self._rule)
        shown = pl.concat([self._saturated(slow, at_ms), loaded.select(SHOWN.keys())])
        self._episodes.step(shown, at_ms, completeness >= DECIDING_SHARE)
        if shown.is_empty():
            return self._statement(end_ms, completeness, {}, {})
        rows = self._rows(slow.join(shown, on=PAIR, how="semi"), at_ms, is_whole=completeness >= 1)
        self._episodes.wake(rows.filter(pl.col("is_realtime") & (pl.col("breaks_in_s") <= PAGE_WITHIN_S)))
        figures_of = {(row["slice"], row["queue"]): row for row in rows.iter_rows(named=True)}
        loaded_of = {row["slice"]: row for row in loaded.iter_rows(named=True)}
        return self._statement(end_ms, completeness, figures_of, loaded_of)

    def _tails(self, queues: pl.DataFrame, at_ms: int) -> pl.DataFrame:
        """How long the stages of these queues' slices took in a minute; of the others nobody asks."""
        stages = self._stages.get(at_ms)
        mine = queues["slice"].unique().to_list()
        return _NO_TAILS if stages is None else tails(stages.filter(pl.col("slice").is_in(mine)))

    def _suspects(self, queues: pl.DataFrame) -> pl.DataFrame:
        """The queues that grow, and those whose saturation is open: with the `base_depth` that it began from."""
        open_ones = self._episodes.open.filter(alert=SATURATED).select(*PAIR, "base_depth")
        still = queues.filter(~pl.col("is_growing")).join(open_ones, on=PAIR, how="semi")
        suspects = pl.concat([queues.filter("is_growing"), still])
        return suspects.join(open_ones, on=PAIR, how="left").sort(PAIR)

    def _saturated(self, suspects: pl.DataFrame, at_ms: int) -> pl.DataFrame:
        """What saturations suspects show: those that go on, and those that begin."""
        is_deep = pl.col("depth") >= pl.col("base_depth") + float(self._rule.growth_min)
        goes_on = pl.col("is_growing") | (pl.col("is_slow") & is_deep)
        is_open, shows = pl.col("base_depth").is_not_null(), pl.col("is_growing") & pl.col("is_slow")
        shown = suspects.with_columns(alert=pl.lit(SATURATED))
        known = shown.filter(is_open & goes_on).select(IDENTITY)
        return pl.concat([_NOTHING_SHOWN, known, self._begun(shown.filter(~is_open & shows), at_ms)], how="diagonal")

    def _begun(self, queues: pl.DataFrame, at_ms: int) -> pl.DataFrame:
        """Queues whose saturation begins in a minute, with how it came about."""
        if queues.is_empty():
            return _NOTHING_SHOWN
        looked_at = self._minutes.between(at_ms - LOOKED_AT_MS, at_ms + MINUTE_MS)
        minutes = looked_at.join(queues, on="slice", how="semi")
        climbed = climbs(minutes.filter(pl.col("minute_ms") >= at_ms - CLIMB_MS))
        begun = queues.select(IDENTITY).join(climbed, on=PAIR)
        return (
            begun.join(grew_first(climbed, at_ms, self._rule), on="slice", how="left")
            .join(self._bundles.before(begun), on=["slice", "grew_ms"], how="left")
            .join(before(begun, minutes), on=PAIR, how="left")
            .select(pl.col(name).cast(kind) for name, kind in SHOWN.items())
        )

    def _rows(self, queues: pl.DataFrame, at_ms: int, is_whole: bool) -> pl.DataFrame:
        """The open saturations that these queues of the minute show, with everything that is told of them.

        `is_whole`: whether everybody told of the minute. Where not, replicas are those of the minute before if they were
        more: of that minute late ones have told.
        """
        open_ones = self._episodes.open.filter(alert=SATURATED)
        minutes = self._minutes.between(at_ms - (NOW_MINUTES - 1) * MINUTE_MS, at_ms + MINUTE_MS)
        judgement = queues.select(*PAIR, "change", "elapsed_min", "latency_ms", "latency_from", "is_growing", "is_slow")
        rows = (
            open_ones.join(figures(open_ones, minutes, at_ms, self._rule), on=PAIR)
            .join(judgement, on=PAIR)
            .join(self._minutes.at(at_ms - MINUTE_MS).select(*PAIR, servers_told="servers"), on=PAIR, how="left")
            .with_columns(
                is_realtime=IS_REALTIME,
                is_whole=pl.lit(is_whole),
                growth_min=pl.col("change") / pl.col("elapsed_min").clip(lower_bound=1),
                last_waits_s=pl.when(pl.col("served_min") > 0).then(pl.col("depth") / pl.col("served_min") * 60),
                servers=pl.col("servers") if is_whole else pl.max_horizontal("servers", "servers_told"),
            )
        )
        return with_regions(as_it_shrinks(rows), minutes, at_ms, self._rule)

    def _statement(self, end_ms: int, completeness: float, figures_of: _FiguresOf, loaded_of: _LoadedOf) -> Findings:
        ordered = self._episodes.open.sort("is_page", *IDENTITY, descending=[True, True, False, False])
        found = [
            _finding(episode, figures_of, loaded_of, self._rule.wait_s)
            for episode in ordered.head(LISTED_MAX).iter_rows(named=True)
        ]
        return Findings(
            question=QUESTION,
            shard=self._shard,
            decided_ms=end_ms,
            completeness=completeness,
            holds_s=HOLDS_S,
            findings=tuple(found),
            unlisted=max(0, len(ordered) - LISTED_MAX),
        )


_NOTHING_SHOWN = pl.DataFrame(schema=SHOWN)
_NO_TAILS = pl.DataFrame(
    schema={"slice": pl.String, "stage": pl.String, "observations": pl.Int64, "p95_ms": pl.Float64}
)


def _finding(episode: Row, figures_of: _FiguresOf, loaded_of: _LoadedOf, wait_s: float) -> Finding:
    pair = (episode["slice"], episode["queue"])
    if pair in figures_of:
        return saturated({**figures_of[pair], **episode}, wait_s)
    if episode["alert"] == BATCH_ON_REALTIME and pair[0] in loaded_of:
        return batch_on_realtime({**loaded_of[pair[0]], **episode})
    return still(episode)
