"""What the fleet can carry, and what next week will ask of it."""
