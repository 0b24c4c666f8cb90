"""What every kind of run has in common: the details of its end, the cause of it, and the header of a late answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from toolbox.host.env import Environment
from toolbox.host.oom import OutOfMemory
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.host.worker_pool import WorkerPool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.pages import LateAnswers
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.code.api import CodeApi
from toolbox.process.code.component import CodeComponent
from toolbox.process.entrypoint import Entrypoint
from toolbox.process.exec.api import ExecApi
from toolbox.process.exec.component import ExecComponent
from toolbox.process.processes.component import ProcessesComponent
from toolbox.process.sessions.api import SessionsApi
from toolbox.process.sessions.component import SessionsComponent
from toolbox.process.sessions.entrypoint import EntrypointSession
from toolbox.process.terminals.component import TerminalsComponent
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry

KINDS = ("exec", "process", "session", "terminal", "code", "entrypoint")
LATE_KINDS = ("exec", "session", "code")
# Only where it is known: the kernel keeps one peak for the whole life of a shell.
WHERE_KNOWN = {"peakMemoryBytes"}


def _ignore(text: str, *, error: bool = False) -> None:
    del text, error


class Served:
    """Everything that runs processes, on a port, with a kernel whose count of OOM kills is a file of the test."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self._events = home / "cgroup" / "memory.events"
        self._kills = 0
        self._events.parent.mkdir()
        self._events.write_text("oom_kill 0\n")
        (home / "proc" / "self").mkdir(parents=True)
        (home / "proc" / "self" / "cgroup").write_text("0::/\n")
        oom = OutOfMemory(cgroup=str(home / "cgroup"), proc=str(home / "proc"))
        path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        env = Environment({"PATH": path, "HOME": str(home)}, own=())
        self.spool = Spool(home / "spool")
        self.procs = Procs(self.spool, oom=oom)
        self.registry = Registry()
        context = ProcessContext(self.procs, env, Shells(env.get), self.spool, self.registry, workdir=str(home))
        self.entrypoint = Entrypoint(context, (), on_output=_ignore, grace=0)
        terminals = TerminalsComponent(context, grace=0)
        processes = ProcessesComponent(context, terminals.terminals)
        exec_, code = ExecComponent(context, max_output=2**20), CodeComponent(context, max_output=2**20)
        sessions = SessionsComponent(
            context,
            self.entrypoint,
            state_dir=str(home / "state"),
            grace=0,
            stop_grace=0,
            send_signal=processes.processes.signal,
        )
        self.parts = (self.entrypoint, terminals, processes, exec_, code, sessions)
        late = LateAnswers(first_beat=0.05, beat=0.05)
        self._workers = WorkerPool("test", 1)
        apis = (
            ExecApi(exec_.commands, late),
            CodeApi(code.runs, late),
            SessionsApi(sessions.sessions, EntrypointSession(self.entrypoint, self._workers), late),
            *processes.apis,
        )
        routes = [route for api in apis for route in collect(api)]
        self.server = HttpServer(routes, Access(SigningKeys()), sandbox_id="box")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def kill_for_memory(self) -> None:
        """Count one more victim of the OOM killer."""
        self._kills += 1
        self._events.write_text(f"oom_kill {self._kills}\n")

    async def close(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.parts), self.server.drain(5))
        await self.server.close()
        for part in self.parts:
            await part.close()
        await self._workers.close()
        await self.registry.close()
        await self.procs.close()
        await self.spool.close()


@pytest.fixture
async def served(clean_environment: pathlib.Path) -> AsyncIterator[Served]:
    made = Served(clean_environment)
    await made.server.start([made.listener])
    yield made
    await made.close()


