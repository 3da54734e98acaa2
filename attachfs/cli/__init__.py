"""The command line: parses, prints, sets exit codes; one module a command."""
