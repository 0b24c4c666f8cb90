"""The error for repositories that libgit2 cannot read."""

from __future__ import annotations


class Unsupported(Exception):
    """libgit2 cannot read this repository or file; the git program has to."""
