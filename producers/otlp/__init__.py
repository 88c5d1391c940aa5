"""OTLP metrics as a way in: what an OpenTelemetry SDK or Collector sends, as rows of our families and samples of engines.

What comes is aggregated already: it has no sessions, so it is taken into partitions without identifying dimensions only.
`docs/otlp.md` says how to point something at it; `producers/otlp/mapping.py` is the table of names.
"""
