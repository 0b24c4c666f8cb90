"""Run a program in Python, JavaScript or TypeScript; return its output and its charts.

``runs`` starts a program and owns its run; ``languages`` chooses the argument list; ``charts`` reads the rich output;
``fork_server`` keeps interpreters with libraries imported. ``toolbox/payload`` runs in the user's interpreter.
"""
