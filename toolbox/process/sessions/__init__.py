"""Sessions: shells that keep their state from one command to the next."""
