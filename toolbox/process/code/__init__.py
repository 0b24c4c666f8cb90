"""Run a program in Python, JavaScript or TypeScript and return its output and the charts it drew.

``runs`` starts a program and owns it to its end; ``languages`` says what to execute; ``charts`` reads what the program
drew; ``warm`` keeps interpreters that have everything imported. ``toolbox_payload`` is no part of the daemon: the
user's interpreter runs it.
"""
