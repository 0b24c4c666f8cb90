"""Validate names and revisions from clients before they reach git."""

from __future__ import annotations

import re

from toolbox.errors import BadRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^\.|/$|\.$")
_REMOTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_FULL_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_KEY = re.compile(r"[A-Za-z0-9.-]+\.(?:[^\x00\n]*\.)?[A-Za-z][A-Za-z0-9-]*")


def plain(text: str, what: str) -> str:
    """Return a text that is not an option and has no control characters."""
    if text.startswith("-") or _CONTROL.search(text):
        raise BadRequest(f"bad request: invalid {what}")
    return text


def valid_branch(name: str) -> bool:
    """Return whether a name follows git's rules for references."""
    return bool(name) and name not in ("HEAD", "@") and not name.startswith(("-", "/")) and not _FORBIDDEN.search(name)


def branch(name: str) -> str:
    """Return a valid branch or tag name."""
    if not valid_branch(name):
        raise BadRequest(f"bad request: '{_shown(name)}' is not a valid branch name")
    return name


def remote(name: str) -> str:
    """Return a valid remote name."""
    if not _REMOTE.fullmatch(name) or not valid_branch(name):
        raise BadRequest(f"bad request: '{_shown(name)}' is not a valid remote name")
    return name


def full_id(text: str) -> bool:
    """Return whether a text is a full object id."""
    return bool(_FULL_ID.fullmatch(text.lower()))


def config_key(key: str) -> str:
    """Return a valid configuration key."""
    if not key:
        raise BadRequest("bad request: key is required")
    if not _KEY.fullmatch(key) or key.startswith("."):
        raise BadRequest(f"bad request: invalid key: {_shown(key)}")
    return key


def credential_part(value: str, what: str) -> str:
    """Return a text that cannot add a line to the credential protocol."""
    if re.search(r"[\x00\r\n]", value):
        raise BadRequest(f"bad request: {what} contains a line end or a NUL byte")
    return value


def _shown(name: str) -> str:
    return _CONTROL.sub("?", name[:100])
