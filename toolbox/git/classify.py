"""Map git's output (in the C locale) to errors, in pure functions.

The rows are tried in order and the first match wins. Two sentences end every failed push or SSH connection whatever
the cause, so they are not in the table: "failed to push some refs" and "Could not read from remote repository".
"""

from __future__ import annotations

import functools
import re

import msgspec

from toolbox import errors

MAX_MESSAGE = 4096
# Texts of libgit2 for a configuration that it cannot read.
UNUSABLE_CONFIGURATION = (
    r"failed to parse (?:config file|'.*' as an? )",
    r"maximum config include depth",
)
_PREFIX = {400: "bad request", 401: "unauthorized", 403: "forbidden", 404: "not found", 409: "conflict"}

_ROWS: tuple[tuple[type[errors.ToolboxError], *tuple[str, ...]], ...] = (
    (
        errors.GitAuthFailed,
        r"could not read (?:username|password)",
        r"terminal prompts disabled",
        r"authentication failed for",
        r"invalid username or password",
        r"http basic: access denied",
        r"returned error: 401",
        r"permission denied \(.*publickey",
    ),
    (
        errors.Forbidden,
        r"returned error: 403",
        r"remote: permission to .* denied",
        r"write access to repository not granted",
    ),
    (
        errors.GitTransportFailed,
        r"could not resolve (?:host|hostname)\b",
        r"failed to connect",
        r"couldn't connect",
        r"connection refused",
        r"connection timed out",
        r"connection reset",
        r"network is unreachable",
        r"operation too slow",
        r"operation timed out",
        r"certificate verification failed",
        r"server certificate",
        r"ssl certificate",
        r"gnutls_handshake",
        r"gnutls recv",
        r"ssl_connect",
        r"ssl_error",
        r"host key verification failed",
        r"kex_exchange_identification",
        r"early eof",
        r"rpc failed",
        r"unexpected disconnect",
        r"empty reply from server",
        r"port \d+: connection",
        r"returned error: (?:407|429|5\d\d)",
        r"cannot run ssh",
        r"ssh: (?:command )?not found",
        r"unable to connect to",
        r"unable to look up",
        r"recv failure",
    ),
    (
        errors.GitRepoNotFound,
        r"repository '[^\n]*' not found",
        r"repository not found",
        r"returned error: (?:404|410)",
        r"does not appear to be a git repository",
        r"repository '[^\n]*' does not exist",
        r"invalid gitfile format",
    ),
    (
        errors.GitBranchNotFound,
        r"remote branch .* not found in upstream",
        r"couldn't find remote ref",
        r"src refspec .* does not match any",
        r"not our ref",
        r"invalid reference:",
        r"not currently on a branch",
        r"unknown revision",
        r"bad revision",
        r"not a valid object name",
        r"could not resolve",
        r"reference is not a tree",
        r"no such ref",
        r"bad object",
    ),
    (
        errors.GitMergeConflict,
        r"conflict \(",
        r"automatic merge failed",
        r"unmerged files",
        r"in the middle of a ",
        r"cannot switch branch while",
        r"have not concluded your merge",
        r"not possible to fast-forward",
        r"divergent branches",
        r"unrelated histories",
        r"needs merge",
        r"you need to resolve your current index first",
        r"path '[^\n]*' is unmerged",
    ),
    (
        errors.GitDirtyWorktree,
        r"would be overwritten by",
        r"commit (?:your changes )?or stash them",
        r"contains uncommitted changes",
        r"contains modified or untracked files",
        r"move or remove them before",
        r"not uptodate\. cannot merge",
        r"could not reset index file",
        r"would lose untracked files",
    ),
    (
        errors.GitBranchExists,
        r"a branch named '[^\n]*' already exists",
        r"cannot lock ref 'refs/heads/[^\n]*': '[^\n]*' exists",
    ),
    (
        errors.BadRequest,
        r"is not a valid (?:branch|tag|remote) name",
        r"invalid initial branch name",
        r"cannot do .* reset with paths",
        r"depth .* is not a positive number",
        r"invalid key",
        r"key does not contain",
        r"transport '[^\n]*' not allowed",
        r"is outside repository",
        r"name consists only of disallowed characters",
        r"empty ident name",
        r"must be run in a work tree",
        r"has only \d+ lines?\b",
        r"invalid path '",
        r"is a merge but no -m option",
        r"is a main working tree",
        r"does not have parent \d",
        r"strange (?:hostname|port|pathname) '[^\n]*' blocked",
        r"hostname contains invalid characters",
    ),
    (
        errors.Unprocessable,
        r"bad (?:config|(?:boolean|numeric) config|git config)\b",
        r"exceeded maximum include depth",
        r"gpg failed to sign",
        r"unable to sign the tag",
        r"user\.signingkey or gpg\.",
        r"(?:load|get) (?:public|default ssh signing) key",
    ),
    (
        errors.FileMissing,
        r"did not match any file",
        r"no such path",
        r"unable to read tree",
        r"no such file or directory in the index",
    ),
    (
        errors.Conflict,
        r"already exists and is not an empty directory",
        r"remote [^\n]* already exists",
        r"cannot delete branch",
        r"you do not have the initial commit yet",
        r"does not have any commits yet",
        r"nothing to commit",
        r"nothing added to commit",
        r"\.lock': file exists",
        r"tag '[^\n]*' already exists",
        r"cannot lock ref '[^\n]*': '[^\n]*' exists",
        r"is a missing but (?:already registered|locked) worktree",
        r"could not create leading directories of '[^\n]*': not a directory",
        r"already (?:checked out|used by worktree) at",
        r"fatal: '[^\n]*' already exists",
        r"locked working tree",
    ),
    (errors.GitRepoNotFound, r"not a git repository"),
    (
        errors.GitTransportFailed,
        "the remote end hung up",
        "broken pipe",
        "connection closed by",
        "closed by remote host",
    ),
    (
        errors.StorageFull,
        r"no space left on device",
        r"disk quota exceeded",
    ),
    (
        errors.FileAccessDenied,
        r"permission denied",
        r"insufficient permission",
        r"read-only file system",
    ),
)
_NOISE = re.compile(r"^(?:hint:.*|Cloning into .*|(?:remote: )?[A-Z][a-z]+(?: [a-z]+)*: +\d+%.*|\s*)$")
_LOCKED = re.compile(r"\.lock': File exists")
_MISSING_PATH = re.compile(r"pathspec '(?::\([a-z,]+\))?(.*)' did not match any")


