"""The command line: argument parsing and printing only; commands import what they use when run."""
