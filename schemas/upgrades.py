"""Upgrades: what rows of a former major version are in this one.

An incompatible change of the contract raises the major version and adds an upgrade here, so that frames on their way, and
those that are redriven, still count. It is given a family's name and the rows as they were sent, and gives back the columns
that this version declares. Windows, privacy partitions and families are told by headers, and stay what they are. Of what is
not listed, frames are refused (`unsupported_version`). `tests/contracts` holds frames that each version recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

Upgrade = Callable[[str, pa.Table], pa.Table]

UPGRADES: dict[int, Upgrade] = {}
"""By the major version that a frame is of; none so far, for there has been one."""
