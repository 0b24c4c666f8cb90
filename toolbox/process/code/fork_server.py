"""Interpreters that have everything imported already, from which a child is forked for each run.

One server per interpreter, started behind the first run that could have used it. It keeps a few children ready; a run
takes one and has the next ones made. What may differ between a child and a fresh interpreter sends the run to the
latter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
from collections.abc import Coroutine, Mapping, Sequence

from toolbox.host import reaper
from toolbox.host.child import Child, Process
from toolbox.host.launch import Launch, file_of
from toolbox.host.output_log import Retention
from toolbox.host.procs import Procs
from toolbox.process.code.languages import START

log = logging.getLogger(__name__)

# Variables that are read when an interpreter or one of the libraries starts; a change of another is applied later.
_EARLY = re.compile(
    "PYTHON|LD_|MALLOC_|GLIBC_|OMP_|OPENBLAS_|MKL_|BLIS_|GOTO_|KMP_|NUMEXPR_|NPY_|NUMPY_|MPL|PANDAS_|PYENV|CONDA|ASAN_"
    "|LC_|LANG$|LANGUAGE$|HOME$|XDG_|TZDIR$|OPENSSL_|SSL_CERT_|__PYVENV"
)
# Interpreters kept at the same time; the one not used for longest goes.
MAX_SERVERS = 3
# Children made at a time, because making one costs little more than the process that makes it; and how few are left
# when the next ones are made.
BATCH = 3
FEW = 1
AFTER_SECONDS = 0.03
# A larger program is written to a descriptor in a fresh interpreter's start, off the loop.
MAX_CODE = 1024 * 1024
START_SECONDS = 60.0
ANSWER_SECONDS = 5.0
# After a server that could not start or had to go for lack of memory, runs are cold for so long.
REST_SECONDS = 60.0

Key = tuple[str, tuple[tuple[str, str], ...]]


class Worker:
    """A forked child that waits for its program."""

    def __init__(self, process: Process, channel: socket.socket) -> None:
        self.process = process
        self._channel = channel

    def go(self, text: str, argv: Sequence[str], environ: Mapping[str, str], cwd: str, charts: int) -> None:
        """Have it run a program."""
        program = json.dumps({"code": text, "argv": list(argv), "env": dict(environ), "cwd": cwd})
        source = file_of(program.encode())
        try:
            # A message of two bytes into an empty queue: never waits. If nobody is there, the exit status tells.
            with contextlib.suppress(OSError):
                socket.send_fds(self._channel, [b"go"], [source, charts])
        finally:
            os.close(source)

    async def told(self) -> int | None:
        """Wait for the exit status that the child tells when all is done but to exit; None if it does not."""
        try:
            with self._channel:
                message = await asyncio.get_running_loop().sock_recv(self._channel, 16)
        except OSError:
            return None
        return int(message) if message.isdigit() else None

    def dismiss(self) -> None:
        """Have it end without a program."""
        self._channel.close()
        self.process.release()


class _Ends:
    """The pipe and the socket pair of a child that is to be."""

    def __init__(self) -> None:
        self._output, output = os.pipe2(os.O_CLOEXEC)
        self._channel, self._there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_blocking(self._output, False)
        self._channel.setblocking(False)
        self.theirs = (output, self._there.fileno())

    def detach(self) -> tuple[int, socket.socket]:
        """Hand over our ends."""
        output, self._output = self._output, -1
        return output, self._channel

    def close(self) -> None:
        """Close the child's ends, and ours unless detached."""
        os.close(self.theirs[0])
        self._there.close()
        if self._output >= 0:
            os.close(self._output)
            self._channel.close()


class ForkServer:
    """An interpreter that forks, and the children it has ready."""

    def __init__(self, procs: Procs, child: Child, control: socket.socket, retention: Retention) -> None:
        self.child = child
        self._procs = procs
        self._control = control
        self._retention = retention
        self._lock = asyncio.Lock()
        self._workers: list[Worker] = []
        self._refill: asyncio.Task[None] | None = None
        self.refused = b""

    @property
    def alive(self) -> bool:
        """Tell whether it may be asked for children."""
        return self.child.running and not self.refused

    async def ready(self) -> None:
        """Wait until everything is imported."""
        if await self._receive(START_SECONDS) != b"ready":
            raise ConnectionError("it ended while it was importing")

    async def take(self) -> Worker | None:
        """Return a child and have more made; None if there are none any more."""
        while self._workers:
            worker = self._workers.pop(0)
            if worker.process.running:
                self.prepare()
                return worker
            await self._dismiss(worker)
        async with self._lock:
            if not self._workers:
                await self._fork()
        self.prepare()
        return self._workers.pop(0) if self._workers else None

    def prepare(self) -> None:
        """Have children ready for the next runs."""
        if self._refill is None and self.alive and len(self._workers) <= FEW:
            self._refill = asyncio.create_task(self._prepare(), name="warm children")

    async def close(self) -> None:
        """End the server and the children that wait."""
        self.refused = self.refused or b"closed"
        # Children that are being forked belong to us before anybody has them.
        async with self._lock:
            self._control.close()
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.wait([self._refill])
        while self._workers:
            await self._dismiss(self._workers.pop())
        await self.child.terminate()

    async def _prepare(self) -> None:
        try:
            if self._workers:
                # A run has just begun: forking now would take time from it.
                await asyncio.sleep(AFTER_SECONDS)
            async with self._lock:
                if len(self._workers) <= FEW:
                    await self._fork()
        finally:
            self._refill = None

    async def _fork(self) -> None:
        if not self.alive:
            return
        try:
            await self._fork_now()
        except (OSError, ValueError, TimeoutError) as error:
            # The answers to what was asked could come later, out of step.
            self.refused = b"broken"
            log.warning("warm interpreter gives no children: %s", str(error) or type(error).__name__)

    async def _fork_now(self) -> None:
        ends = [_Ends() for _ in range(BATCH)]
        try:
            socket.send_fds(self._control, [b"fork"], [fd for each in ends for fd in each.theirs])
            answer = await self._receive(ANSWER_SECONDS)
            if b":" not in answer:
                self.refused = answer or b"gone"
            for number, pid in re.findall(rb"(\d+):(\d+)", answer):
                output, channel = ends[int(number)].detach()
                process = await self._procs.adopt_process(int(pid), output, retention=self._retention)
                self._workers.append(Worker(process, channel))
        finally:
            for each in ends:
                each.close()

    async def _receive(self, limit: float) -> bytes:
        async with asyncio.timeout(limit):
            return await asyncio.get_running_loop().sock_recv(self._control, 512)

    async def _dismiss(self, worker: Worker) -> None:
        worker.dismiss()
        await worker.process.terminate()
        await worker.process.output.close()


