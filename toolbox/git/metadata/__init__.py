"""Metadata of repositories without starting git: branches, remotes, configuration, short histories.

The public surface is ``Metadata`` and ``Unsupported``.
"""

from toolbox.git.metadata.reader import Metadata
from toolbox.git.metadata.unsupported import Unsupported

__all__ = ["Metadata", "Unsupported"]
