"""The command `turnwatch`: settings, and what each subcommand puts together."""
