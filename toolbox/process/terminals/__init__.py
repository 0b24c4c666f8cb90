"""Terminals: shells behind pseudo-terminals that outlive the connections to them.

``Terminals`` is the table. A ``Terminal`` is one shell with an output log of 1 MiB. Each connection is a ``Viewer``, an
offset into that log, so a slow viewer does not delay the others. Output is paused only while *all* viewers lag
(``Pace``); a viewer that lags alone skips output.
"""
