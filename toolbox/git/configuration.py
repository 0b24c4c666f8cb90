"""Git's configuration files, one scope at a time; values are never logged, because some of them are tokens."""

from __future__ import annotations

import logging
import os

from toolbox.errors import BadRequest, FileAccessDenied, NotFound
from toolbox.git import names
from toolbox.git.cli import Job, Place
from toolbox.git.tools import Tools
from toolbox.git.wire import GitConfigQuery, GitConfigResponse, GitConfigureUserRequest, GitSetConfigRequest
from toolbox.host.env import Environment

log = logging.getLogger(__name__)

SCOPES = ("global", "local", "system")
SYSTEM = "/etc/gitconfig"
# The status of ``git config --unset-all`` for a key that is not there.
_NOT_SET = 5


class Configuration:
    """Read and write configuration."""

    def __init__(self, tools: Tools, environment: Environment, home: str) -> None:
        self._t = tools
        self._environment = environment
        self._home = home

    async def get(self, query: GitConfigQuery) -> GitConfigResponse:
        """Return the last value of a key in one scope."""
        key = names.config_key(query.key)
        file = await self._file(query.scope, query.path)
        found, value = await self._t.workers.run(_get, file, key)
        if not found:
            output = await self._t.cli.run(
                Job(Place("/"), ["config", "-z", "--file", file, "--no-includes", "--get", key])
            )
            value = output.text.removesuffix("\0") if output.code == 0 else None
        return GitConfigResponse(value=value)

    async def set(self, request: GitSetConfigRequest) -> None:
        """Give a key one value."""
        await self._set(request.scope, request.path, {names.config_key(request.key): request.value})
        log.info("git configuration was set: %s", request.key)

    async def unset(self, query: GitConfigQuery) -> None:
        """Remove every value of a key from one scope."""
        key = names.config_key(query.key)
        file = await self._file(query.scope, query.path)
        async with self._t.repos.changing(file):
            output = await self._t.cli.attempt(Job(Place("/"), ["config", "--file", file, "--unset-all", key]))
        if output.code == _NOT_SET:
            raise NotFound(f"not found: {key} is not set in the {query.scope or 'global'} scope")
        if output.code:
            raise output.failure()

    async def set_user(self, request: GitConfigureUserRequest) -> None:
        """Set name and address, both or none."""
        for value in (request.name, request.email):
            if "\n" in value or "\r" in value:
                raise BadRequest("bad request: name and email must be on one line")
        await self._set(request.scope, request.path, {"user.name": request.name, "user.email": request.email})

    async def enable(self, key: str, value: str) -> None:
        """Set a key for the user, in every repository."""
        await self._set("global", None, {key: value})

    async def _set(self, scope: str | None, path: str | None, values: dict[str, str]) -> None:
        if any("\0" in value for value in values.values()):
            raise BadRequest("bad request: value holds a nul character")
        file = await self._file(scope, path)
        async with self._t.repos.changing(file):
            await self._t.workers.run(_set, file, values)

    async def _file(self, scope: str | None, path: str | None) -> str:
        scope = scope or "global"
        if scope not in SCOPES:
            raise BadRequest(f"bad request: unknown scope '{scope[:40]}', one of {', '.join(SCOPES)}")
        if scope == "local":
            if not path:
                raise BadRequest("bad request: path is required for the local scope")
            return f"{(await self._t.repos.open(path)).common}/config"
        if scope == "system":
            return self._environment.get("GIT_CONFIG_SYSTEM") or SYSTEM
        return await self._t.workers.run(self._global_file)

    def _global_file(self) -> str:
        chosen = self._environment.get("GIT_CONFIG_GLOBAL")
        if chosen:
            return chosen
        home = self._environment.get("HOME") or self._home
        usual = os.path.join(home, ".gitconfig")
        other = os.path.join(self._environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git", "config")
        return other if not os.path.exists(usual) and os.path.exists(other) else usual


def _get(file: str, key: str) -> tuple[bool, str | None]:
    """Read with libgit2; the first is false where git has to."""
    from toolbox.git import library

    if os.path.exists(file) and not os.access(file, os.R_OK):
        raise FileAccessDenied(f"forbidden: {file}: permission denied")
    try:
        return True, library.config_get(file, key)
    except library.Unsupported:
        return False, None


def _set(file: str, values: dict[str, str]) -> None:
    from toolbox.git import library

    folder = os.path.dirname(file)
    if os.path.isdir(folder) and not os.access(folder, os.W_OK):
        raise FileAccessDenied(f"forbidden: {file}: permission denied")
    library.config_set(file, values)
