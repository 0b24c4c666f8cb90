"""Spawn child processes, collect their exit status, terminate their trees. No other module spawns.

Every child leads a session of its own, has default signal handlers and only the descriptors it was given. Its exit is
an event on a pidfd. Spawning is a race with the orphan reaper: between fork and registration a child looks like an
orphan, and reaping it would lose its exit status. Therefore one thread both spawns and searches for orphans. Orphans
are reaped by pid: ``waitpid(-1)`` would also take the status of our own children.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from toolbox.errors import Unavailable
from toolbox.host import reaper, tree
from toolbox.host.cgroups import Cgroup
from toolbox.host.child import Child, Completed, ExitStatus, Process
from toolbox.host.exit_report import ExitReporter
from toolbox.host.launch import PIPE, ChildPipes, Launch, Stdin
from toolbox.host.limits import Limiter, Limits
from toolbox.host.oom import OutOfMemory
from toolbox.host.orphans import OrphanReaper
from toolbox.host.output_log import Channel, OutputLog, Retention
from toolbox.host.pipes import PipeReader
from toolbox.host.spool import Spool
from toolbox.host.usage import Usage
from toolbox.host.users import UserIdentity
from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

# Pipes that background processes of finished commands keep open; above this many the oldest is closed.
MAX_LEFTOVERS = 1024
C = TypeVar("C", bound=Child)


class _Spawned(msgspec.Struct):
    """A spawned child, with the daemon's ends of its pipes."""

    pid: int
    pidfd: int | None
    group: Cgroup | None = None
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class Procs:
    """Spawn child processes, watch them, and terminate them on close."""

    def __init__(
        self,
        spool: Spool,
        *,
        pidfds: bool = True,
        limiter: Limiter | None = None,
        oom: OutOfMemory | None = None,
        grace: float = 0.0,
        max_leftovers: int = MAX_LEFTOVERS,
    ) -> None:
        self._spool = spool
        self._pidfds = pidfds and hasattr(os, "pidfd_open")

        self._limiter = limiter or Limiter()
        self._grace = grace
        self._max_leftovers = max_leftovers
        self._spawner = WorkerPool("spawn", 1)
        self._process_table = tree.ProcessTable(WorkerPool("process-scan", 2))
        self._live: dict[int, Child] = {}
        self._own: set[int] = set()
        self._pipe_readers: dict[PipeReader, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._orphan_reaper: OrphanReaper | None = None
        self._oom = oom or OutOfMemory()
        self.exit_reporter = ExitReporter(self._process_table, self._spawner, self._oom)
        self._closing = False

    def start_reaping(self) -> None:
        """Reap orphans and reset ignored signals; only for the daemon, in its main thread."""
        reaper.default_signals()
        self._orphan_reaper = OrphanReaper(self._own, self._spawner)
        self._orphan_reaper.start()

    @property
    def live(self) -> list[Child]:
        """List the children that have not ended."""
        return list(self._live.values())

    async def spawn(  # noqa: PLR0913 - each is one fact about a process
        self,
        argv: Sequence[str | bytes],
        *,
        env: Mapping[str, str],
        cwd: str | bytes,
        executable: str | None = None,
        stdin: Stdin = None,
        merge: bool = True,
        output_log: OutputLog | None = None,
        retention: Retention | None = None,
        pass_fds: Sequence[int] = (),
        user: UserIdentity | None = None,
        limits: Limits | None = None,
    ) -> Process:
        """Start a program and record its output; with ``merge`` both streams share one pipe and keep their order."""
        launch = Launch(argv, env, cwd, executable, stdin, PIPE, PIPE, merge, pass_fds, user=user, limits=limits)
        return await self.launch(launch, output_log, retention=retention)

    async def launch(
        self, launch: Launch, output_log: OutputLog | None = None, *, retention: Retention | None = None
    ) -> Process:
        """Start a program and record the streams that are ``PIPE``.

        The caller closes ``output``. An ``output_log`` passed in is not finished when the process ends. ``OSError``:
        ``filename`` is the working directory if that caused it, else the program.
        """
        last = output_log is None
        output = self._spool.output_log(retention) if output_log is None else output_log
        build = functools.partial(self._recorded, output=output, last=last)
        return await self._start_child(self._start, launch, build)

    async def spawn_raw(self, launch: Launch) -> Child:
        """Start a program on the caller's descriptors, which stay open; no output is recorded."""
        if PIPE in (launch.stdout, launch.stderr):
            raise ValueError("spawn_raw records no output: pass descriptors instead of PIPE")
        return await self._start_child(self._start, launch, self._unrecorded)

    async def run(
        self,
        argv: Sequence[str | bytes],
        *,
        env: Mapping[str, str],
        cwd: str | bytes,
        stdin: bytes | None = None,
        limit: int = 64 * 1024 * 1024,
        user: UserIdentity | None = None,
    ) -> Completed:
        """Run a program to its end and return its output, at most about ``limit`` bytes.

        On cancellation, for example by ``asyncio.timeout``, the process tree is killed first.
        """
        retention = Retention.capped(limit)
        process = await self.spawn(argv, env=env, cwd=cwd, stdin=stdin, merge=False, retention=retention, user=user)
        try:
            status = await process.settle()
            parts: dict[Channel, list[bytes]] = {Channel.STDOUT: [], Channel.STDERR: []}
            async for chunk in process.output.chunks():
                parts[chunk.channel].append(chunk.data)
            out, err = (b"".join(found) for found in parts.values())
            return Completed(status, out, err, truncated=process.output.dropped > 0)
        finally:
            if process.running:
                await asyncio.shield(process.terminate())
            process.release()
            await process.output.close()

    async def adopt(self, make: Callable[[], int]) -> Child:
        """Watch a child that a library forks: ``make`` runs in the spawn thread and returns its pid.

        The library must not call ``waitpid`` for it: that would take the exit status.
        """
        return await self._start_child(self._adopt, make, self._unrecorded)

    async def adopt_process(self, pid: int, stdout: int, *, retention: Retention | None = None) -> Process:
        """Watch a re-parented process that leads a session, and record its output; takes ownership of ``stdout``.

        Requires ``reaper.is_subreaper``: only the parent of a process can collect its exit status.
        """

        def build(started: _Spawned) -> Process:
            started.stdout = stdout
            return self._recorded(started, self._spool.output_log(retention), last=False)

        try:
            return await self._start_child(self._adopt, lambda: pid, build)
        except Unavailable:
            os.close(stdout)
            raise

    async def close(self, grace: float | None = None) -> None:
        """Terminate all children, with the orphan reaper also all other descendants, and close all descriptors."""
        grace = self._grace if grace is None else grace
        self._closing = True
        await self._spawner.run(lambda: None)  # flushes the queue: spawns submitted before it have finished
        await asyncio.gather(*(child.terminate(grace) for child in self.live))
        if self._orphan_reaper is not None:
            await self._end_found(tree.below_self, grace)
        if self._tasks:
            await asyncio.wait(self._tasks)
        for pipe_reader in list(self._pipe_readers):
            pipe_reader.close()
        await self._spawner.run(lambda: self._limiter.cgroups.sweep(everything=True))
        await self._process_table.workers.close()
        if self._orphan_reaper is not None:
            await self._orphan_reaper.close()
        await self._spawner.close()

    # Up to the next such comment everything runs in the spawn thread.

    def _start(self, launch: Launch) -> _Spawned:
        self._oom.prime()
        with ChildPipes() as child_pipes:
            stdin = _or_null(child_pipes.input(launch.stdin))
            stdout = _or_null(child_pipes.output(launch.stdout))
            stderr = subprocess.STDOUT if launch.merge else _or_null(child_pipes.output(launch.stderr))
            command, executable = launch.command
            user, group, groups = launch.identity
            popen = subprocess.Popen(
                command,
                executable=executable,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=launch.cwd,
                env=launch.env,
                pass_fds=launch.pass_fds,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=groups,
            )
            # Without a return code Popen itself waits for the pid when it is collected.
            popen.returncode = 0
            pidfd = self._register(popen.pid)
            cgroup = self._limiter.started(popen.pid, launch.limits)
            return _Spawned(popen.pid, pidfd, cgroup, *child_pipes.detach())

    def _register(self, pid: int) -> int | None:
        # Orphans are searched for in this thread, so the search never sees the child before this line.
        self._own.add(pid)
        if not self._pidfds:
            return None
        try:
            return os.pidfd_open(pid)
        except OSError as error:
            log.warning("pidfd cannot be opened, waiting in a thread instead: %s", error)
            return None

    def _adopt(self, make: Callable[[], int]) -> _Spawned:
        pid = make()
        self._limiter.started(pid, None)
        return _Spawned(pid, self._register(pid))

    # From here on everything runs on the event loop.

    async def _start_child(self, call: Callable[[Any], _Spawned], argument: Any, build: Callable[[_Spawned], C]) -> C:
        """Start a child in the spawn thread and watch it on the loop, even if the caller was cancelled meanwhile."""
        if self._closing:
            raise Unavailable("daemon is shutting down")
        result: asyncio.Future[C] = asyncio.get_running_loop().create_future()

        def arrived(started: _Spawned | None, error: BaseException | None) -> None:
            if started is not None:
                child = build(started)
                self._watch(child, started)
                if result.cancelled():
                    self._abandon(child)
                else:
                    result.set_result(child)
            elif error is not None and not result.cancelled():
                result.set_exception(error)

        self._spawner.submit(functools.partial(call, argument), arrived)
        try:
            return await result
        except asyncio.CancelledError:
            if result.done() and not result.cancelled() and result.exception() is None:
                self._abandon(result.result())
            raise

    def _abandon(self, child: Child) -> None:
        """Terminate a child whose caller was cancelled before it got the child."""
        self._own_task(self._end_abandoned(child), "abandoned child")

    async def _end_abandoned(self, child: Child) -> None:
        await child.terminate()
        if isinstance(child, Process):
            child.release()
            await child.output.close()

    def _unrecorded(self, started: _Spawned) -> Child:
        child = Child(started.pid, started.pidfd, self, started.stdin)
        child.group = started.group
        return child

    def _recorded(self, started: _Spawned, output: OutputLog, *, last: bool) -> Process:
        process = Process(started.pid, started.pidfd, self, output, started.stdin)
        process.group = started.group
        for fd, channel in ((started.stdout, Channel.STDOUT), (started.stderr, Channel.STDERR)):
            if fd is not None:
                process.pipe_readers.append(self._pipe_reader(fd, channel, process, last=last))
        return process

    def _pipe_reader(self, fd: int, channel: Channel, process: Process, *, last: bool) -> PipeReader:
        def closed(pipe_reader: PipeReader) -> None:
            self._pipe_readers.pop(pipe_reader, None)
            if last and not process.writers_left:
                process.output.finish()

        pipe_reader = PipeReader(fd, process.output, channel, closed)
        self._pipe_readers[pipe_reader] = None
        if len(self._pipe_readers) > self._max_leftovers:
            self._close_oldest()
        return pipe_reader

    def _close_oldest(self) -> None:
        leftovers = [pipe_reader for pipe_reader in self._pipe_readers if pipe_reader.discarding]
        if len(leftovers) > self._max_leftovers:
            log.warning("output pipe of a background process closed: more than %d are open", self._max_leftovers)
            leftovers[0].close()

    def _watch(self, child: Child, started: _Spawned) -> None:
        self._live[child.pid] = child
        loop = asyncio.get_running_loop()
        if started.pidfd is not None:
            loop.add_reader(started.pidfd, self._on_exit, child, started.pidfd)
        else:
            threading.Thread(target=self._wait_in_thread, args=(child, loop), name="waiter", daemon=True).start()

    def _wait_in_thread(self, child: Child, loop: asyncio.AbstractEventLoop) -> None:
        # WNOWAIT leaves the zombie in place. Reaping it here would free the pid while the loop may still signal it.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        loop.call_soon_threadsafe(self._collect, child)

    def _on_exit(self, child: Child, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        self._collect(child)
        os.close(pidfd)

    def _collect(self, child: Child) -> None:
        usage = None
        try:
            _, status, used = os.wait4(child.pid, os.WNOHANG)
            usage = Usage.of(used)
        except ChildProcessError:
            log.error("exit status lost, process already reaped: pid %d", child.pid)  # noqa: TRY400 - a trace adds nothing
            status = 255 << 8
        del self._live[child.pid]
        self._own.discard(child.pid)
        child.reaped(ExitStatus.of(status), usage)

    async def end(self, child: Child, grace: float) -> None:
        """End the whole tree of a child; cancelling the caller does not interrupt it."""
        await asyncio.shield(self._own_task(self._end_tree(child, grace), "end process tree"))

    async def _end_tree(self, child: Child, grace: float) -> None:
        def find(entries: dict[int, tree.ProcessInfo]) -> dict[int, tree.ProcessInfo]:
            return tree.family(child.pid, entries, exited=not child.running)

        if child.group is not None and not grace:
            await self._process_table.workers.run(child.group.kill)
        await self._end_found(find, grace)
        if child.group is not None:
            # A daemonised process has left the tree (double fork, new session) but not the cgroup.
            await self._process_table.workers.run(child.group.kill)
        # The process has ended; its pidfd event may not have been handled yet. The timeout is for a process stuck in
        # the kernel (state D), which does not end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(tree.KILL_SECONDS):
                await child.wait()

    async def _end_found(self, find: tree.Find, grace: float) -> None:
        if self._pidfds:
            await tree.end(find, self._process_table, grace)
        else:
            await tree.end_without_pidfds(find, self._process_table, grace)

    def _own_task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _or_null(fd: int | None) -> int:
    return subprocess.DEVNULL if fd is None else fd
