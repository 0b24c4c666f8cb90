"""A control plane as small as the SDKs allow: one sandbox whose toolbox is the server under test.

Run as a program: ``python control_plane.py TOOLBOX_URL``; prints its own URL. Newer SDKs read ``toolboxProxyUrl`` and
talk to the toolbox directly; SDKs before 0.160 send toolbox calls through the control plane, which passes them on.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
from aiohttp import web

ID = "box"
ORGANIZATION = "00000000-0000-4000-8000-000000000001"
HOP = {"transfer-encoding", "connection", "content-length", "content-encoding", "host"}
UPSTREAM = web.AppKey("upstream", aiohttp.ClientSession)
TOOLBOX = web.AppKey("toolbox", str)


def sandbox(toolbox: str) -> dict[str, Any]:
    """Return the sandbox object that every client accepts."""
    return {
        "id": ID,
        "organizationId": ORGANIZATION,
        "name": ID,
        "user": "daytona",
        "env": {},
        "labels": {"code-toolbox-language": "python"},
        "public": False,
        "networkBlockAll": False,
        "kvm": False,
        "target": "local",
        "cpu": 1,
        "gpu": 0,
        "memory": 1,
        "disk": 3,
        "state": "started",
        "desiredState": "started",
        "snapshot": "local",
        "toolboxProxyUrl": toolbox,
        "runnerDomain": toolbox,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }


async def get_sandbox(request: web.Request) -> web.Response:
    return web.json_response(sandbox(request.app[TOOLBOX]))


async def get_proxy_url(request: web.Request) -> web.Response:
    return web.json_response({"url": request.app[TOOLBOX]})


async def get_config(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "version": "1",
            "oidc": {"issuer": "none", "clientId": "none", "audience": "none"},
            "linkedAccountsEnabled": False,
            "announcements": {},
            "proxyTemplateUrl": request.app[TOOLBOX],
            "proxyToolboxUrl": request.app[TOOLBOX],
            "defaultSnapshot": "local",
            "dashboardUrl": "none",
            "maxAutoArchiveInterval": 1,
            "maintananceMode": False,
            "environment": "test",
        }
    )


async def pass_on(request: web.Request) -> web.StreamResponse:
    """Forward a toolbox call of an old SDK, path and body untouched."""
    target = request.app[TOOLBOX] + request.rel_url.raw_path.removeprefix("/api")
    query = request.rel_url.raw_query_string
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    body = await request.read()
    async with request.app[UPSTREAM].request(
        request.method, f"{target}?{query}" if query else target, headers=headers, data=body
    ) as answer:
        response = web.StreamResponse(status=answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                response.headers[name] = value
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def main(toolbox: str) -> None:
    """Serve until killed."""
    app = web.Application(client_max_size=1 << 30)
    app[TOOLBOX] = toolbox
    app[UPSTREAM] = aiohttp.ClientSession(auto_decompress=False)
    app.router.add_get("/api/config", get_config)
    app.router.add_post("/api/sandbox", get_sandbox)
    app.router.add_get("/api/sandbox/{id}", get_sandbox)
    app.router.add_get("/api/sandbox/{id}/toolbox-proxy-url", get_proxy_url)
    app.router.add_route("*", "/api/toolbox/{tail:.*}", pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/api", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
