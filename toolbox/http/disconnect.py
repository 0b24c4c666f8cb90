"""Disconnects: whether a client is gone, waiting for it to go, and work that is cancelled when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from toolbox.http.connection import HttpConnection

T = TypeVar("T")


async def disconnected(request: web.BaseRequest) -> None:
    """Wait until the client of a request is gone."""
    protocol = request.protocol
    if isinstance(protocol, HttpConnection):
        await protocol.lost.wait()


def gone(request: web.BaseRequest) -> bool:
    """Tell whether the client of a request is gone."""
    return request.transport is None or request.transport.is_closing()


async def while_connected(request: web.BaseRequest, work: Coroutine[Any, Any, T]) -> T:
    """Await work that changes nothing, and cancel it when the client of a request disconnects."""
    return await until(disconnected(request), work)


async def until(gone: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T]) -> T:
    """Await work, and cancel it as soon as ``gone`` returns; that raises ``ConnectionResetError``."""
    task = asyncio.create_task(work, name="work for a client")
    watch = asyncio.create_task(gone, name="client watch")
    try:
        await asyncio.wait([task, watch], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ConnectionResetError("client is gone")
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.wait([task, watch])
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs "exception was never retrieved"
