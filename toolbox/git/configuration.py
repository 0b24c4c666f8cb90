"""Git's configuration files, one scope at a time. Values are never logged: some are tokens."""

from __future__ import annotations

import logging
import os

from toolbox.errors import BadRequest, FileAccessDenied, NotFound
from toolbox.git import validate
from toolbox.git.cli import GitCall, PlainFolder
from toolbox.git.metadata import Unsupported
from toolbox.git.service import GitService
from toolbox.git.wire import GitConfigQuery, GitConfigResponse, GitConfigureUserRequest, GitSetConfigRequest

log = logging.getLogger(__name__)

SCOPES = ("global", "local", "system")
SYSTEM = "/etc/gitconfig"
# Exit status of ``git config --unset-all`` for a key that is not set.
_NOT_SET = 5


class Configuration(GitService):
    """Read and write configuration."""

    async def get(self, query: GitConfigQuery) -> GitConfigResponse:
        """Return the last value of a key in one scope."""
        key = validate.config_key(query.key)
        file = await self._file(query.scope, query.path)
        await self._context.workers.run(_check_access, file, os.R_OK)
        try:
            value = await self._context.metadata.config_get(file, key)
        except Unsupported:
            argv = ["config", "-z", "--file", file, "--no-includes", "--get", key]
            output = await self._context.cli.run(GitCall(PlainFolder("/"), argv))
            value = output.text.removesuffix("\0") if output.code == 0 else None
        return GitConfigResponse(value=value)

    async def set(self, request: GitSetConfigRequest) -> None:
        """Set a key to one value."""
        await self._set(request.scope, request.path, {validate.config_key(request.key): request.value})
        log.info("git configuration was set: %s", request.key)

    async def unset(self, query: GitConfigQuery) -> None:
        """Remove every value of a key from one scope."""
        key = validate.config_key(query.key)
        file = await self._file(query.scope, query.path)
        async with self._context.repos.changing(file):
            output = await self._context.cli.attempt(
                GitCall(PlainFolder("/"), ["config", "--file", file, "--unset-all", key])
            )
        if output.code == _NOT_SET:
            raise NotFound(f"not found: {key} is not set in the {query.scope or 'global'} scope")
        if output.code:
            raise output.failure()

    async def set_user(self, request: GitConfigureUserRequest) -> None:
        """Set name and address in one write."""
        for value in (request.name, request.email):
            if "\n" in value or "\r" in value:
                raise BadRequest("bad request: name and email must be on one line")
        await self._set(request.scope, request.path, {"user.name": request.name, "user.email": request.email})

    async def enable(self, key: str, value: str) -> None:
        """Set a key in the global scope."""
        await self._set("global", None, {key: value})

    async def _set(self, scope: str | None, path: str | None, values: dict[str, str]) -> None:
        if any("\0" in value for value in values.values()):
            raise BadRequest("bad request: value contains a NUL byte")
        file = await self._file(scope, path)
        async with self._context.repos.changing(file):
            await self._context.workers.run(_check_access, os.path.dirname(file), os.W_OK, file)
            await self._context.metadata.config_set(file, values)

    async def _file(self, scope: str | None, path: str | None) -> str:
        scope = scope or "global"
        if scope not in SCOPES:
            raise BadRequest(f"bad request: unknown scope '{scope[:40]}', one of {', '.join(SCOPES)}")
        if scope == "local":
            if not path:
                raise BadRequest("bad request: path is required for the local scope")
            return f"{(await self._context.repos.open(path)).common}/config"
        if scope == "system":
            return self._context.environment.get("GIT_CONFIG_SYSTEM") or SYSTEM
        return await self._context.workers.run(self._global_file)

    def _global_file(self) -> str:
        variables, home = self._context.environment, self._context.home
        chosen = variables.get("GIT_CONFIG_GLOBAL")
        if chosen:
            return chosen
        usual = os.path.join(home, ".gitconfig")
        other = os.path.join(variables.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git", "config")
        return other if not os.path.exists(usual) and os.path.exists(other) else usual


def _check_access(path: str, mode: int, shown: str = "") -> None:
    """Refuse a file that cannot be read, or a folder that cannot be written. Blocks."""
    if os.path.exists(path) and not os.access(path, mode):
        raise FileAccessDenied(f"forbidden: {shown or path}: permission denied")
