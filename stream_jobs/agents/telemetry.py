"""Telemetry, a part of the incidents stage: silences in; `TelemetrySilent`, its state and its gauges out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from alerts.explanations import Links
from alerts.silences import Silences, step
from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.silences import Silence, SilenceAlert, decode
from stream_jobs.agents.exact import Event
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, Block, applied_offset, body, stamped, unpack_model

_STATEMENT, _ALERT = b"|silence|", b"|silent|"
"""Beginnings of block keys. That of an SLO's alert begins with the SLO's name, so with no `|`."""


class Telemetry:
    """What is known of silent producers, and what of it is not saved yet."""

    def __init__(self, links: Links, metrics: WorkerMetrics) -> None:
        self._links, self._metrics = links, metrics
        self.silences = Silences()
        self._offset = NOTHING_APPLIED
        self._unsaved: dict[bytes, bytes] = {}
        self._saved_alerts: set[str] = set()

    @staticmethod
    def owns(key: bytes) -> bool:
        """Whether a block of the stage's state is one of these."""
        return key.startswith((_STATEMENT, _ALERT))

    def restore(self, stored: dict[bytes, bytes]) -> None:
        statements = [unpack_model(body(value), Silence) for key, value in stored.items() if key.startswith(_STATEMENT)]
        alerts = [unpack_model(body(value), SilenceAlert) for key, value in stored.items() if key.startswith(_ALERT)]
        self.silences = Silences(
            {(each.family, each.source_partition): each for each in statements}, {each.alert: each for each in alerts}
        )
        self._offset = max(map(applied_offset, stored.values()), default=NOTHING_APPLIED)
        self._saved_alerts = {each.alert for each in alerts}
        self._show()

    def forget(self) -> None:
        self.silences, self._offset = Silences(), NOTHING_APPLIED
        self._unsaved.clear()
        self._saved_alerts.clear()
        self._show()

    def take_in(self, event: Event) -> bool:
        """Takes in one statement; whether somebody has to hear of it at once. Raises `Undecodable` where it is none."""
        self._offset = max(self._offset, event.message.offset)  # Read again, it must not stamp blocks as older.
        statement = decode(event.message.value or b"")
        stepped = step(self.silences, statement, self._links, int(time.time() * 1_000))
        if stepped.silences is self.silences:
            return False
        self.silences = stepped.silences
        of_statement = f"{statement.family}|{statement.source_partition}".encode()
        self._unsaved[_STATEMENT + of_statement] = statement.model_dump_json().encode()
        for alert in stepped.changed:
            self._unsaved[_ALERT + alert.alert.encode()] = alert.model_dump_json().encode()
        self._show()
        return bool(stepped.news)

    def unsaved_blocks(self) -> Iterator[Block]:
        """What changed since the last call; alerts that ended long ago leave."""
        known = set(self.silences.alerts)
        saved = {key.removeprefix(_ALERT).decode() for key in self._unsaved if key.startswith(_ALERT)}
        gone = (self._saved_alerts | saved) - known
        self._saved_alerts = (self._saved_alerts | saved) & known
        yield from (Block(key, stamped(self._offset, text)) for key, text in self._unsaved.items())
        yield from (Block(_ALERT + name.encode(), None) for name in sorted(gone))
        self._unsaved.clear()

    def _show(self) -> None:
        firing = Counter(alert.severity for alert in self.silences.firing)
        for severity in ("page", "ticket"):
            self._metrics.silence_alerts.labels(severity).set(firing[severity])
        for family in FAMILIES:
            silent = self.silences.of(family)
            self._metrics.producers_silent.labels(family).set(silent.count)
