"""Fork servers: interpreters with the usual libraries imported, which fork a worker for each run.

One server per interpreter and start-up environment. The first run that could have used it starts it in the background
and is itself a cold start. A server keeps a few workers ready; a run takes one. A run whose result could differ between
a worker and a fresh interpreter gets the latter.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import operator
import os
import re
import socket
from collections.abc import Mapping, Sequence

from toolbox.host import reaper
from toolbox.host.child import Process
from toolbox.host.launch import Launch, file_of
from toolbox.host.output_log import Retention
from toolbox.host.procs import Procs
from toolbox.process.code.languages import START
from toolbox.runs.messages import PacketSocket
from toolbox.runs.pool import Pool
from toolbox.runs.supervised import ChildUnavailable, Policy, Started, SupervisedChild

log = logging.getLogger(__name__)

# Variables that the interpreter or a library reads when it starts. All others are set in the worker before its run.
_EARLY = re.compile(
    "PYTHON|LD_|MALLOC_|GLIBC_|OMP_|OPENBLAS_|MKL_|BLIS_|GOTO_|KMP_|NUMEXPR_|NPY_|NUMPY_|MPL|PANDAS_|PYENV|CONDA|ASAN_"
    "|LC_|LANG$|LANGUAGE$|HOME$|XDG_|TZDIR$|OPENSSL_|SSL_CERT_|__PYVENV"
)
# Servers kept at the same time; the least recently used one is ended.
MAX_SERVERS = 3
# Workers forked at a time: most of the cost is the process between server and workers, which is needed once.
BATCH = 3
# Workers are forked when fewer than these are ready, and a moment after a take: a fork would slow down the run.
KEEP = 2
AFTER_SECONDS = 0.03
# A larger program goes to a fresh interpreter, which reads it from a descriptor that is filled off the loop.
MAX_CODE = 1024 * 1024
ANSWER_SECONDS = 5.0
# Importing the libraries for the first time can take most of a minute on a slow disk.
POLICY = Policy(start_seconds=60.0, idle_seconds=900.0, cool_down_seconds=60.0)

Key = tuple[str, tuple[tuple[str, str], ...]]


class Worker:
    """A forked interpreter that waits for its program."""

    def __init__(self, process: Process, channel: PacketSocket) -> None:
        self.process = process
        self._channel = channel

    def run(self, text: str, argv: Sequence[str], environ: Mapping[str, str], cwd: str, charts: int) -> None:
        """Send the program; its charts go to the descriptor ``charts``."""
        program = json.dumps({"code": text, "argv": list(argv), "env": dict(environ), "cwd": cwd})
        source = file_of(program.encode())
        try:
            # Two bytes into an empty queue never block. If the worker has died, its exit status says so.
            with contextlib.suppress(OSError):
                self._channel.send(b"go", [source, charts])
        finally:
            os.close(source)

    async def exit_status(self) -> int | None:
        """Wait for the exit status, which the worker sends before the kernel has freed its memory; None if it died."""
        try:
            message = await self._channel.receive()
        except OSError:
            return None
        finally:
            self._channel.close()
        return int(message) if message.isdigit() else None

    async def dismiss(self) -> None:
        """End a worker that has no program."""
        self._channel.close()
        self.process.release()
        await self.process.terminate()
        await self.process.output.close()


class _WorkerEnds:
    """The output pipe and the channel of one worker to be forked."""

    def __init__(self) -> None:
        self._output, output = os.pipe2(os.O_CLOEXEC)
        channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = PacketSocket(channel)
        os.set_blocking(self._output, False)
        self.theirs = (output, self._theirs.fileno())
        self._adopted = False

    async def adopt(self, procs: Procs, pid: int, retention: Retention) -> Worker:
        """Return the worker that was forked with the other ends."""
        output, self._output = self._output, -1
        process = await procs.adopt_process(pid, output, retention=retention)
        self._adopted = True
        return Worker(process, self._channel)

    def close(self) -> None:
        """Close the worker's ends, and ours unless they were adopted."""
        os.close(self.theirs[0])
        self._theirs.close()
        if self._output >= 0:
            os.close(self._output)
        if not self._adopted:
            self._channel.close()


