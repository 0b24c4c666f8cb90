"""Run a program in Python, JavaScript or TypeScript and return its output and the charts it drew.

``runs`` starts a program and owns it to its end; ``languages`` chooses what to execute; ``charts`` reads what it
drew; ``fork_server`` keeps interpreters with their libraries imported. ``toolbox/payload`` is not part of the daemon:
the user's interpreter runs it.
"""
