"""The one exception of the local stack: a sentence for the person at the terminal."""

from schemas.failures import Foreseen


class StackFailure(Foreseen):
    """The local stack cannot go on. The message says what is wrong, where, and what to do."""
