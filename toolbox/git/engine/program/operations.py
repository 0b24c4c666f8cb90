"""The base of the operation groups that make up the git program's engine."""

from __future__ import annotations

from toolbox.git.context import GitContext


class ProgramOperations:
    """Operations that run the git program."""

    def __init__(self, context: GitContext) -> None:
        self._context = context
