"""Alerts as they are told: with their state, and open for longer than they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alerts.alertmanager import Alert


class StatedAlert(Alert, Protocol):
    """An alert that also says how it is: `firing`, `frozen`, `resolved`."""

    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StillOpen:
    """An alert that has ended, before Alertmanager may know it."""

    alert: StatedAlert
    state: str = "firing"
    ends_ms: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        return self.alert.labels

    @property
    def annotations(self) -> dict[str, str]:
        return self.alert.annotations

    @property
    def starts_ms(self) -> int:
        return self.alert.starts_ms
