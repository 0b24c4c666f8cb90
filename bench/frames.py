"""Count what one command costs in Python frames, and list the calls between the handler and the spawn.

    python -m bench.frames [--command TEXT] [--requests N] [--json]

Method. The daemon runs in this process, in the main thread, set up as ``toolbox serve`` does it. A client on the same
loop sends ``POST /process/execute`` over one kept-alive TCP connection, each request in a single write. Ten requests
warm it up: lazy imports, threads, caches. Each of the following (9 unless told otherwise) is counted alone, from before
its first byte is sent until no frame was entered for 150 ms after the answer; so the search for orphans that follows
the end of a child, 100 ms later, is part of it.

A frame is a call of Python code that lies in the folder of the ``toolbox`` package, seen as a ``call`` event of
``sys.setprofile``. Coroutines and generators have more of these events, one for each time they are resumed; those are
counted apart, as resumptions. Threads get the hook when they start, and the loop's thread is counted apart from all
others. The figure is the median over the requests, and the functions listed are those of a request with that figure.

A hop is a function of ours on the way from the handler to the system call that makes the child: the stack of the loop's
thread when it puts the work into the queue of a thread, then the stack of that thread when it calls ``fork_exec`` or
``posix_spawn``. A task continues the stack of the code that created it. A hop forwards if, apart from local variables
and functions, its body is a single call, with or without ``try`` around it.

To count another commit, run this file itself with ``PYTHONPATH`` set to a checkout of that commit.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import collections
import dis
import functools
import inspect
import json
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import textwrap
import threading
from types import CodeType, FrameType
from typing import Any, NamedTuple

import toolbox
from toolbox.daemon import Daemon
from toolbox.host import reaper
from toolbox.settings import read

PACKAGE = str(pathlib.Path(toolbox.__file__).parent) + os.sep
HANDLER = "ExecApi.execute"
SPAWNING = {"fork_exec", "posix_spawn", "posix_spawnp", "fork", "forkpty"}
WARM_UP = 10
QUIET_SECONDS = 0.15


class Hop(NamedTuple):
    """One function on the way to the spawn."""

    name: str
    on_loop: bool
    forwards: bool


class Cost(NamedTuple):
    """What one request entered, by function, and its way to the spawn."""

    loop: collections.Counter[str]
    others: collections.Counter[str]
    resumptions: int
    hops: list[Hop]


class Hook:
    """The profile function of every thread, the loop's being the one that makes it."""

    def __init__(self) -> None:
        self._loop_thread = threading.get_ident()
        self._counting = False
        self._clear()

    def _clear(self) -> None:
        self.loop: collections.Counter[str] = collections.Counter()
        self.others: collections.Counter[str] = collections.Counter()
        self.resumptions = 0
        # By the frame of the coroutine; its code too, because the address of a frame is used again.
        self._created: dict[tuple[int, CodeType], list[CodeType]] = {}
        self._queued: list[CodeType] = []
        self._spawning: list[CodeType] = []

    def install(self) -> None:
        """Profile this thread and every thread that starts from now on."""
        threading.setprofile(self)
        sys.setprofile(self)

    def start(self) -> None:
        """Count from zero."""
        self._clear()
        self._counting = True

    @property
    def entered(self) -> int:
        """Return the number of events so far."""
        return self.loop.total() + self.others.total() + self.resumptions

    def stop(self) -> Cost:
        """Return what was counted since ``start``."""
        self._counting = False
        hops = [Hop(name_of(code), True, forwards(code)) for code in self._queued]
        hops += [Hop(name_of(code), False, forwards(code)) for code in self._spawning]
        return Cost(self.loop, self.others, self.resumptions, hops)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take one event of the interpreter."""
        if not self._counting:
            return
        if event == "call":
            self._entered(frame)
        elif event == "c_call":
            self._calls(frame, arg)

    def _entered(self, frame: FrameType) -> None:
        on_loop = threading.get_ident() == self._loop_thread
        if frame.f_code.co_filename.startswith(PACKAGE):
            if frame.f_lasti > start_of(frame.f_code):
                self.resumptions += 1
            else:
                (self.loop if on_loop else self.others)[name_of(frame.f_code)] += 1
        elif on_loop and frame.f_code.co_qualname == "BaseEventLoop.create_task":
            first = frame.f_locals["coro"].cr_frame
            self._created[id(first), first.f_code] = self._stack(frame)

    def _calls(self, frame: FrameType, function: Any) -> None:
        on_loop = threading.get_ident() == self._loop_thread
        if on_loop and function.__name__ == "put" and not self._spawning:
            self._queued = self._below_handler(frame) or self._queued
        elif function.__name__ in SPAWNING and not self._spawning:
            if on_loop:
                self._queued = self._below_handler(frame)
            else:
                self._spawning = self._stack(frame)

    def _below_handler(self, frame: FrameType) -> list[CodeType]:
        stack = self._stack(frame)
        names = [code.co_qualname for code in stack]
        return stack[names.index(HANDLER) :] if HANDLER in names else []

    def _stack(self, frame: FrameType | None) -> list[CodeType]:
        """Return our functions from the outermost to ``frame``, through the tasks that led to it."""
        found: list[CodeType] = []
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                found.append(frame.f_code)
            origin = self._created.get((id(frame), frame.f_code))
            if origin is not None:
                return origin + found[::-1]
            frame = frame.f_back
        return found[::-1]


@functools.cache
def start_of(code: CodeType) -> int:
    """Return the offset of the instruction that a frame begins with; the later ones of its kind are resumptions."""
    return next(found.offset for found in dis.get_instructions(code) if found.opname == "RESUME")


@functools.cache
def name_of(code: CodeType) -> str:
    """Return module and qualified name."""
    module = code.co_filename.removeprefix(PACKAGE).removesuffix(".py").replace(os.sep, ".")
    return f"{module}.{code.co_qualname}"


def forwards(code: CodeType) -> bool:
    """Tell whether a function does nothing but to call another one."""
    if code.co_name == "<lambda>":
        return True
    function = ast.parse(textwrap.dedent(inspect.getsource(code))).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    local = ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef
    body = [statement for statement in function.body if not (isinstance(statement, local) or _is_docstring(statement))]
    if len(body) == 1 and isinstance(body[0], ast.Try):
        body = body[0].body
    return len(body) == 1 and _is_call(body[0])


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_call(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Return | ast.Expr) else None
    if isinstance(value, ast.Await):
        value = value.value
    return isinstance(value, ast.Call)


async def measure(command: str, requests: int) -> list[Cost]:
    """Serve in this thread and count each request."""
    hook = Hook()
    hook.install()
    try:
        with tempfile.TemporaryDirectory(prefix="toolbox-bench-") as folder:
            kept = {name: value for name, value in os.environ.items() if not name.startswith("DAYTONA_")}
            environ = {**kept, "HOME": folder, "TOOLBOX_WORKDIR": folder, "DAYTONA_DAEMON_LOG_FILE_PATH": ""}
            daemon = Daemon(read(environ, []))
            listener = socket.create_server(("127.0.0.1", 0))
            daemon.procs.start_reaping()
            await daemon.start([listener])
            try:
                return await _costs(hook, listener.getsockname()[1], command, requests)
            finally:
                await daemon.close()
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
        sys.setprofile(None)


async def _costs(hook: Hook, port: int, command: str, requests: int) -> list[Cost]:
    body = json.dumps({"command": command}).encode()
    head = f"POST /process/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(WARM_UP):
        await _exchange(reader, writer, request)
    await asyncio.sleep(2 * QUIET_SECONDS)
    costs = []
    for _ in range(requests):
        hook.start()
        await _exchange(reader, writer, request)
        entered = -1
        while entered != hook.entered:
            entered = hook.entered
            await asyncio.sleep(QUIET_SECONDS)
        costs.append(hook.stop())
    writer.close()
    await writer.wait_closed()
    return costs


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200 "), head
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(None, 1)[0]))


def typical(costs: list[Cost]) -> Cost:
    """Return the request with the median number of frames on the loop."""
    median = statistics.median_low(cost.loop.total() for cost in costs)
    return next(cost for cost in costs if cost.loop.total() == median)


def as_json(costs: list[Cost]) -> str:
    """Return the figures as one JSON object."""
    cost = typical(costs)
    figures = {
        "frames_on_loop": cost.loop.total(),
        "resumptions": cost.resumptions,
        "frames_in_threads": cost.others.total(),
        "frames_on_loop_of_each_request": [each.loop.total() for each in costs],
        "hops": [hop._asdict() for hop in cost.hops],
        "on_loop": dict(cost.loop),
        "in_threads": dict(cost.others),
    }
    return json.dumps(figures, indent=2)


def lines(costs: list[Cost]) -> list[str]:
    """Return the figures as text."""
    cost = typical(costs)
    each = [one.loop.total() for one in costs]
    passing = sum(hop.forwards for hop in cost.hops)
    return [
        f"frames on the loop: {cost.loop.total()} (of {len(each)} requests: {min(each)} to {max(each)})",
        *(f"  {count:3}  {name}" for name, count in cost.loop.most_common()),
        f"resumptions of coroutines and generators: {cost.resumptions}",
        f"frames in threads: {cost.others.total()}",
        *(f"  {count:3}  {name}" for name, count in cost.others.most_common()),
        f"hops from the handler to the spawn: {len(cost.hops)}, of which {passing} only forward",
        *(_hop_line(number, hop) for number, hop in enumerate(cost.hops, 1)),
    ]


def _hop_line(number: int, hop: Hop) -> str:
    notes = ("" if hop.on_loop else "  (thread)") + ("  forwards" if hop.forwards else "")
    return f"  {number:3}  {hop.name}{notes}"


def main(argv: list[str] | None = None) -> int:
    """Count, and print the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.frames", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--command", default="true", help="what to run (default: true)")
    parser.add_argument("--requests", type=int, default=9, help="how many requests to count (default: 9)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    reaper.set_subreaper()
    costs = asyncio.run(measure(options.command, options.requests))
    print(as_json(costs) if options.json else "\n".join(lines(costs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
