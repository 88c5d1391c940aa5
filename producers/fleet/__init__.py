"""The fleet of scenario files: calls, GPU stages, quality and bills of a large fleet, with the truth about what goes wrong."""
