"""Work that is only worth doing while somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from toolbox.http.streams import disconnected

T = TypeVar("T")


async def while_connected(request: web.BaseRequest, work: Coroutine[Any, Any, T]) -> T:
    """Await work that changes nothing, and cancel it when the client of a request leaves."""
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
            task.exception()
