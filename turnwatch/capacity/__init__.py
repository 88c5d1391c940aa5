"""Capacity: how many streams there were at once, what each took, how many replicas that needs, and next week."""
