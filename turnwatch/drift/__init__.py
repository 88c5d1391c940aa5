"""Which slice got worse between two periods, or whether traffic only moved: `turnwatch drift`, asked of what is stored."""
