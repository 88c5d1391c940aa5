"""Privacy partitions that several families share.

Of the observations of one kind an identifying dimension stands in one partition only, whichever families count them: what
two partitions have in common then identifies nobody, and subtracting one from the other yields whole pools.
"""

from __future__ import annotations

from schemas.declarations import Cut, PrivacyPartition

OPERATIONAL = PrivacyPartition("operational", ("region", "pool", "route", "bundle"), k_window_s=10)
AUDIENCE = PrivacyPartition("audience", ("pool", "language", "device_class"), k_window_s=60)
TENANCY = PrivacyPartition("tenancy", ("pool", "tenant"), k_window_s=60)
CLIENT = PrivacyPartition("client", ("pool", "client_version", "connection", "codec"), k_window_s=60)

OPERATIONAL_CUTS = (
    Cut("operational", ("pool",)),
    Cut("operational", ("pool", "region")),
    Cut("operational", ("pool", "route")),
    Cut("operational", ("pool", "bundle")),
    Cut("operational", ("pool", "region", "bundle")),
)
