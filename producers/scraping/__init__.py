"""Scraping: what serving engines and GPU exporters tell at `/metrics`, as observations of a collector."""
