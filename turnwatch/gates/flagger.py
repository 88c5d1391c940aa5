"""Flagger's forms: a webhook whose status code is the answer, and one number as Prometheus would say it.

Flagger takes every status up to 202 as yes and everything else as no, and shows the body as the reason. So there are two
questions: `confirm` is yes for `continue` alone, and `rollback` for `rollback` alone; whatever goes wrong is no to both. Its
metric templates speak to a Prometheus and first ask it `vector(1)`, to see whether it is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.exclusions import WHO_MAX
from schemas.failures import BadInput
from schemas.gates import Decision
from schemas.model_mistakes import mistakes
from schemas.verdicts import ReleaseVerdict

Hook = Literal["confirm", "rollback"]
YES: Mapping[Hook, Decision] = {"confirm": "continue", "rollback": "rollback"}
NO_STATUS = 409
"""No client tries this again by itself, as it would a 5xx."""

ONLINE = "vector(1)"
METRIC = "turnwatch_gate"
FIGURE: Mapping[Decision, int] = {"continue": 1, "pause": 0, "rollback": -1}
_QUERY = re.compile(rf"^\s*{METRIC}\s*\{{(?P<labels>[^{{}}]*)\}}\s*$")
_LABEL = re.compile(r"\s*(?P<name>[a-z_]+)\s*=\s*\"(?P<value>[^\"\\]*)\"\s*")


class Payload(BaseModel):
    """What Flagger sends to a webhook; `metadata` is what the Canary's manifest says there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9.-]+$")]
    namespace: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9.-]+$")]
    metadata: dict[str, str]

    @property
    def who(self) -> str:
        return f"flagger {self.namespace}/{self.name}"[:WHO_MAX]


def payload_of(body: object) -> Payload:
    """Raises `BadInput` where it is none, or names no release."""
    try:
        return Payload.model_validate(body)
    except ValidationError as error:
        raise BadInput(
            f"This is no webhook of Flagger: {mistakes(error)} Write the release into the webhook's metadata."
        ) from None


def status_of(hook: Hook, verdict: ReleaseVerdict) -> int:
    """200 for yes, and a no that nobody tries again at once."""
    return 200 if verdict.decision == YES[hook] else NO_STATUS


def fields_of(query: str) -> dict[str, str]:
    """What a query such as `turnwatch_gate{release="v42"}` asks; raises `BadInput`.

    >>> fields_of('turnwatch_gate{release="v42", baseline="v41"}')
    {'release': 'v42', 'baseline': 'v41'}
    """
    match = _QUERY.match(query)
    parts = match["labels"].split(",") if match else []
    labels = [_LABEL.fullmatch(part) for part in parts]
    found = {label["name"]: label["value"] for label in labels if label}
    if not found or len(found) < len(parts):
        raise BadInput(f'Gates know one query: {METRIC}{{release="…"}}, with baseline="…" besides where it is wanted.')
    return found


def one_value(value: int, at_s: float, labels: Mapping[str, str]) -> dict[str, Any]:
    """One sample as the HTTP API of Prometheus tells it."""
    result = [{"metric": dict(labels), "value": [at_s, str(value)]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def value_of(verdict: ReleaseVerdict) -> dict[str, Any]:
    """1 to continue, 0 to pause, -1 to roll back."""
    labels = {"__name__": METRIC, "release": verdict.release, "decision": verdict.decision}
    return one_value(FIGURE[verdict.decision], verdict.at_ms / 1_000, labels)
