"""Read a request, run it, write the answer: ``python -m toolbox.git.engine.libgit2``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pygit2  # noqa: TID253 - this process exists for it

from toolbox.errors import ToolboxError
from toolbox.git.engine.libgit2 import commits, files, transfer
from toolbox.git.engine.libgit2.meaning import meaning

OPERATIONS: dict[str, Callable[..., Any]] = {
    "status": files.status,
    "add": files.add,
    "checkout": files.checkout,
    "reset": files.reset,
    "restore": files.restore,
    "commit": commits.commit,
    "history": commits.history,
    "clone": transfer.clone,
    "fetch": transfer.fetch,
    "pull": transfer.pull,
    "push": transfer.push,
}
# Connect timeout in milliseconds.
CONNECT = 30_000


def main() -> None:
    """Answer one request from standard input on standard output."""
    request = json.loads(sys.stdin.buffer.read())
    # libraries may print to standard output: send that to standard error, keep the pipe for the answer.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    pygit2.settings.server_connect_timeout = CONNECT
    pygit2.settings.server_timeout = 1000 * request.pop("stall_seconds")
    operation = OPERATIONS[request.pop("operation")]
    try:
        answer: dict[str, Any] = {"value": operation(**request)}
    except (ToolboxError, pygit2.GitError, KeyError, ValueError, OSError) as error:
        found = meaning(error)
        answer = {"error": type(found).__name__, "message": found.message}
    with os.fdopen(answer_fd, "w", encoding="utf-8", errors="surrogateescape") as out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
