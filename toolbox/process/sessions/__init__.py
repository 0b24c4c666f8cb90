"""Sessions: shells that keep directory, variables and functions from one command to the next."""
