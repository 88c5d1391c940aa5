"""How many turns a second an event's slice has before the event begins, expected from the fleet's shares."""

from __future__ import annotations

from producers.fleet.outlook import Outlook
from producers.fleet.pool_servers import planned_servers
from producers.fleet.scenario_file import Event
from producers.fleet.timeline import InForce


def slice_turns_per_s(outlook: Outlook, event: Event, at_ms: int) -> float:
    """Over every group of servers that the slice reaches; without anything that events change."""
    nothing = InForce((), outlook.crowd)
    return sum(
        outlook.turns_per_s(group, at_ms, nothing) * outlook.reach(event, group)
        for group in planned_servers(outlook.scenario)
    )
