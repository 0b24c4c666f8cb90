"""The engine that runs the git program."""
