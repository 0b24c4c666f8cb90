"""Paths as the kernel sees them: bytes, relative ones below a fixed directory.

Text from a client carries bytes that are not UTF-8 as surrogates; the kernel gets exactly those bytes back,
whatever locale the daemon was started with. Nothing is normalised: ``a/../b`` means what the kernel says.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from toolbox.errors import BadRequest, InvalidPath


def encode(text: str) -> bytes:
    """Return the bytes of a path given as text; refuse NUL."""
    if "\0" in text:
        raise InvalidPath(f"path holds a NUL byte: {text!r}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidPath(f"path is not text: {text!r}") from error


def decode(path: bytes) -> str:
    """Return a path as text that ``encode`` turns back into the same bytes."""
    return path.decode("utf-8", "surrogateescape")


def show(path: bytes) -> str:
    """Return a path for people: bytes that are not UTF-8 become U+FFFD."""
    return path.decode("utf-8", "replace")


def raw(path: bytes) -> str | None:
    """Return the percent-encoded bytes of a path that is not UTF-8, so that a client can still address it."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return quote_from_bytes(path)
    return None


def clean(root: bytes, relative: bytes) -> bytes:
    """Join lexically, keeping ``root`` as the client wrote it: ``.`` disappears, ``/srv`` stays."""
    joined = os.path.normpath(os.path.join(root or b".", relative))
    return joined[1:] if joined.startswith(b"//") else joined


class Workdir:
    """Resolve relative paths against one directory, which never changes."""

    def __init__(self, root: str) -> None:
        self.root = encode(root)

    def resolve(self, text: str) -> bytes:
        """Return the absolute bytes of a required path."""
        if not text:
            raise BadRequest("bad request: path is required")
        return os.path.join(self.root, encode(text))

    def resolve_or_root(self, text: str | None) -> bytes:
        """Return the absolute bytes of a path; nothing means the directory itself."""
        return os.path.join(self.root, encode(text)) if text else self.root


@contextlib.contextmanager
def naming(path: bytes) -> Iterator[None]:
    """Name ``path`` in an error of the kernel that names a descriptor's relative path or nothing."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
