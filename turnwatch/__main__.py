"""`python -m turnwatch` is the command `turnwatch`."""

from turnwatch.cli import main

main()
