"""Every error that the daemon reports: a closed set of codes and one class per meaning.

    ToolboxError                        500
    ├── BadRequest                      400
    │   ├── InvalidBody                     body is missing, not JSON, or of the wrong shape
    │   ├── InvalidPath                     NUL byte, not a directory, name too long, not a regular file
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

    def __init_subclass__(cls, *, status: int | None = None, code: ErrorCode | None = None) -> None:
        super().__init_subclass__()
        cls.status = status or cls.status
        cls.code = code or cls.code

    def __init__(self, message: str, *, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail or {}


class BadRequest(ToolboxError, status=400, code=ErrorCode.BAD_REQUEST):
    """Reject invalid input."""


class InvalidBody(BadRequest, code=ErrorCode.INVALID_REQUEST_BODY):
    """Reject a body that is missing, malformed or of the wrong shape."""


class InvalidPath(BadRequest, code=ErrorCode.INVALID_FILE_PATH):
    """Reject a path that cannot name what the operation needs."""


class InvalidCursor(BadRequest, code=ErrorCode.INVALID_CURSOR):
    """Reject a cursor that the daemon never returned."""


class UnsupportedOperation(BadRequest, code=ErrorCode.UNSUPPORTED_OPERATION):
    """Reject an operation that this kind of process does not support."""


class Unauthorized(ToolboxError, status=401, code=ErrorCode.UNAUTHORIZED):
    """Report a missing or wrong credential."""


class GitAuthFailed(Unauthorized, code=ErrorCode.GIT_AUTH_FAILED):
    """Report a remote that refused the credentials."""


class Forbidden(ToolboxError, status=403, code=ErrorCode.FORBIDDEN):
    """Report an operation that is not permitted."""


class FileAccessDenied(Forbidden, code=ErrorCode.FILE_ACCESS_DENIED):
    """Report a file that the user of the daemon has no permission for."""


class ProtectedProcess(Forbidden, code=ErrorCode.PROTECTED_PROCESS):
    """Report a process that belongs to the sandbox itself."""


class NotFound(ToolboxError, status=404, code=ErrorCode.NOT_FOUND):
    """Report an object or route that does not exist."""


class FileMissing(NotFound, code=ErrorCode.FILE_NOT_FOUND):
    """Report a path that does not exist."""


class ProcessNotFound(NotFound, code=ErrorCode.PROCESS_NOT_FOUND):
    """Report an unknown process, session, terminal or command."""


class GitRepoNotFound(NotFound, code=ErrorCode.GIT_REPO_NOT_FOUND):
    """Report a directory or remote without a repository."""


class GitBranchNotFound(NotFound, code=ErrorCode.GIT_BRANCH_NOT_FOUND):
    """Report a branch or revision that does not exist."""


class MethodNotAllowed(ToolboxError, status=405, code=ErrorCode.METHOD_NOT_ALLOWED):
    """Report a method that the route does not have."""

    def __init__(self, message: str, *, allow: list[str]) -> None:
        super().__init__(message, detail={"allow": allow})
        self.allow = allow


class RequestTimeout(ToolboxError, status=408, code=ErrorCode.REQUEST_TIMEOUT):
    """Report an operation that exceeded its time limit."""


class ExecutionTimeout(RequestTimeout, code=ErrorCode.PROCESS_EXECUTION_TIMEOUT):
    """Report a command that was killed at its deadline."""


class Conflict(ToolboxError, status=409, code=ErrorCode.CONFLICT):
    """Report a conflict with the current state, such as an existing destination."""


class GitBranchExists(Conflict, code=ErrorCode.GIT_BRANCH_EXISTS):
    """Report a branch name that is in use."""


class GitPushRejected(Conflict, code=ErrorCode.GIT_PUSH_REJECTED):
    """Report a push that is not a fast-forward."""


class GitDirtyWorktree(Conflict, code=ErrorCode.GIT_DIRTY_WORKTREE):
    """Report local changes that would be lost."""


class GitMergeConflict(Conflict, code=ErrorCode.GIT_MERGE_CONFLICT):
    """Report a merge that stopped on conflicts."""


class StartFailed(Conflict, code=ErrorCode.PROCESS_START_FAILED):
    """Report a program that could not be started."""


class NameConflict(Conflict, code=ErrorCode.NAME_CONFLICT):
    """Report a name that a running process has."""


class CursorExpired(Conflict, code=ErrorCode.CURSOR_EXPIRED):
    """Report a cursor whose output has been discarded."""


class StdinClosed(Conflict, code=ErrorCode.STDIN_CLOSED):
    """Report input after standard input was closed."""


class StdinUnavailable(Conflict, code=ErrorCode.STDIN_UNAVAILABLE):
    """Report input to a process without an open standard input."""


class ProcessEnded(Conflict, code=ErrorCode.PROCESS_TERMINAL):
    """Report an operation that needs a running process."""


class Gone(ToolboxError, status=410, code=ErrorCode.GONE):
    """Report a resource that existed and has ended."""


class SessionEnded(Gone, code=ErrorCode.SESSION_ENDED):
    """Report a session whose shell has exited."""


class CommandCompleted(Gone, code=ErrorCode.COMMAND_ALREADY_COMPLETED):
    """Report input to a command that has finished."""


class TooLarge(ToolboxError, status=413, code=ErrorCode.PAYLOAD_TOO_LARGE):
    """Report a body or field over its limit."""


class RangeNotSatisfiable(ToolboxError, status=416, code=ErrorCode.RANGE_NOT_SATISFIABLE):
    """Report a byte range outside the file."""


class Unprocessable(ToolboxError, status=422, code=ErrorCode.UNPROCESSABLE_ENTITY):
    """Report well-formed input that cannot be processed."""


class GitRemoteRejected(Unprocessable, code=ErrorCode.GIT_REMOTE_REJECTED):
    """Report a remote whose hook or policy refused the change."""


class TooManyRequests(ToolboxError, status=429, code=ErrorCode.TOO_MANY_REQUESTS):
    """Report an exhausted limit; retry later."""


class InternalError(ToolboxError):
    """Report a fault of the daemon or the machine."""


class FileReadFailed(InternalError, code=ErrorCode.FILE_READ_FAILED):
    """Report a read that failed for a reason other than access or existence."""


class BadGateway(ToolboxError, status=502, code=ErrorCode.BAD_GATEWAY):
    """Report an invalid response of an upstream server."""


class GitTransportFailed(BadGateway, code=ErrorCode.GIT_TRANSPORT_FAILED):
    """Report a remote that could not be reached."""


class Unavailable(ToolboxError, status=503, code=ErrorCode.SERVICE_UNAVAILABLE):
    """Report a feature that is currently unavailable."""


class StorageFull(ToolboxError, status=507, code=ErrorCode.INSUFFICIENT_STORAGE):
    """Report a file system or quota that is full."""


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
