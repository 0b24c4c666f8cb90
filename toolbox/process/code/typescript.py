"""Strip the types from TypeScript in a node process that is kept: node's own stripper takes longer to load than node.

The helper only parses. Programs run elsewhere, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import logging
import pathlib
import socket
from collections.abc import Mapping

import toolbox
from toolbox.errors import Unavailable
from toolbox.host.launch import Launch
from toolbox.host.procs import Procs
from toolbox.runs.messages import LengthPrefix, MessageError, MessageStream
from toolbox.runs.supervised import Policy, Started, SupervisedChild

log = logging.getLogger(__name__)

# A parser that takes longer is stuck; a larger program is left to node itself.
ANSWER_SECONDS = 20.0
MAX_CODE = 8 * 1024 * 1024
POLICY = Policy(start_seconds=20.0, idle_seconds=600.0, cool_down_seconds=20.0)
_STRIP = str(pathlib.Path(toolbox.__path__[0], "payload", "strip.cjs"))


class Stripper:
    """Own the helper: started with the first program, ended when idle."""

    def __init__(self, procs: Procs, env: Mapping[str, str]) -> None:
        self._procs = procs
        self._env = env
        self._helper: SupervisedChild[MessageStream] | None = None
        self._node = ""
        self._lock = asyncio.Lock()

    async def strip(self, node: str, code: str) -> str | None:
        """Return the program as JavaScript; None if the helper cannot, or the program is not valid."""
        data = code.encode()
        if len(data) > MAX_CODE:
            return None
        async with self._lock:
            helper = await self._helper_of(node)
            try:
                async with helper.use() as stream, asyncio.timeout(ANSWER_SECONDS):
                    await stream.send(data)
                    answer = await stream.receive()
            except Unavailable:
                return None  # the supervisor logs why
            except BaseException as error:
                # Its answer would be taken for the answer to the next program.
                helper.end("no answer")
                if not isinstance(error, (OSError, EOFError, MessageError)):
                    raise
                log.warning("types cannot be stripped: %s", str(error) or type(error).__name__)
                return None
        # The first byte is 0 for success.
        return None if answer[0] else answer[1:].decode()

    async def close(self) -> None:
        """End the helper."""
        async with self._lock:
            if self._helper is not None:
                await self._helper.close()

    async def _helper_of(self, node: str) -> SupervisedChild[MessageStream]:
        if self._helper is None or self._node != node:
            if self._helper is not None:
                await self._helper.close()

            def launch(fd: int) -> Launch:
                return Launch([node, "--disable-warning=ExperimentalWarning", _STRIP], self._env, "/", stdin=fd)

            self._node = node
            self._helper = SupervisedChild(
                "TypeScript helper", self._procs, launch, _ready, control=socket.SOCK_STREAM, policy=POLICY
            )
        return self._helper


async def _ready(started: Started) -> MessageStream:
    # Escapes and enum code make the JavaScript larger than the program.
    stream = await MessageStream.over_socket(started.control, LengthPrefix(8 * MAX_CODE))
    started.on_end(stream.close)
    await stream.receive()
    return stream
