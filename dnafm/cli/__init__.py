"""The `dnafm` command; one module per subcommand."""
