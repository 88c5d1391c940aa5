"""The gate of a running canary: roll-ups of both bundles out of ClickHouse, judged, as a verdict that says all it knows."""
