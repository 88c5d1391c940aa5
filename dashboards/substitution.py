"""A query with its range and choices in place: what Grafana and its ClickHouse plugin make of it, for those without.

Variables are formatted as Grafana's `percentencode` does (a list in braces, everything but letters, digits and `-_.~`
encoded); the macros are those of the plugin's `pkg/macros`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

Value = str | list[str]


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time in seconds since 1970, and the step of charts in seconds."""

    from_s: int
    to_s: int
    interval_s: int = 30


def substituted(sql: str, during: Range, variables: Mapping[str, Value]) -> str:
    """The statement to send. No value leaves its string, because all but letters, digits and `-_.~` is encoded.

    Raises KeyError for a variable or macro that is not known.
    """

    def variable(match: re.Match[str]) -> str:
        value = variables[match[1]]
        return quote("{" + ",".join(value) + "}" if isinstance(value, list) else value, safe="~")

    macros = {
        "fromTime": f"toDateTime({during.from_s})",
        "toTime": f"toDateTime({during.to_s})",
        "interval_s": str(during.interval_s),
    }
    with_variables = re.sub(r"\$\{(\w+):percentencode\}", variable, sql)
    return re.sub(r"\$__(\w+)", lambda match: macros[match[1]], with_variables)
