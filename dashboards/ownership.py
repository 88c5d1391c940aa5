"""What is ours in a Grafana: the folder, the beginning of every uid and name, and the label of every alert.

Nothing else is ever written or deleted.
"""

from __future__ import annotations

FOLDER_UID = "turnwatch-boards"
FOLDER_TITLE = "turnwatch"

FILES_RULES_FOLDER = "turnwatch alerts"
"""Where Grafana puts the rules of a file. It reads those before it reads boards, and names a folder by its title alone: with
the boards' own title there would be two folders of it, or from 10.4 to 11.2 no boards, because that title was taken."""

OWN_PREFIX = "turnwatch-"
"""Uids of boards, data source, rules and contact points begin with it, and names of mute timings, which have no uid."""

OWN_LABEL, OWN_VALUE = "provisioned_by", "turnwatch"
"""The label of our rules' alerts, by which our route in the notification policies finds them."""


def is_ours(uid: str) -> bool:
    return uid.startswith(OWN_PREFIX)
