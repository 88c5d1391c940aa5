"""What turns cost, from what the fleet used: the bill, whose it is, its lines for others, and an invoice beside it."""
