"""The system endpoints over HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolbox import __version__
from toolbox.host.env import Environment
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys, sign
from toolbox.system.api import Identity
from toolbox.system.component import SystemComponent

TOKEN = "correct horse battery staple"


class System:
    """The system component, served on a port."""

    def __init__(self, token: str = "") -> None:
        self.env = Environment({"PATH": "/bin", "HOME": "/home/me", "TOOLBOX_TOKEN": "x"})
        self.keys = SigningKeys()
        self.component = SystemComponent(
            identity=Identity(version="0.226.1", home="/home/me", workdir="/work"), env=self.env, keys=self.keys
        )
        self.server = HttpServer(collect(*self.component.apis), Access(self.keys, token=token), sandbox_id="box")
        self.server.observers.append(self.component.observe)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> System:
        await self.server.start([self.listener])
        self.component.listening([self.listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.server.drain(1)
        await self.server.close()
        await self.component.close()


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with System() as system:
        yield system


@pytest.fixture
async def http(system: System) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(system.url) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with http.get(path) as answer:
        return answer.status, await answer.json()


async def post(http: aiohttp.ClientSession, path: str, body: bytes) -> tuple[int, Any]:
    # The Python SDK sends no Content-Type with these requests.
    async with http.post(path, data=body, skip_auto_headers=["Content-Type"]) as answer:
        return answer.status, await answer.json()


async def test_version_is_the_protocol_level_and_our_own(http: aiohttp.ClientSession) -> None:
    assert await get(http, "/version") == (200, {"version": "0.226.1", "toolboxVersion": __version__})


async def test_old_go_client_gets_the_version_alone(http: aiohttp.ClientSession) -> None:
    headers = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "0.187.0"}
    async with http.get("/version", headers=headers) as answer:
        assert await answer.json() == {"version": "0.226.1"}


@pytest.mark.parametrize(
    ("path", "folder"), [("/user-home-dir", "/home/me"), ("/project-dir", "/home/me"), ("/work-dir", "/work")]
)
async def test_directories(http: aiohttp.ClientSession, path: str, folder: str) -> None:
    assert await get(http, path) == (200, {"dir": folder})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token": "t"}', b'{"token": null, "unknown": [1]}'])
async def test_init_takes_anything_sensible_any_number_of_times(http: aiohttp.ClientSession, body: bytes) -> None:
    for _ in range(2):
        status, answer = await post(http, "/init", body)
        assert (status, answer) == (200, {"message": "Auth token set and telemetry initialized successfully"})


@pytest.mark.parametrize("body", [b"{", b'{"token": 5}', b"[]", b"\xff"])
async def test_init_refuses_what_is_not_its_body(http: aiohttp.ClientSession, body: bytes) -> None:
    status, answer = await post(http, "/init", body)
    assert (status, answer["code"]) == (400, "INVALID_REQUEST_BODY")


async def test_init_replaces_the_signing_key(system: System, http: aiohttp.ClientSession) -> None:
    query = {"path": ["/f"], "expires": ["0"], "signature": [sign("new key", "GET", "/f", 0)]}
    await post(http, "/init", b'{"signingKey": "new key"}')
    system.keys.verify("GET", query)
    await post(http, "/init", b'{"token": "only a token"}')
    system.keys.verify("GET", query)


async def test_env_changes_what_children_get(system: System, http: aiohttp.ClientSession) -> None:
    system.env.update({"OLD": "placeholder:1", "KEEP": "placeholder:2", "GONE": "x"})
    body = b'{"set": {"NEW": "v", "KEEP": "real"}, "unset": ["GONE", "NEVER"], "unsetValuePrefix": "placeholder:"}'
    assert await post(http, "/env", body) == (200, {"message": "Environment updated successfully"})
    variables = system.env.merged()
    assert (variables["NEW"], variables["KEEP"]) == ("v", "real")
    assert not variables.keys() & {"OLD", "GONE"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"set": {"A": "1", "B=C": "2"}}', "BAD_REQUEST"),
        (b'{"set": {"A": "1", "": "2"}}', "BAD_REQUEST"),
        (b'{"set": {"A": "1", "B": "x\\u0000y"}}', "BAD_REQUEST"),
        (b'{"set": {"A": 1}}', "INVALID_REQUEST_BODY"),
        (b'{"set": ["A"]}', "INVALID_REQUEST_BODY"),
        (b"nonsense", "INVALID_REQUEST_BODY"),
    ],
)
async def test_bad_env_changes_nothing(system: System, http: aiohttp.ClientSession, body: bytes, code: str) -> None:
    before = system.env.merged()
    status, answer = await post(http, "/env", body)
    assert (status, answer["code"], answer["source"]) == (400, code, "DAYTONA_DAEMON")
    assert system.env.merged() == before


async def test_empty_value_prefix_means_none(system: System, http: aiohttp.ClientSession) -> None:
    before = system.env.merged()
    assert (await post(http, "/env", b'{"unsetValuePrefix": "", "set": null, "unset": null}'))[0] == 200
    assert system.env.merged() == before


async def test_env_lists_names_and_never_values(http: aiohttp.ClientSession) -> None:
    assert await get(http, "/env") == (200, {"names": ["HOME", "PATH"]})


METRIC_INTS = ("cpuCount", "memTotal", "memUsed", "memCache", "diskTotal", "diskUsed", "diskFree", "timestampUnix")


async def test_metrics_are_what_the_strict_client_model_takes(http: aiohttp.ClientSession) -> None:
    status, body = await get(http, "/system/metrics")
    assert status == 200
    assert set(body) == {*METRIC_INTS, "cpuUsedPct", "timestamp"}
    assert [name for name in METRIC_INTS if type(body[name]) is not int] == []
    assert 0 <= body["cpuUsedPct"] <= 100
    # Python 3.10 reads 0, 3 or 6 fractional digits only.
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?Z", body["timestamp"])


async def test_ports_hold_our_own_and_are_in_order(system: System, http: aiohttp.ClientSession) -> None:
    status, body = await get(http, "/port")
    assert status == 200
    assert body["ports"] == sorted(set(body["ports"]))
    assert system.port in body["ports"]


async def test_port_in_use(system: System, http: aiohttp.ClientSession) -> None:
    assert await get(http, f"/port/{system.port}/in-use") == (200, {"isInUse": True})
    with socket.socket() as unused:  # bound, so that no other process gets the port; not listening
        unused.bind(("127.0.0.1", 0))
        assert await get(http, f"/port/{unused.getsockname()[1]}/in-use") == (200, {"isInUse": False})


@pytest.mark.parametrize("port", ["0", "65536", "70000", "abc", "-1", "80.0", "%20", "3000%40x"])
async def test_port_out_of_range_is_refused(http: aiohttp.ClientSession, port: str) -> None:
    status, body = await get(http, f"/port/{port}/in-use")
    assert (status, body["code"]) == (400, "BAD_REQUEST")
    assert "must be" in body["message"]


async def test_health_names_the_listeners(system: System, http: aiohttp.ClientSession) -> None:
    status, body = await get(http, "/healthz")
    assert (status, body["status"]) == (200, "ok")
    assert body["uptimeSeconds"] >= 0
    assert body["listeners"] == {"api": {"state": "listening", "address": f"127.0.0.1:{system.port}"}}


async def test_failed_listener_degrades_health(system: System, http: aiohttp.ClientSession) -> None:
    system.component.health.failed("ssh", "address already in use")
    system.component.health.off("web-terminal")
    _, body = await get(http, "/healthz")
    assert body["status"] == "degraded"
    assert body["listeners"]["ssh"] == {"state": "failed", "detail": "address already in use"}
    assert body["listeners"]["web-terminal"] == {"state": "off"}


async def scrape(http: aiohttp.ClientSession) -> dict[str, dict[frozenset[str], float]]:
    async with http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    found: dict[str, dict[frozenset[str], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.values())] = sample.value
    return found


async def test_prometheus_counts_requests_by_route_template(system: System, http: aiohttp.ClientSession) -> None:
    system.component.counters.add("execs_total", "commands started", lambda: 7, counter=True)
    for port in ("1", "2", "x"):
        await get(http, f"/port/{port}/in-use")
    async with http.request("PROPFIND", "/no/such/route"):
        pass
    found = await scrape(http)
    requests = found["toolbox_http_requests_total"]
    assert requests[frozenset({"200", "/port/{port}/in-use", "GET"})] == 2
    assert requests[frozenset({"400", "/port/{port}/in-use", "GET"})] == 1
    assert requests[frozenset({"404", "(no route)", "other"})] == 1
    assert found["toolbox_http_request_duration_seconds_count"][frozenset({"/port/{port}/in-use", "GET"})] == 3
    assert found["toolbox_execs_total"][frozenset()] == 7


async def test_prometheus_shows_the_process_and_the_loop(http: aiohttp.ClientSession) -> None:
    found = await scrape(http)
    for name in ("process_resident_memory_bytes", "process_open_fds", "toolbox_event_loop_delay_seconds"):
        assert found[name][frozenset()] > 0
    assert found["toolbox_children"][frozenset()] >= 0


async def test_duration_buckets_are_cumulative(system: System, http: aiohttp.ClientSession) -> None:
    for seconds in (0.001, 0.03, 0.03, 100.0):
        system.component.counters.count("GET", "/slow", 200, seconds)
    buckets = (await scrape(http))["toolbox_http_request_duration_seconds_bucket"]
    counts = [buckets[frozenset({bound, "GET", "/slow"})] for bound in ("0.002", "0.025", "0.05", "60.0", "+Inf")]
    assert counts == [1, 1, 3, 3, 4]


async def test_only_version_and_health_answer_without_the_token() -> None:
    async with System(TOKEN) as system, aiohttp.ClientSession(system.url) as http:
        paths = ["/version", "/healthz", "/metrics", "/env", "/port", "/system/metrics", "/work-dir", "/user-home-dir"]
        statuses = {path: (await get_status(http, path)) for path in paths}
    assert {path for path, status in statuses.items() if status == 200} == {"/version", "/healthz"}
    assert {status for path, status in statuses.items() if path not in ("/version", "/healthz")} == {401}


async def get_status(http: aiohttp.ClientSession, path: str) -> int:
    async with http.get(path) as answer:
        return answer.status


async def test_version_does_not_wait_for_slow_neighbours(system: System, http: aiohttp.ClientSession) -> None:
    slow = [asyncio.create_task(get_status(http, "/system/metrics")) for _ in range(8)]
    await asyncio.sleep(0)
    async with asyncio.timeout(0.2):
        assert await get_status(http, "/version") == 200
    await asyncio.gather(*slow)
