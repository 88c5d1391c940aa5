"""From when on a queue counts as saturated: what the rule, the command and the boards draw the line at."""

from __future__ import annotations

from decimal import Decimal

GROWTH_PER_MINUTE = Decimal(25)
"""Requests by which a queue grows in a minute."""
P95_MS = Decimal(1_200)
"""The 95th percentile of the latency of the stage that is waited for."""
TARGET_UTILISATION = 0.7
"""The share of their time that replicas are to be busy for."""
