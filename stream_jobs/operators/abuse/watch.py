"""Which tenant's calls are suddenly spoken by synthetic voices: minute by minute, for findings.

A minute is decided once 95 % of the volume of `tenants` has reported it. One that shows a burst (`abuse_bursts.py`) begins an
episode, which is a page of its own until `QUIET_MINUTES` minutes in a row that were complete showed nothing. What is usual is
taken from the hour before, from complete minutes alone and without those of the tenant's own bursts: so neither a burst that
lasts nor an outage becomes what others are compared with.

Memory is a row of 60 bytes for each tenant with a synthetic voice and minute of an hour; of a minute the `SLICES_MAX` with
the most are kept, and how many are not is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from schemas.families import TENANTS, Family
from schemas.findings import LISTED_MAX, Findings
from schemas.instants import MINUTE_MS
from schemas.topics import FINDINGS
from stream_jobs.operators.abuse.bursts import USUAL, AbuseRule, abuse_burst, bursting
from stream_jobs.operators.kept_minutes import KEPT_MINUTES, STATED_MAX, KeptMinutes, newly_ended
from stream_jobs.operators.saved_rows import SavedRows
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json
from stream_jobs.operators.totals.reach import DECIDING_SHARE
from stream_jobs.operators.watching import Known, Statement

QUESTION = "privacy"
HOLDS_S = 300
QUIET_MINUTES = 5
SLICES_MAX = 1_000
_EPISODES = {
    **USUAL,
    "since_ms": pl.Int64,
    "ended_ms": pl.Int64,
    "voices": pl.Int64,
    "voices_since": pl.Int64,
    "quiet_minutes": pl.Int64,
    "moved_ms": pl.Int64,
}
"""Of a burst: what was usual when it began, when it began and ended (0 while it lasts), its newest minute's turns, all of them,
for how many minutes it has shown nothing, and the newest minute that moved it: after a crash that minute may be decided
again, and moves nothing twice."""
_MARKER = f"{TENANTS.name}|decided|{QUESTION}".encode()


class AbuseWatch:
    """The tenants of one shard: a `Watch` of family `tenants`."""

    families = (TENANTS,)

    def __init__(self, shard: int, rule: AbuseRule | None = None, slices_max: int = SLICES_MAX) -> None:
        self._shard, self._rule = shard, rule or AbuseRule()
        self._minutes = KeptMinutes(TENANTS, ["slice"], ["voices"], "voices", slices_max)
        self._usable: set[int] = set()
        self._episodes = self._saved_episodes = pl.DataFrame(schema=_EPISODES)
        self._saved = SavedRows(f"{TENANTS.name}|held|{QUESTION}", _EPISODES)
        self._decided_ms = 0
        self._is_unsaved = False

    @property
    def left_out(self) -> int:
        """Tenants of the newest minute that are not watched because others have more synthetic voices."""
        return self._minutes.left_out

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; those before `oldest_open_ms` are told no more."""
        for (start_ms,), minute in totals.partition_by("bucket_start_ms", as_dict=True).items():
            if start_ms >= self._decided_ms:
                voices = minute.select("slice", voices="tenant_synthetic_voices").filter(pl.col("voices") > 0)
                self._minutes.keep(int(start_ms), voices)

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """None: what tenants had is in the rollups, and what was found in the findings."""
        yield from ()

    def statements(self, known: Known) -> Iterator[Statement]:
        """What is found, for each minute that is decided and not stated yet; after a start for the newest one."""
        ended = newly_ended(self._decided_ms, known.decidable_until_ms(TENANTS))
        if not ended:
            return
        for end_ms in ended:
            completeness = known.completeness(TENANTS, end_ms)
            shown = self._decide(end_ms - MINUTE_MS, completeness >= DECIDING_SHARE)
            if end_ms in ended[-STATED_MAX:]:
                said = self._statement(end_ms, completeness, shown)
                yield Statement(FINDINGS, said.model_dump_json().encode())
        self._decided_ms, self._is_unsaved = ended[-1], True
        self._minutes.age(self._decided_ms)
        self._usable = {each for each in self._usable if each >= self._decided_ms - KEPT_MINUTES * MINUTE_MS}

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        yield from self._minutes.unsaved_blocks(applied_offset, self._decided_ms)
        if not self._episodes.equals(self._saved_episodes):
            yield from self._saved.blocks(self._episodes, applied_offset)
            self._saved_episodes = self._episodes
        if self._is_unsaved:
            decided = {"until_ms": self._decided_ms, "usable_ms": sorted(self._usable)}
            yield Block(_MARKER, stamped(applied_offset, pack_json(decided)))
            self._is_unsaved = False

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        return self._minutes.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        self._minutes.restore(stored)
        self._episodes = self._saved_episodes = self._saved.restored(stored)
        if _MARKER in stored:
            decided = unpack_json(body(stored[_MARKER]))
            self._decided_ms, self._usable = int(decided["until_ms"]), set(decided["usable_ms"])

    def _decide(self, at_ms: int, is_complete: bool) -> pl.Series:
        """Judges the minute that begins then, and moves the episodes by it; returns the slices that show a burst."""
        minute = self._minutes.at(at_ms)
        if is_complete and at_ms in self._minutes:
            self._usable.add(at_ms)
        if minute.is_empty() and self._episodes.is_empty():
            return minute["slice"]  # As in most minutes: what follows would come to that, too.
        lasting = self._episodes.filter(ended_ms=0)
        usual = pl.concat(
            [lasting.select(list(USUAL)), self._usual(minute.join(lasting, on="slice", how="anti"), at_ms)]
        )
        shown = bursting(minute, usual, lasting["slice"], self._rule)
        begun = shown.join(lasting, on="slice", how="anti").with_columns(
            since_ms=pl.lit(at_ms),
            ended_ms=pl.lit(0),
            voices_since="voices",
            quiet_minutes=pl.lit(0),
            moved_ms=pl.lit(at_ms),
        )
        kept = self._episodes.filter(
            (pl.col("ended_ms") == 0) | (pl.col("ended_ms") > at_ms - KEPT_MINUTES * MINUTE_MS)
        )
        self._episodes = pl.concat(
            [
                _moved(kept, minute, shown["slice"], at_ms, is_complete),
                begun.select(pl.col(name).cast(kind) for name, kind in _EPISODES.items()),
            ]
        ).sort("slice", "since_ms")
        return shown["slice"]

    def _usual(self, slices: pl.DataFrame, at_ms: int) -> pl.DataFrame:
        """What was usual for these slices in the hour before, minutes of their own bursts left out."""
        minutes_ms = [each for each in sorted(self._usable) if at_ms - KEPT_MINUTES * MINUTE_MS <= each < at_ms]
        usable = pl.DataFrame({"minute_ms": minutes_ms}, schema={"minute_ms": pl.Int64})
        ended = self._episodes.filter(pl.col("ended_ms") > 0).select("slice", "since_ms", "ended_ms")
        in_burst = (
            ended.join(usable, how="cross")
            .filter(pl.col("minute_ms").is_between(pl.col("since_ms"), pl.col("ended_ms"), closed="left"))
            .select("slice", "minute_ms")
        )
        told = self._minutes.between(at_ms - KEPT_MINUTES * MINUTE_MS, at_ms).join(usable, on="minute_ms", how="semi")
        voices = (
            told.join(in_burst, on=["slice", "minute_ms"], how="anti").group_by("slice").agg(pl.col("voices").sum())
        )
        left_out = in_burst.group_by("slice").agg(left_out=pl.len().cast(pl.Int64))
        return (
            slices.select("slice")
            .join(voices, on="slice", how="left", maintain_order="left")
            .join(left_out, on="slice", how="left", maintain_order="left")
            .select(
                "slice",
                usual_voices=pl.col("voices").fill_null(0),
                usual_minutes=len(minutes_ms) - pl.col("left_out").fill_null(0),
            )
        )

    def _statement(self, end_ms: int, completeness: float, shown: pl.Series) -> Findings:
        lasting = self._episodes.filter(ended_ms=0).sort("voices", "slice", descending=[True, False])
        told = lasting.with_columns(is_shown=pl.col("slice").is_in(shown.implode())).head(LISTED_MAX)
        return Findings(
            question=QUESTION,
            shard=self._shard,
            decided_ms=end_ms,
            completeness=completeness,
            holds_s=HOLDS_S,
            findings=tuple(map(abuse_burst, told.iter_rows(named=True))),
            unlisted=max(0, len(lasting) - LISTED_MAX),
        )