class ForkServer:
    """An interpreter that forks, and the pool of its workers."""

    def __init__(self, procs: Procs, python: str, env: Mapping[str, str], cwd: str, retention: Retention) -> None:
        self._procs = procs
        self._retention = retention

        def launch(fd: int) -> Launch:
            return Launch([python, "-u", START, "--serve", str(fd)], env, cwd, pass_fds=(fd,))

        self.child: SupervisedChild[Pool[Worker]] = SupervisedChild(
            f"fork server {python}", procs, launch, self._ready, control=socket.SOCK_SEQPACKET, policy=POLICY
        )

    async def take(self) -> Worker | None:
        """Return a worker, None if the server is not ready or cannot fork."""
        if self.child.session is None:
            return None
        async with self.child.use() as workers:
            return await workers.take()

    async def _ready(self, started: Started) -> Pool[Worker]:
        """Wait until everything is imported."""
        control = PacketSocket(started.control)
        if await control.receive() != b"ready":
            raise EOFError("exited while importing packages")
        create = functools.partial(self._fork, control)
        alive = operator.attrgetter("process.running")
        pool = Pool("worker", create, Worker.dismiss, alive, keep=KEEP, delay=AFTER_SECONDS)
        started.on_end(pool.close)
        return pool

    async def _fork(self, control: PacketSocket) -> list[Worker]:
        ends = [_WorkerEnds() for _ in range(BATCH)]
        workers: list[Worker] = []
        try:
            control.send(b"fork", [fd for each in ends for fd in each.theirs])
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await control.receive()
            for number, pid in re.findall(rb"(\d+):(\d+)", answer):
                workers.append(await ends[int(number)].adopt(self._procs, int(pid), self._retention))
        except (OSError, TimeoutError) as error:
            # A late answer would be taken for the answer to the next request.
            self.child.end("no answer")
            log.warning("fork server failed to fork a worker: %s", str(error) or type(error).__name__)
        else:
            if answer and b":" not in answer:
                self.child.end(answer.decode(), cool_down=answer == b"memory")
        finally:
            for each in ends:
                each.close()
        return workers


class ForkServerPool:
    """Own the fork servers."""

    def __init__(self, procs: Procs, *, workdir: str, max_output: int) -> None:
        self._procs = procs
        self._workdir = workdir
        self._retention = Retention.capped(max_output)
        # In the order of use.
        self._servers: dict[Key, ForkServer] = {}
        self._starting: dict[ForkServer, asyncio.Task[None]] = {}
        self._usable = True

    async def take(self, python: str, base: Mapping[str, str], extra: Mapping[str, str], size: int) -> Worker | None:
        """Return a worker; None for a cold start, after which there may be a server for the next run.

        ``base`` is the environment without the variables of the request, which are ``extra``; ``size`` is the length
        of the program.
        """
        early = any(_EARLY.match(name) and base.get(name) != value for name, value in extra.items())
        if not self._usable or size > MAX_CODE or early:
            return None
        key = (python, tuple(sorted((name, value) for name, value in base.items() if _EARLY.match(name))))
        server = self._servers.pop(key, None)
        if server is None:
            server = ForkServer(self._procs, python, base, self._workdir, self._retention)
        self._servers[key] = server
        worker = await server.take()
        if worker is None:
            self._begin(server)
        return worker

    async def started(self) -> None:
        """Wait until no server is starting."""
        while self._starting:
            await asyncio.wait(list(self._starting.values()))

    async def close(self) -> None:
        """End all servers."""
        self._usable = False
        await asyncio.gather(*(server.child.close() for server in self._servers.values()))
        await self.started()

    def _begin(self, server: ForkServer) -> None:
        if self._usable and server not in self._starting:
            task = asyncio.create_task(self._start(server), name="start fork server")
            self._starting[server] = task
            task.add_done_callback(lambda _: self._starting.pop(server))

    async def _start(self, server: ForkServer) -> None:
        # Workers are orphans of the server: their exit status can be read only if the kernel makes them our children.
        if not await asyncio.to_thread(reaper.is_subreaper):
            self._usable = False
            return
        with contextlib.suppress(ChildUnavailable):  # the supervisor logs why
            workers = await server.child.start()
            workers.prepare()
        while len(self._servers) > MAX_SERVERS:
            await self._servers.pop(next(iter(self._servers))).child.close()
