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
from stream_jobs.operators.abuse_bursts import USUAL, AbuseRule, abuse_burst, bursting
from stream_jobs.operators.blocks import (
    Block,
    body,
    chunks_below_limit,
    pack_json,
    stamped,
    unpack_json,
    unpack_rows,
)
from stream_jobs.operators.reach import DECIDING_SHARE
from stream_jobs.operators.watching import Known, Statement

QUESTION = "privacy"
HOLDS_S = 300
QUIET_MINUTES = 5
KEPT_MINUTES = 60
SLICES_MAX = 1_000
STATED_MAX = 15
"""Minutes that are stated at once after a pause; of older ones nobody asks any more."""
SAVED_AFTER_MS = 2 * MINUTE_MS
"""Minutes that are not decided yet are saved before the ledger lets go of them, which is after three minutes."""
_VOICES = {"slice": pl.String, "voices": pl.Int64}
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
_NO_VOICES = pl.DataFrame(schema=_VOICES)
_Key = tuple[str, int, int]


class AbuseWatch:
    """The tenants of one shard: a `Watch` of family `tenants`."""

    families = (TENANTS,)

    def __init__(self, shard: int, rule: AbuseRule | None = None, slices_max: int = SLICES_MAX) -> None:
        self._shard, self._rule, self._slices_max = shard, rule or AbuseRule(), slices_max
        self._minutes: dict[int, pl.DataFrame] = {}
        self._usable: set[int] = set()
        self._episodes = pl.DataFrame(schema=_EPISODES)
        self._decided_ms = 0
        self._unsaved: set[int] = set()
        self._saved_episodes = self._episodes
        self._is_unsaved = False
        self._places: dict[tuple[str, int], int] = {}
        self._forgotten: list[bytes] = []
        self.left_out = 0

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; those before `oldest_open_ms` are told no more."""
        for (start_ms,), minute in totals.partition_by("bucket_start_ms", as_dict=True).items():
            if start_ms >= self._decided_ms:
                voices = minute.select("slice", voices="tenant_synthetic_voices").filter(pl.col("voices") > 0)
                self.left_out = max(0, len(voices) - self._slices_max)
                self._minutes[int(start_ms)] = voices.sort("voices", "slice", descending=[True, False]).head(
                    self._slices_max
                )
                self._unsaved.add(int(start_ms))

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """None: what tenants had is in the rollups, and what was found in the findings."""
        yield from ()

    def statements(self, known: Known) -> Iterator[Statement]:
        """What is found, for each minute that is decided and not stated yet; after a start for the newest one."""
        newest_ms = known.decidable_until_ms(TENANTS) // MINUTE_MS * MINUTE_MS
        if newest_ms <= self._decided_ms:
            return
        first_ms = self._decided_ms + MINUTE_MS if self._decided_ms else newest_ms
        for end_ms in range(max(first_ms, newest_ms - (KEPT_MINUTES - 1) * MINUTE_MS), newest_ms + 1, MINUTE_MS):
            completeness = known.completeness(TENANTS, end_ms)
            shown = self._decide(end_ms - MINUTE_MS, completeness >= DECIDING_SHARE)
            if end_ms > newest_ms - STATED_MAX * MINUTE_MS:
                said = self._statement(end_ms, completeness, shown)
                yield Statement(FINDINGS, said.model_dump_json().encode())
        self._decided_ms, self._is_unsaved = newest_ms, True
        self._forget()

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        until_ms = max(self._decided_ms, max(self._minutes, default=0) - SAVED_AFTER_MS)
        for start_ms in sorted(each for each in self._unsaved if each < until_ms):
            yield from self._blocks("minutes", start_ms, self._minutes[start_ms], applied_offset)
            self._unsaved.discard(start_ms)
        if not self._episodes.equals(self._saved_episodes):
            yield from self._blocks("held", 0, self._episodes, applied_offset)
            self._saved_episodes = self._episodes
        if self._is_unsaved:
            decided = {"until_ms": self._decided_ms, "usable_ms": sorted(self._usable)}
            yield Block(_MARKER, stamped(applied_offset, pack_json(decided)))
            self._is_unsaved = False

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        for key, value in sorted(stored.items(), key=lambda each: _read(each[0]) or ("", 0, 0)):
            kind, start_ms, place = _read(key) or ("", 0, 0)
            if kind:
                self._places[kind, start_ms] = place + 1
            if kind == "minutes":
                rows = unpack_rows(body(value), ()).select(list(_VOICES)).cast(_VOICES)  # type: ignore[arg-type]
                known = pl.concat([self._minutes.get(start_ms, _NO_VOICES), rows])
                # A later place of a smaller telling is stale.
                self._minutes[start_ms] = known.unique("slice", keep="first", maintain_order=True)
            elif kind == "held":
                rows = unpack_rows(body(value), ()).select(list(_EPISODES)).cast(_EPISODES)  # type: ignore[arg-type]
                self._episodes = self._saved_episodes = pl.concat([self._episodes, rows])
        if _MARKER in stored:
            decided = unpack_json(body(stored[_MARKER]))
            self._decided_ms, self._usable = int(decided["until_ms"]), set(decided["usable_ms"])

    def _decide(self, at_ms: int, is_complete: bool) -> pl.Series:
        """Judges the minute that begins then, and moves the episodes by it; returns the slices that show a burst."""
        minute = self._minutes.get(at_ms, _NO_VOICES)
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
        if is_complete and at_ms in self._minutes:
            self._usable.add(at_ms)
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
        named = [self._minutes[each].with_columns(minute_ms=pl.lit(each, pl.Int64)) for each in minutes_ms]
        told = pl.concat([_NO_VOICES.with_columns(minute_ms=pl.lit(0, pl.Int64)), *named])
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

    def _forget(self) -> None:
        """Lets go of what nobody asks for any more."""
        oldest_ms = self._decided_ms - KEPT_MINUTES * MINUTE_MS
        self._usable = {each for each in self._usable if each >= oldest_ms}
        for start_ms in [each for each in self._minutes if each < oldest_ms]:
            del self._minutes[start_ms]
            self._unsaved.discard(start_ms)
            places = self._places.pop(("minutes", start_ms), 0)
            self._forgotten += [_key("minutes", start_ms, place) for place in range(places)]

    def _blocks(self, kind: str, start_ms: int, rows: pl.DataFrame, applied_offset: int) -> Iterator[Block]:
        """The rows in as many blocks as it takes; what were more are empty now."""
        chunks, before = list(chunks_below_limit(rows)), self._places.get((kind, start_ms), 0)
        chunks += list(chunks_below_limit(rows.clear())) * (before - len(chunks))
        self._places[kind, start_ms] = len(chunks)
        for place, packed in enumerate(chunks):
            yield Block(_key(kind, start_ms, place), stamped(applied_offset, packed))


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


def _key(kind: str, start_ms: int, place: int) -> bytes:
    return f"{TENANTS.name}|{kind}|{QUESTION}|{start_ms}|{place}".encode()


def _read(key: bytes) -> _Key | None:
    """Kind, minute and place of a block of this watch."""
    family, kind, *rest = key.decode().split("|")
    is_ours = family == TENANTS.name and kind in ("minutes", "held") and len(rest) == 3 and rest[0] == QUESTION
    return (kind, int(rest[1]), int(rest[2])) if is_ours else None
