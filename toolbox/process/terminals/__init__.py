"""Terminals: shells behind pseudo-terminals that outlive the connections to them.

``Terminals`` is the table, a ``Terminal`` is one shell with its output in an output log of 1 MiB. Each connection is a
``Viewer``, a cursor into that output log, so that nobody waits for anybody: only when *every* viewer is behind does the
program wait (``Pace``), and a viewer that is too slow for the others skips ahead.
"""
