"""Run the git program: hardened, as the owner of the repository, with its output bounded and redacted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

import msgspec

from toolbox.errors import GitTransportFailed, ToolboxError, Unavailable
from toolbox.git import closed, hardening
from toolbox.git.classify import classify, locked
from toolbox.git.credentials import CredentialOptions, HostCredentials, credential_options
from toolbox.git.redact import redact
from toolbox.git.repository import Repo
from toolbox.host.child import ExitStatus, Process
from toolbox.host.env import Environment
from toolbox.host.output_log import Channel, Retention
from toolbox.host.procs import Procs
from toolbox.host.users import UserIdentity
from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

MINIMUM = (2, 25)
MIB = 1024 * 1024
MAX_OUTPUT = 512 * MIB
ERRORS = 64 * 1024
# On SIGTERM git removes temporary files and locks; SIGKILL follows after these seconds.
GRACE = 5.0
# Pauses between attempts while another git holds a lock, 2 s in all.
_RETRIES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.65)
# Concurrent network operations; more are queued.
NETWORK = 4

ProgressCallback = Callable[[str], None]


class Output(msgspec.Struct, frozen=True):
    """The result of a git process; ``stderr`` is redacted text, at most its last 64 KiB."""

    code: int
    stdout: bytes
    stderr: str
    killed: bool = False

    @property
    def text(self) -> str:
        """Return standard output as text."""
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def line(self) -> str:
        """Return the only line of standard output."""
        return self.text.strip("\n")

    def failure(self) -> ToolboxError:
        """Return the error for a non-zero exit status."""
        if self.killed:
            return GitTransportFailed("git was killed before it was done")
        return classify(f"{self.stderr}\n{redact(self.text[-ERRORS:])}")


class PlainFolder(msgspec.Struct, frozen=True):
    """A folder to run git in without a repository, and the user to run as (None: the daemon's)."""

    folder: str
    user: UserIdentity | None = None


class GitCall(msgspec.Struct, frozen=True):
    """One git process: folder, arguments, standard input, extra environment, credentials."""

    where: Repo | PlainFolder
    argv: Sequence[str]
    stdin: bytes | None = None
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    credentials: HostCredentials = msgspec.field(default_factory=HostCredentials)
    on_progress: ProgressCallback | None = None
    network: bool = False


class Cli:
    """The git program, if there is one."""

    def __init__(self, procs: Procs, environment: Environment, workers: WorkerPool) -> None:
        self._procs = procs
        self._environment = environment
        self._workers = workers
        self._binary: str | None = None
        self._running: set[Process] = set()
        self._network = asyncio.Semaphore(NETWORK)
        self._closing = False

    async def available(self) -> bool:
        """Return whether there is a recent enough git."""
        return await self._find() is not None

    async def _find(self) -> str | None:
        # Searched again until found: users install git while the daemon runs.
        if self._binary is None:
            binary = await self._workers.run(shutil.which, "git", path=self._environment.get("PATH"))
            if binary is not None and await self._version(binary) >= MINIMUM:
                self._binary = binary
        return self._binary

    async def run(self, call: GitCall) -> Output:
        """Run git to its end and return the result, whatever the exit status."""
        if call.network:
            async with self._network:
                return await self._run(call)
        return await self._run(call)

    async def attempt(self, call: GitCall) -> Output:
        """Run git, and retry for about 2 s while another git holds a lock."""
        for pause in _RETRIES:
            output = await self.run(call)
            if output.code == 0 or not locked(output.stderr):
                return output
            await asyncio.sleep(pause)
        return await self.run(call)

    async def check(self, call: GitCall, *expected: tuple[str, ToolboxError]) -> Output:
        """Run git and raise what its failure means: an expected error by a text in stderr, else by the table."""
        output = await self.attempt(call)
        if output.code:
            raise next((error for text, error in expected if text in output.stderr), None) or output.failure()
        return output

    async def has_lfs(self) -> bool:
        """Return whether git-lfs is installed."""
        return await self._workers.run(shutil.which, "git-lfs", path=self._environment.get("PATH")) is not None

    async def lines(self, call: GitCall) -> AsyncGenerator[bytes, None]:
        """Yield standard output in chunks; a slow reader throttles git (back-pressure)."""
        async with self._process(call) as process:
            async for chunk in process.output.follow(hold=True):
                if chunk.channel is Channel.STDOUT:
                    yield chunk.data
            status = await process.wait()
            if status.code:
                errors = await _text(process, Channel.STDERR)
                errors += await self._workers.run(closed.explain, call.where.user, errors)
                raise classify(redact(errors, call.credentials.secrets))

    async def close(self) -> None:
        """End running git processes, so that waiting requests are answered."""
        self._closing = True
        await asyncio.gather(*(process.terminate(GRACE) for process in list(self._running)))

    async def _run(self, call: GitCall) -> Output:
        async with self._process(call) as process:
            status = await _settle(process, call)
            if self._closing:
                raise Unavailable("daemon is shutting down")
            stdout = await _bytes(process, Channel.STDOUT)
            errors = redact(await _text(process, Channel.STDERR), call.credentials.secrets)
        if status.code:
            errors += await self._workers.run(closed.explain, call.where.user, errors)
        if status.code:
            log.debug("git %s failed with %d", call.argv[0], status.code)
        return Output(status.code, stdout, errors, killed=status.signal is not None)

    @contextlib.asynccontextmanager
    async def _process(self, call: GitCall) -> AsyncIterator[Process]:
        """Start a git process, and end it on exit; its credential descriptors are open while it starts."""
        with credential_options(call.credentials) as opened:
            process = await self._start(call, opened)
        self._running.add(process)
        try:
            yield process
        finally:
            try:
                if process.running:
                    await asyncio.shield(process.terminate(GRACE))
            finally:
                self._running.discard(process)
                process.release()
                await process.output.close()

    async def _start(self, call: GitCall, credentials: CredentialOptions) -> Process:
        if self._closing:
            raise Unavailable("daemon is shutting down")
        binary = await self._find()
        if binary is None:
            raise Unavailable("git is not installed")
        options = credentials.options
        if isinstance(call.where, Repo):
            folder, ceiling = call.where.path, call.where.ceiling
            options = (*options, f"safe.directory={folder}")
        else:
            folder = ceiling = call.where.folder
        variables = hardening.environment(self._environment.merged(), ceiling, call.where.user)
        return await self._procs.spawn(
            [*hardening.arguments(binary, options), *call.argv],
            env={**variables, **await self._ssh(call, variables), **call.env},
            cwd=os.fsencode(folder),
            stdin=call.stdin,
            merge=False,
            retention=Retention(head=MAX_OUTPUT, tail=ERRORS),
            pass_fds=credentials.fds,
            user=call.where.user,
        )

    async def _ssh(self, call: GitCall, variables: Mapping[str, str]) -> dict[str, str]:
        """Choose the SSH command: the user's, else ours without prompts; never the repository's (not trusted)."""
        if not call.network or "GIT_SSH_COMMAND" in variables or "GIT_SSH" in variables:
            return {}
        place = PlainFolder("/", call.where.user)
        chosen = await self._run(GitCall(place, ["config", "--get", "core.sshCommand"]))
        return {"GIT_SSH_COMMAND": chosen.line or hardening.SSH}

    async def _version(self, binary: str) -> tuple[int, ...]:
        done = await self._procs.run([binary, "version"], env=self._environment.merged(), cwd="/")
        match = re.search(rb"(\d+)\.(\d+)", done.stdout)
        return (int(match[1]), int(match[2])) if match else (0,)


async def _settle(process: Process, call: GitCall) -> ExitStatus:
    """Wait for the exit and report progress meanwhile."""
    if call.on_progress is None:
        return await process.settle()
    listener = asyncio.create_task(_listen(process, call.on_progress, call.credentials.secrets), name="git progress")
    try:
        return await process.settle()
    finally:
        # A background helper of git may inherit the pipe and never close it.
        process.output.finish()
        await asyncio.wait([listener])


async def _listen(process: Process, on_progress: ProgressCallback, secrets: tuple[str, ...]) -> None:
    """Report each line of standard error. git rewrites progress lines with carriage returns."""
    rest = ""
    async for chunk in process.output.follow():
        if chunk.channel is Channel.STDERR:
            *lines, rest = re.split(r"[\r\n]+", rest + chunk.data.decode("utf-8", "replace"))
            for line in lines:
                on_progress(redact(line, secrets))


async def _bytes(process: Process, wanted: Channel) -> bytes:
    return b"".join([chunk.data async for chunk in process.output.chunks() if chunk.channel is wanted])


async def _text(process: Process, wanted: Channel) -> str:
    return (await _bytes(process, wanted))[-ERRORS:].decode("utf-8", "replace")
