"""Take the types out of TypeScript with a node process that stays: loading node's own stripper takes longer than node.

The helper only parses; programs run elsewhere, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import socket
import struct
from collections.abc import Mapping

import toolbox
from toolbox.host.child import Child
from toolbox.host.launch import Launch
from toolbox.host.procs import Procs

log = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
# A parser that takes longer is stuck, and a program larger than this goes without the helper.
PATIENCE = 20.0
MAX_CODE = 8 * 1024 * 1024
_STRIP = str(pathlib.Path(toolbox.__path__[0], "payload", "strip.cjs"))


class _Helper:
    """A node process and the stream to it."""

    def __init__(self, node: str, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self._child = child
        self._reader = reader
        self._writer = writer

    async def strip(self, code: bytes) -> bytes | None:
        self._writer.write(struct.pack("<I", len(code)) + code)
        status, size = struct.unpack("<BI", await self._reader.readexactly(5))
        text = await self._reader.readexactly(size)
        return None if status else text

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._child.terminate()


class Stripper:
    """Own the helper: started with the first program, ended when none came for a while."""

    def __init__(self, procs: Procs, env: Mapping[str, str]) -> None:
        self._procs = procs
        self._env = env
        self._helper: _Helper | None = None
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def strip(self, node: str, code: str) -> str | None:
        """Return the program as JavaScript; None if that cannot be done here."""
        data = code.encode()
        if len(data) > MAX_CODE:
            return None
        async with self._lock:
            try:
                async with asyncio.timeout(PATIENCE):
                    text = await (await self._ready(node)).strip(data)
            except (OSError, EOFError, TimeoutError) as error:
                log.warning("types cannot be stripped: %s", str(error) or type(error).__name__)
                await self._end()
                return None
            except asyncio.CancelledError:
                await self._end()  # an answer that nobody took would be taken for the next one
                raise
        self._rest()
        return None if text is None else text.decode()

    async def close(self) -> None:
        """End the helper."""
        async with self._lock:
            await self._end()

    async def _ready(self, node: str) -> _Helper:
        if self._helper is not None and self._helper.node != node:
            await self._end()
        if self._helper is None:
            self._helper = await self._start(node)
        return self._helper

    async def _start(self, node: str) -> _Helper:
        ours, theirs = socket.socketpair()
        try:
            argv = [node, "--disable-warning=ExperimentalWarning", _STRIP]
            child = await self._procs.spawn_raw(Launch(argv, self._env, "/", stdin=theirs.fileno()))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        return _Helper(node, child, reader, writer)

    async def _end(self) -> None:
        helper, self._helper = self._helper, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if helper is not None:
            await helper.close()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._ending = asyncio.create_task(self.close(), name="end the type stripper")
