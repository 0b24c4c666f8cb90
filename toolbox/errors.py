"""Every error that the daemon reports: a closed set of codes and one class per meaning.

    ToolboxError                        500
    ├── BadRequest                      400
    │   ├── InvalidBody                     body is missing, not JSON, or of the wrong shape
    │   ├── InvalidPath                     NUL byte, not a directory, name too long, not a regular file
    │   ├── LspNotInitialized
    │   └── InvalidCursor, UnsupportedOperation
    ├── Unauthorized                    401
    │   └── GitAuthFailed
    ├── Forbidden                       403
    │   ├── FileAccessDenied
    │   └── ProtectedProcess
    ├── NotFound                        404
    │   ├── FileMissing
    │   ├── ProcessNotFound                 process, session, terminal or command
    │   ├── GitRepoNotFound
    │   └── GitBranchNotFound
    ├── MethodNotAllowed                405
    ├── RequestTimeout                  408
    │   └── ExecutionTimeout
    ├── Conflict                        409
    │   ├── GitBranchExists, GitPushRejected, GitDirtyWorktree, GitMergeConflict
    │   ├── RecordingActive
    │   ├── StartFailed, NameConflict, ProcessEnded
    │   └── CursorExpired, StdinClosed, StdinUnavailable
    ├── Gone                            410
    │   ├── SessionEnded
    │   └── CommandCompleted
    ├── TooLarge                        413
    ├── RangeNotSatisfiable             416
    ├── Unprocessable                   422
    │   └── GitRemoteRejected
    ├── TooManyRequests                 429
    ├── InternalError                   500
    │   └── FileReadFailed
    ├── BadGateway                      502
    │   └── GitTransportFailed
    ├── Unavailable                     503
    │   ├── A11yUnavailable
    │   └── FfmpegMissing
    └── StorageFull                     507

A subclass stands for a meaning, not for the place that raises it. Messages: lower case, no full stop, object first,
then reason. The prefixes ``bad request: ``, ``conflict: ``, ``not found: `` and ``invalid body request: `` repeat the
code; they are those of the reference server and stay for clients that compare texts.
"""

from __future__ import annotations

import enum
import errno
from typing import Any, ClassVar


class ErrorCode(enum.StrEnum):
    """Every value of ``code`` in an error response."""

    GIT_AUTH_FAILED = "GIT_AUTH_FAILED"
    GIT_REPO_NOT_FOUND = "GIT_REPO_NOT_FOUND"
    GIT_BRANCH_NOT_FOUND = "GIT_BRANCH_NOT_FOUND"
    GIT_BRANCH_EXISTS = "GIT_BRANCH_EXISTS"
    GIT_PUSH_REJECTED = "GIT_PUSH_REJECTED"
    GIT_DIRTY_WORKTREE = "GIT_DIRTY_WORKTREE"
    GIT_MERGE_CONFLICT = "GIT_MERGE_CONFLICT"
    GIT_TRANSPORT_FAILED = "GIT_TRANSPORT_FAILED"
    GIT_REMOTE_REJECTED = "GIT_REMOTE_REJECTED"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_ACCESS_DENIED = "FILE_ACCESS_DENIED"
    INVALID_FILE_PATH = "INVALID_FILE_PATH"
    FILE_READ_FAILED = "FILE_READ_FAILED"
    LSP_SERVER_NOT_INITIALIZED = "LSP_SERVER_NOT_INITIALIZED"
    PROCESS_EXECUTION_TIMEOUT = "PROCESS_EXECUTION_TIMEOUT"
    PROCESS_NOT_FOUND = "PROCESS_NOT_FOUND"
    SESSION_ENDED = "SESSION_ENDED"
    COMMAND_ALREADY_COMPLETED = "COMMAND_ALREADY_COMPLETED"
    A11Y_UNAVAILABLE = "A11Y_UNAVAILABLE"
    RECORDING_STILL_ACTIVE = "RECORDING_STILL_ACTIVE"
    RECORDING_FFMPEG_NOT_FOUND = "RECORDING_FFMPEG_NOT_FOUND"
    BAD_REQUEST = "BAD_REQUEST"
    INVALID_REQUEST_BODY = "INVALID_REQUEST_BODY"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    GONE = "GONE"
    UNPROCESSABLE_ENTITY = "UNPROCESSABLE_ENTITY"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    # Announced for /processes, in no SDK yet.
    PROCESS_START_FAILED = "PROCESS_START_FAILED"
    NAME_CONFLICT = "NAME_CONFLICT"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    INVALID_CURSOR = "INVALID_CURSOR"
    PROTECTED_PROCESS = "PROTECTED_PROCESS"
    STDIN_CLOSED = "STDIN_CLOSED"
    STDIN_UNAVAILABLE = "STDIN_UNAVAILABLE"
    PROCESS_TERMINAL = "PROCESS_TERMINAL"
    UNSUPPORTED_OPERATION = "UNSUPPORTED_OPERATION"
    # Unknown to the SDKs, which map such a code to the exception of its status.
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    BAD_GATEWAY = "BAD_GATEWAY"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INSUFFICIENT_STORAGE = "INSUFFICIENT_STORAGE"