def _moved(
    episodes: pl.DataFrame, minute: pl.DataFrame, shown: pl.Series, at_ms: int, is_complete: bool
) -> pl.DataFrame:
    """The episodes a minute later: one that shows nothing in a complete minute comes nearer to its end."""
    now = pl.col("now_voices").fill_null(0)
    lasts, shows = (pl.col("ended_ms") == 0) & (pl.col("moved_ms") < at_ms), pl.col("slice").is_in(shown.implode())
    quiet = pl.when(shows).then(0).otherwise(pl.col("quiet_minutes") + int(is_complete))
    moved = episodes.join(minute.rename({"voices": "now_voices"}), on="slice", how="left", maintain_order="left")
    moved = moved.with_columns(
        voices=pl.when(lasts).then(now).otherwise("voices"),
        voices_since=pl.when(lasts).then(pl.col("voices_since") + now).otherwise("voices_since"),
        quiet_minutes=pl.when(lasts).then(quiet).otherwise("quiet_minutes"),
        moved_ms=pl.when(lasts).then(pl.lit(at_ms)).otherwise("moved_ms"),
    )
    is_over = (pl.col("ended_ms") == 0) & (pl.col("quiet_minutes") >= QUIET_MINUTES)
    ended_ms = pl.when(is_over).then(pl.lit(at_ms + MINUTE_MS)).otherwise("ended_ms")
    return moved.with_columns(ended_ms=ended_ms).select(pl.col(name).cast(kind) for name, kind in _EPISODES.items())
