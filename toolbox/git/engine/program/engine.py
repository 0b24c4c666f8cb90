"""The git program's engine: its operation groups joined."""

from __future__ import annotations

from toolbox.git.engine.program.checkout import ProgramCheckout
from toolbox.git.engine.program.cloning import ProgramCloning
from toolbox.git.engine.program.history import ProgramHistory
from toolbox.git.engine.program.index import ProgramIndex
from toolbox.git.engine.program.status import ProgramStatus
from toolbox.git.engine.program.transfer import ProgramTransfer


class ProgramEngine(
    ProgramStatus,
    ProgramIndex,
    ProgramCheckout,
    ProgramHistory,
    ProgramCloning,
    ProgramTransfer,
):
    """Run operations with the git program."""

    name = "git"
