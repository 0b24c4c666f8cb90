"""One table of everything that runs: commands, session commands, terminals and code, and the API over it."""
