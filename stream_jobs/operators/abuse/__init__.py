"""Whose calls are suddenly spoken by synthetic voices."""
