"""Benchmarks: each measures a figure next to a limit or a peer in the same run."""
