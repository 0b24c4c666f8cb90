"""Convert between the text of clients and the byte paths of the kernel; resolve relative paths.

Bytes that are not UTF-8 are surrogates in text and are restored exactly, independent of the daemon's locale
(``os.fsencode`` is not). Paths are not normalised: with a symbolic link ``a`` the kernel's ``a/../b`` is not ``b``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from toolbox.errors import BadRequest, InvalidPath


def encode(text: str) -> bytes:
    """Return the bytes of a path; raise ``InvalidPath`` for NUL and for text that no bytes decode to."""
    if "\0" in text:
        raise InvalidPath(f"path contains a NUL byte: {text!r}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidPath(f"path is not text: {text!r}") from error


def decode(path: bytes) -> str:
    """Return a path as text that ``encode`` turns back into the same bytes."""
    return path.decode("utf-8", "surrogateescape")


def show(path: bytes) -> str:
    """Return a path for messages: bytes that are not UTF-8 become U+FFFD."""
    return path.decode("utf-8", "replace")


def raw(path: bytes) -> str | None:
    """Return a path that is not UTF-8 percent-encoded, with which a client can address it; None for others."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return quote_from_bytes(path)
    return None


def clean(root: bytes, relative: bytes) -> bytes:
    """Join and normalise lexically; a relative ``root`` stays relative, as the client wrote it."""
    joined = os.path.normpath(os.path.join(root or b".", relative))
    return joined[1:] if joined.startswith(b"//") else joined


class Workdir:
    """Resolve relative paths against a fixed directory."""

    def __init__(self, root: str) -> None:
        self.root = encode(root)

    def resolve(self, text: str) -> bytes:
        """Return the absolute path; raise ``BadRequest`` if the text is empty."""
        if not text:
            raise BadRequest("bad request: path is required")
        return os.path.join(self.root, encode(text))

    def resolve_or_root(self, text: str | None) -> bytes:
        """Return the absolute path; empty text is the directory itself."""
        return os.path.join(self.root, encode(text)) if text else self.root


@contextlib.contextmanager
def naming(path: bytes) -> Iterator[None]:
    """Set ``path`` in an ``OSError`` of a call on a descriptor, which carries no path or a relative one."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
