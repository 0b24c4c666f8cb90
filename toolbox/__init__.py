"""toolbox: the daemon inside a sandbox that serves files, git, commands, code and a desktop over HTTP."""

# A constant, not importlib.metadata: that costs 24 ms of start-up.
__version__ = "0.1.0"
