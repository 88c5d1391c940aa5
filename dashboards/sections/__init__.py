"""Panels of the boards, one module a question, for whichever board asks it."""
