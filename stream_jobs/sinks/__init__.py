"""Where rollups land: ClickHouse, brought up to date by migrations and written by the sink."""
