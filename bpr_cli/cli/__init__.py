"""The command line, one file per command. Each parses options, calls a library function and shows the result."""
