"""Which figure of which slice got worse than its reference, since when, and what of a change is mix."""
