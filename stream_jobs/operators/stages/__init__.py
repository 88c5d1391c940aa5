"""Which stage of a turn grew, where, and beside which new bundle."""
