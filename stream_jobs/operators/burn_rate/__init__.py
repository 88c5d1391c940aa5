"""How fast budgets of objectives are spent, on what evidence, and which slices may explain it."""