class ToolboxError(Exception):
    """Report an error to the client with a status, a code and a readable message.

    ``detail`` holds extra keys of the envelope (partial output, limits); they cannot override the seven standard ones.
    """

    status: ClassVar[int] = 500
    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_SERVER_ERROR

    def __init__(self, message: str, *, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail or {}


class BadRequest(ToolboxError):
    """Reject invalid input."""

    status, code = 400, ErrorCode.BAD_REQUEST


class InvalidBody(BadRequest):
    """Reject a body that is missing, malformed or of the wrong shape."""

    code = ErrorCode.INVALID_REQUEST_BODY


class InvalidPath(BadRequest):
    """Reject a path that cannot name what the operation needs."""

    code = ErrorCode.INVALID_FILE_PATH


class LspNotInitialized(BadRequest):
    """Report a language server that is not running."""

    code = ErrorCode.LSP_SERVER_NOT_INITIALIZED


class InvalidCursor(BadRequest):
    """Reject a cursor that the daemon never returned."""

    code = ErrorCode.INVALID_CURSOR


class UnsupportedOperation(BadRequest):
    """Reject an operation that this kind of process does not support."""

    code = ErrorCode.UNSUPPORTED_OPERATION


class Unauthorized(ToolboxError):
    """Report a missing or wrong credential."""

    status, code = 401, ErrorCode.UNAUTHORIZED


class GitAuthFailed(Unauthorized):
    """Report a remote that refused the credentials."""

    code = ErrorCode.GIT_AUTH_FAILED


class Forbidden(ToolboxError):
    """Report an operation that is not permitted."""

    status, code = 403, ErrorCode.FORBIDDEN


class FileAccessDenied(Forbidden):
    """Report a file that the user of the daemon has no permission for."""

    code = ErrorCode.FILE_ACCESS_DENIED


class ProtectedProcess(Forbidden):
    """Report a process that belongs to the sandbox itself."""

    code = ErrorCode.PROTECTED_PROCESS


class NotFound(ToolboxError):
    """Report an object or route that does not exist."""

    status, code = 404, ErrorCode.NOT_FOUND


class FileMissing(NotFound):
    """Report a path that does not exist."""

    code = ErrorCode.FILE_NOT_FOUND


class ProcessNotFound(NotFound):
    """Report an unknown process, session, terminal or command."""

    code = ErrorCode.PROCESS_NOT_FOUND


class GitRepoNotFound(NotFound):
    """Report a directory or remote without a repository."""

    code = ErrorCode.GIT_REPO_NOT_FOUND


class GitBranchNotFound(NotFound):
    """Report a branch or revision that does not exist."""

    code = ErrorCode.GIT_BRANCH_NOT_FOUND


class MethodNotAllowed(ToolboxError):
    """Report a method that the route does not have."""

    status, code = 405, ErrorCode.METHOD_NOT_ALLOWED

    def __init__(self, message: str, *, allow: list[str]) -> None:
        super().__init__(message, detail={"allow": allow})
        self.allow = allow


class RequestTimeout(ToolboxError):
    """Report an operation that exceeded its time limit."""

    status, code = 408, ErrorCode.REQUEST_TIMEOUT


class ExecutionTimeout(RequestTimeout):
    """Report a command that was killed at its deadline."""

    code = ErrorCode.PROCESS_EXECUTION_TIMEOUT


class Conflict(ToolboxError):
    """Report a conflict with the current state, such as an existing destination."""

    status, code = 409, ErrorCode.CONFLICT


class GitBranchExists(Conflict):
    """Report a branch name that is in use."""

    code = ErrorCode.GIT_BRANCH_EXISTS


class GitPushRejected(Conflict):
    """Report a push that is not a fast-forward."""

    code = ErrorCode.GIT_PUSH_REJECTED


class GitDirtyWorktree(Conflict):
    """Report local changes that would be lost."""

    code = ErrorCode.GIT_DIRTY_WORKTREE


class GitMergeConflict(Conflict):
    """Report a merge that stopped on conflicts."""

    code = ErrorCode.GIT_MERGE_CONFLICT


class RecordingActive(Conflict):
    """Report a recording that is still running."""

    code = ErrorCode.RECORDING_STILL_ACTIVE


class StartFailed(Conflict):
    """Report a program that could not be started."""

    code = ErrorCode.PROCESS_START_FAILED


class NameConflict(Conflict):
    """Report a name that a running process has."""

    code = ErrorCode.NAME_CONFLICT


class CursorExpired(Conflict):
    """Report a cursor whose output has been discarded."""

    code = ErrorCode.CURSOR_EXPIRED


class StdinClosed(Conflict):
    """Report input after standard input was closed."""

    code = ErrorCode.STDIN_CLOSED


class StdinUnavailable(Conflict):
    """Report input to a process without an open standard input."""

    code = ErrorCode.STDIN_UNAVAILABLE


class ProcessEnded(Conflict):
    """Report an operation that needs a running process."""

    code = ErrorCode.PROCESS_TERMINAL


class Gone(ToolboxError):
    """Report a resource that existed and has ended."""

    status, code = 410, ErrorCode.GONE


class SessionEnded(Gone):
    """Report a session whose shell has exited."""

    code = ErrorCode.SESSION_ENDED


class CommandCompleted(Gone):
    """Report input to a command that has finished."""

    code = ErrorCode.COMMAND_ALREADY_COMPLETED


class TooLarge(ToolboxError):
    """Report a body or field over its limit."""

    status, code = 413, ErrorCode.PAYLOAD_TOO_LARGE


class RangeNotSatisfiable(ToolboxError):
    """Report a byte range outside the file."""

    status, code = 416, ErrorCode.RANGE_NOT_SATISFIABLE


class Unprocessable(ToolboxError):
    """Report well-formed input that cannot be processed."""

    status, code = 422, ErrorCode.UNPROCESSABLE_ENTITY


class GitRemoteRejected(Unprocessable):
    """Report a remote whose hook or policy refused the change."""

    code = ErrorCode.GIT_REMOTE_REJECTED


class TooManyRequests(ToolboxError):
    """Report an exhausted limit; retry later."""

    status, code = 429, ErrorCode.TOO_MANY_REQUESTS


class InternalError(ToolboxError):
    """Report a fault of the daemon or the machine."""


class FileReadFailed(InternalError):
    """Report a read that failed for a reason other than access or existence."""

    code = ErrorCode.FILE_READ_FAILED


class BadGateway(ToolboxError):
    """Report an invalid response of an upstream server."""

    status, code = 502, ErrorCode.BAD_GATEWAY


class GitTransportFailed(BadGateway):
    """Report a remote that could not be reached."""

    code = ErrorCode.GIT_TRANSPORT_FAILED


class Unavailable(ToolboxError):
    """Report a feature that is currently unavailable."""

    status, code = 503, ErrorCode.SERVICE_UNAVAILABLE


class A11yUnavailable(Unavailable):
    """Report a desktop without an accessibility bus."""

    code = ErrorCode.A11Y_UNAVAILABLE


class FfmpegMissing(Unavailable):
    """Report a machine without ffmpeg."""

    code = ErrorCode.RECORDING_FFMPEG_NOT_FOUND


class StorageFull(ToolboxError):
    """Report a file system or quota that is full."""

    status, code = 507, ErrorCode.INSUFFICIENT_STORAGE


_BY_ERRNO: dict[int, type[ToolboxError]] = {
    errno.ENOENT: FileMissing,
    errno.EACCES: FileAccessDenied,
    errno.EPERM: FileAccessDenied,
    errno.EROFS: FileAccessDenied,
    errno.ENOTDIR: InvalidPath,
    errno.EISDIR: InvalidPath,
    errno.ENAMETOOLONG: InvalidPath,
    errno.ELOOP: InvalidPath,
    errno.EINVAL: InvalidPath,
    errno.ENXIO: InvalidPath,
    errno.EEXIST: Conflict,
    errno.ENOTEMPTY: Conflict,
    errno.EBUSY: Conflict,
    errno.ETXTBSY: Conflict,
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
}


def from_os_error(error: OSError, *, reading: bool = False) -> ToolboxError:
    """Return the error for an errno; the only such mapping.

    An errno without an entry (EIO, EMFILE) is ``FileReadFailed`` with ``reading``, else ``InternalError``.
    """
    number = error.errno or 0
    kind = _BY_ERRNO.get(number, FileReadFailed if reading else InternalError)
    reason = (error.strerror or "input/output error").lower()
    name = error.filename
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return kind(f"{name}: {reason}" if isinstance(name, str) and name else reason)
