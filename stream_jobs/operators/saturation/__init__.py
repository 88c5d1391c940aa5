"""Which queues are saturated or do the wrong work, how it goes on, and what is said of it."""
