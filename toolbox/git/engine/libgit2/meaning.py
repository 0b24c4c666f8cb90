"""Map exceptions of libgit2 to errors; its texts differ from git's."""

from __future__ import annotations

import re

from toolbox import errors
from toolbox.git.classify import UNUSABLE_CONFIGURATION, prefixed

_ROWS: tuple[tuple[type[errors.ToolboxError], *tuple[str, ...]], ...] = (
    (
        errors.GitAuthFailed,
        r"authentication replays",
        r"authentication required",
        r"no credentials",
        r"unexpected http status code: 401",
    ),
    (errors.Forbidden, r"status code: 403"),
    (
        errors.GitRepoNotFound,
        r"status code: 4(?:04|10)",
        r"repository not found",
        r"could not find repository",
        r"is not owned by",
        r"failed to resolve path",
        r"invalid gitfile format",
        r"unsupported url protocol",  # libgit2's text for a missing folder
    ),
    (
        errors.GitTransportFailed,
        r"failed to resolve",
        r"failed to connect",
        r"timed out",
        r"hostkey",
        r"status code: (?:429|5\d\d)",
        r"certificate",
        r"ssl error",
        r"(?:from|to) socket",
        r"http parser",  # the connection closed within a response
        r"connection (?:reset|refused)",
        r"unexpected eof",
        r"early eof",
        r"failed to send request",
        r"error sending data",
        r"recv",
    ),
    (
        errors.Unprocessable,
        r"unsupported (?:mandatory )?extension",
        r"unknown object format",
        r"shallow fetch is not supported",
        r"cannot fetch a specific object",
        r"index.*unsupported",
        *UNUSABLE_CONFIGURATION,
    ),
    (
        errors.GitPushRejected,
        r"commits that are not present locally",
        r"non-fastforwardable",
        r"non-fast-forward",
    ),
    (errors.GitDirtyWorktree, r"conflicts? prevents? checkout"),
    (errors.GitBranchExists, r"refs/heads/\S+.*already exists"),
    (
        errors.GitBranchNotFound,
        r"src refspec",
        r"revspec",
        r"reference '.*' not found",
        r"object not found",
        r"branch not found",
        r"no reference",
    ),
    (
        errors.BadRequest,
        r"is not valid",
        r"not a valid branch name",
    ),
    (
        errors.Conflict,
        r"failed to lock",
        r"already exists",
        r"exists and is not an empty",
    ),
    (errors.FileAccessDenied, r"permission denied"),
)
_TABLE = tuple((kind, re.compile("|".join(texts), re.IGNORECASE)) for kind, *texts in _ROWS)
_TYPES: dict[str, type[errors.ToolboxError]] = {
    "AuthError": errors.GitAuthFailed,
    "CertificateError": errors.GitTransportFailed,
    "InvalidSpecError": errors.BadRequest,
}


def meaning(error: BaseException) -> errors.ToolboxError:
    """Return the error for an exception, by its type and then by its text."""
    if isinstance(error, errors.ToolboxError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return errors.from_os_error(error)
    text = str(error).strip("'\"")
    kind = _TYPES.get(type(error).__name__) or _by_text(text)
    if kind is errors.InternalError and isinstance(error, KeyError):
        kind = errors.GitBranchNotFound
    return kind(prefixed(kind, text))


def _by_text(text: str) -> type[errors.ToolboxError]:
    return next((kind for kind, pattern in _TABLE if pattern.search(text)), errors.InternalError)
