"""Boards without Grafana: their panels asked of ClickHouse and drawn with Vega-Lite, from the same definitions."""
