"""What a successful turn costs, what moved that, whose the bill is, and what is said about money."""