@functools.cache
def _table() -> tuple[tuple[type[errors.ToolboxError], re.Pattern[str]], ...]:
    """Compile the rows on first use: it takes milliseconds that the start does not have."""
    return tuple((kind, re.compile("|".join(texts), re.IGNORECASE)) for kind, *texts in _ROWS)


def classify(output: str) -> errors.ToolboxError:
    """Return the error for what git wrote to standard error (and standard output)."""
    for kind, pattern in _table():
        if pattern.search(output):
            return kind(message(kind, output))
    return errors.InternalError(message(errors.InternalError, output))


def message(kind: type[errors.ToolboxError], output: str) -> str:
    """Return git's output without hints and progress, behind the prefix of the status."""
    text = " ".join(_informative(output))[-MAX_MESSAGE:]
    text = re.sub(r"^(?:fatal|error): ", "", text) or "git failed without output"
    if kind is errors.GitAuthFailed:
        text += " (authentication required or repository not found)"
    return prefixed(kind, text)


def prefixed(kind: type[errors.ToolboxError], text: str) -> str:
    """Put the prefix of the status, which older clients parse, before a text."""
    prefix = _PREFIX.get(kind.status)
    return f"{prefix}: {text}" if prefix else text


def _informative(output: str) -> list[str]:
    lines = [line.rpartition("\r")[2].strip() for line in output.replace("\r\n", "\n").split("\n")]
    return [line for line in lines if not _NOISE.match(line)]


def locked(output: str) -> bool:
    """Return whether git failed because another git holds a lock."""
    return bool(_LOCKED.search(output))


def missing_path(output: str) -> str | None:
    """Return the path that git did not find, if it says so."""
    match = _MISSING_PATH.search(output)
    return match[1] if match else None


class Pushed(msgspec.Struct, frozen=True):
    """One line of ``push --porcelain``."""

    flag: str
    source: str
    target: str
    summary: str

    @property
    def refused(self) -> bool:
        """Return whether the reference was not updated."""
        return self.flag == "!"


def parse_push(stdout: str) -> list[Pushed]:
    """Parse the result of each reference."""
    found = []
    for line in stdout.splitlines():
        flag, tab, rest = line.partition("\t")
        names, second, summary = rest.partition("\t")
        if tab and second and len(flag) == 1:
            source, _, target = names.partition(":")
            found.append(Pushed(flag, source, target, summary))
    return found


def classify_push(stdout: str, stderr: str) -> errors.ToolboxError:
    """Return the error of a failed push. The flags are exact, so they come before the texts."""
    for line in parse_push(stdout):
        if line.refused and line.summary.startswith("[rejected]"):
            return errors.GitPushRejected(
                f"conflict: push rejected: {line.target}: {line.summary.removeprefix('[rejected] ')}"
            )
        if line.refused:
            remote = [text for text in _informative(stderr) if text.startswith("remote:")]
            return errors.GitRemoteRejected(
                " ".join([f"push refused by the remote: {line.summary}", *remote])[:MAX_MESSAGE]
            )
    return classify(stderr)
