"""Running commands: exec, sessions, terminals and code."""
