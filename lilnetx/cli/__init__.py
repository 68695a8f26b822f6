"""The command line: argument parsing and printing only. Subcommands import what they use when run."""
