"""Run heavy work of libgit2 in a process of its own: killable, its memory given back, a crash contained."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from toolbox import errors
from toolbox.errors import InternalError, ToolboxError
from toolbox.git import harden
from toolbox.git.access import Access
from toolbox.git.redact import redact
from toolbox.git.repository import Repo
from toolbox.host.env import Environment
from toolbox.host.output_log import Channel, Retention
from toolbox.host.procs import Procs
from toolbox.host.users import UserIdentity

_ANSWER = 256 * 1024 * 1024
_KINDS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ToolboxError)
}


class Worker:
    """Call operations of ``toolbox.git.engine``; one process per call."""

    def __init__(self, procs: Procs, environment: Environment) -> None:
        self._procs = procs
        self._environment = environment

    async def call(self, operation: str, where: Repo | str, access: Access | None = None, /, **options: Any) -> Any:
        """Return what an operation returns, or raise what it raises."""
        path = where.path if isinstance(where, Repo) else where
        user = where.user if isinstance(where, Repo) else None
        access = access or Access()
        secret = {"scope": access.scope, "username": access.username, "password": access.password}
        home = user.home if user is not None else self._environment.get("HOME", "/")
        env = harden.environment(self._environment.merged(), "/", user)
        request = {
            "operation": operation,
            "patience": harden.patience(env),
            "path": path,
            "access": secret,
            "insecure": access.insecure,
            "home": home,
        }
        # Credentials go through standard input, which is nameless memory.
        code, stdout = await self._run(json.dumps({**request, **options}).encode(), env, user)
        try:
            answer = json.loads(stdout)
        except ValueError as error:
            raise InternalError(f"libgit2 failed: its process ended with {code}") from error
        if "error" in answer:
            raise _error(answer, access)
        return answer["value"]

    async def _run(self, request: bytes, env: Mapping[str, str], user: UserIdentity | None) -> tuple[int, bytes]:
        process = await self._procs.spawn(
            [sys.executable, "-I", "-m", "toolbox.git.engine"],
            env=env,
            cwd="/",
            stdin=request,
            merge=False,
            retention=Retention.capped(_ANSWER),
            user=user,
        )
        try:
            status = await process.settle()
            parts = [chunk.data async for chunk in process.output.chunks() if chunk.channel is Channel.STDOUT]
            return status.code, b"".join(parts)
        finally:
            if process.running:
                await asyncio.shield(process.terminate())
            process.release()
            await process.output.close()


def _error(answer: dict[str, Any], access: Access) -> ToolboxError:
    kind = _KINDS.get(answer["error"], InternalError)
    return kind(redact(answer["message"], access.secrets))