class ForkServerPool:
    """Own the servers."""

    def __init__(self, procs: Procs, *, workdir: str, max_output: int) -> None:
        self._procs = procs
        self._workdir = workdir
        self._retention = Retention.capped(max_output)
        self._servers: dict[Key, ForkServer] = {}
        self._starting: dict[Key, asyncio.Task[None]] = {}
        self._resting: dict[Key, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, python: str, base: Mapping[str, str], extra: Mapping[str, str], size: int) -> Worker | None:
        """Return a child to run in, None for a cold start, which may be the reason to start a server.

        ``base`` is the environment without the variables of the request, which are ``extra``.
        """
        if self._closed or size > MAX_CODE or any(_is_early(name, base.get(name), extra[name]) for name in extra):
            return None
        key = (python, tuple(sorted((name, value) for name, value in base.items() if _EARLY.match(name))))
        server = self._servers.get(key)
        if server is None:
            self._begin(key, python, base)
            return None
        self._servers[key] = self._servers.pop(key)
        worker = await server.take()
        if not server.alive and self._servers.get(key) is server:
            self._retire(key)
        return worker

    async def started(self) -> None:
        """Wait until no server is starting."""
        while self._starting:
            await asyncio.wait(list(self._starting.values()))

    async def close(self) -> None:
        """End all servers."""
        self._closed = True
        for task in self._starting.values():
            task.cancel()
        await self.started()
        for key in list(self._servers):
            self._retire(key)
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _begin(self, key: Key, python: str, base: Mapping[str, str]) -> None:
        now = asyncio.get_running_loop().time()
        if key in self._starting or now < self._resting.get(key, 0.0):
            return
        task = asyncio.create_task(self._start(key, python, base), name="warm interpreter")
        self._starting[key] = task
        task.add_done_callback(lambda _: self._starting.pop(key))

    async def _start(self, key: Key, python: str, base: Mapping[str, str]) -> None:
        self._resting.clear()
        self._resting[key] = asyncio.get_running_loop().time() + REST_SECONDS
        if not await asyncio.to_thread(reaper.is_subreaper):
            self._resting[key] = float("inf")
            return
        try:
            server = await self._launch(python, base)
        except (OSError, TimeoutError) as error:
            log.warning("warm interpreter cannot be started: %s: %s", python, str(error) or type(error).__name__)
            return
        del self._resting[key]
        self._servers[key] = server
        self._own(self._watch(key, server), "watch warm interpreter")
        server.prepare()
        if len(self._servers) > MAX_SERVERS:
            self._retire(next(iter(self._servers)))

    async def _launch(self, python: str, base: Mapping[str, str]) -> ForkServer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [python, "-u", START, "--serve", str(theirs.fileno())]
        try:
            child = await self._procs.spawn_raw(Launch(argv, base, self._workdir, pass_fds=(theirs.fileno(),)))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        server = ForkServer(self._procs, child, ours, self._retention)
        try:
            await server.ready()
        except BaseException:
            await asyncio.shield(server.close())
            raise
        return server

    def _retire(self, key: Key) -> None:
        server = self._servers.pop(key)
        if server.refused == b"memory":
            self._resting[key] = asyncio.get_running_loop().time() + REST_SECONDS
        self._own(server.close(), "end warm interpreter")

    async def _watch(self, key: Key, server: ForkServer) -> None:
        """Let go of the children of a server that ends: nobody asked for long, or memory is short."""
        await server.child.wait()
        if self._servers.get(key) is server:
            self._retire(key)

    def _own(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_early(name: str, before: str | None, now: str) -> bool:
    """Tell whether a variable of a request changes how an interpreter starts."""
    return before != now and _EARLY.match(name) is not None