@pytest.fixture
async def client(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def post(client: aiohttp.ClientSession, path: str, **body: Any) -> dict[str, Any]:
    async with client.post(path, json=body) as answer:
        assert answer.status < 300, await answer.text()
        found: dict[str, Any] = await answer.json() if answer.status != 201 or path == "/processes" else {}
        return found


@contextlib.asynccontextmanager
async def waiting(served: Served, client: aiohttp.ClientSession, kind: str, script: str) -> AsyncIterator[str]:
    """Start a run that waits at a gate and then runs a script; yield its id, and open the gate at the end."""
    gate = served.home / "gate"
    os.mkfifo(gate)
    shell = f"read _ < {shlex.quote(str(gate))}; {script}"
    requests = []
    if kind == "exec":
        requests.append(asyncio.create_task(post(client, "/process/execute", command=shell)))
    elif kind == "code":
        code = f"import os\nopen({str(gate)!r}).read()\nos.execvp('sh', ['sh', '-c', {script!r}])"
        requests.append(asyncio.create_task(post(client, "/process/code-run", code=code)))
    elif kind == "session":
        await post(client, "/process/session", sessionId="one")
        await post(client, "/process/session/one/exec", command=shell, runAsync=True)
    elif kind == "entrypoint":
        served.entrypoint.argv = ["sh", "-c", shell]
        await served.entrypoint.start()
    else:
        await post(client, "/processes", shellCommand=shell, kind="pty" if kind == "terminal" else "exec")
    # Opened for writing as soon as the run reads it.
    opened = await asyncio.to_thread(os.open, gate, os.O_WRONLY)
    # The child may read before the daemon has learned that it was spawned.
    while not any(entry.running for entry in served.registry):
        await asyncio.sleep(0)
    yield next(entry.id for entry in served.registry if entry.running)
    os.write(opened, b"\n")
    os.close(opened)
    await asyncio.gather(*requests)


async def ended(served: Served, client: aiohttp.ClientSession, kind: str, script: str) -> dict[str, Any]:
    """Run a script to its end; return the answer of a request that waited for it."""
    async with waiting(served, client, kind, script) as process_id:
        request = asyncio.create_task(client.get(f"/processes/{process_id}/wait").__aenter__())
        while not served.registry.get(process_id)._ended._waiters:
            await asyncio.sleep(0)
    async with await request as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize("kind", KINDS)
async def test_details_of_every_kind_have_the_same_keys(
    served: Served, client: aiohttp.ClientSession, kind: str
) -> None:
    burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; (exit 3)"
    answer = await ended(served, client, kind, burn)
    assert answer["exitCode"] == 3
    assert set(answer["details"]) - WHERE_KNOWN == {"reason", "durationMs", "cpuMs"}
    assert answer["details"]["reason"] == "exited"
    assert 0 < answer["details"]["cpuMs"] < 10_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_was_killed_for_memory_says_so(
    served: Served, client: aiohttp.ClientSession, kind: str
) -> None:
    async with waiting(served, client, kind, "sh -c 'kill -9 $$'") as process_id:
        entry = served.registry.get(process_id)
        served.kill_for_memory()
    end = await entry.wait()
    assert (end.code, end.cause) == (137, "out_of_memory")
    assert entry.details() is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_without_a_victim_has_no_cause(served: Served, client: aiohttp.ClientSession, kind: str) -> None:
    async with waiting(served, client, kind, "sh -c 'kill -9 $$'") as process_id:
        entry = served.registry.get(process_id)
    end = await entry.wait()
    assert (end.code, end.cause) == (137, None)


@pytest.mark.parametrize("kind", LATE_KINDS)
async def test_a_late_answer_names_its_process(served: Served, client: aiohttp.ClientSession, kind: str) -> None:
    gate = served.home / "gate"
    os.mkfifo(gate)
    path, body = {
        "exec": ("/process/execute", {"command": f"read _ < {gate}"}),
        "code": ("/process/code-run", {"code": f"open({str(gate)!r}).read()"}),
        "session": ("/process/session/one/exec", {"command": f"read _ < {gate}"}),
    }[kind]
    await post(client, "/process/session", sessionId="one")
    async with client.post(path, json=body) as answer:
        # The head of the answer is here, its end is not.
        opened = await asyncio.to_thread(os.open, gate, os.O_WRONLY)
        assert answer.status == 200
        assert answer.headers["X-Process-Id"] == next(entry for entry in served.registry if entry.running).id
        os.write(opened, b"\n")
        os.close(opened)
        text = await answer.text()
    assert text.startswith(" ")
    assert (await answer.json())["exitCode"] == 0


@pytest.mark.parametrize("kind", ["session", "terminal", "entrypoint"])
async def test_start_and_end_are_logged_without_content(
    served: Served, client: aiohttp.ClientSession, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "toolbox")
    await ended(served, client, kind, "echo secret-content; exit 3")
    if kind == "session":
        async with client.delete("/process/session/one") as answer:
            assert answer.status == 204
    lines = {record.getMessage(): record.__dict__ for record in caplog.records}
    assert lines[f"{kind} started"]["pid"] > 0
    assert lines[f"{kind} ended"]["seconds"] >= 0
    assert lines[f"{kind} ended"]["exit_code"] in (3, 137)
    assert not any("secret-content" in str(line) for line in lines.values())
