"""Failures that were foreseen. Their message is one sentence for the user: what was wrong, where, and what to do."""

from __future__ import annotations


class Foreseen(Exception):
    """Something outside of us went wrong: a server is away, a disk is full. Exit code 1."""


class BadInput(Foreseen, ValueError):
    """What the user gave cannot be meant: a setting, a file, an argument. Exit code 2."""


class Undecodable(Foreseen):
    """Bytes that are no record of ours. The reader diverts them by position; the sentence repeats none of them."""
