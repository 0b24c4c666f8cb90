"""``/processes``: the API over the registry of commands, session commands, terminals and code runs."""
