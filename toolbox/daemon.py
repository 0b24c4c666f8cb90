"""The composition root: settings → services → APIs → server; start, drain, and close in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import pathlib
import pwd
import secrets
import signal
import socket
import sys
from typing import Any, Protocol, TypeVar

from toolbox import __version__, logs
from toolbox.fs.component import FilesComponent
from toolbox.git.component import GitComponent
from toolbox.host.env import Environment
from toolbox.host.limits import Limiter, Limits
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.docs_api import DocsApi
from toolbox.http.endpoint import Route, collect
from toolbox.http.proxy import PortProxy
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.code.component import CodeComponent
from toolbox.process.entrypoint import Entrypoint
from toolbox.process.exec.component import ExecComponent
from toolbox.process.processes.component import ProcessesComponent
from toolbox.process.sessions.component import SessionsComponent
from toolbox.process.terminals.component import TerminalsComponent
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry
from toolbox.settings import Settings, SettingsError, token_in, warnings_of
from toolbox.system.api import Identity
from toolbox.system.component import SystemComponent

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
# Between SIGTERM and SIGKILL for what still runs at shutdown; the supervisor kills us after about 10 s.
KILL_SECONDS = 2.0
STOP_SECONDS = 8.0
# Smaller collections between two full ones: minutes of heavy work.
FULL_COLLECTION = 200


def home_of(settings: Settings) -> str:
    """Return the home directory: HOME, else the password database, else the root."""
    if settings.home:
        return settings.home
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def workdir_of(settings: Settings) -> str:
    """Return the base of every relative path; fixed for the life of the daemon."""
    if settings.workdir:
        return str(pathlib.Path(settings.workdir).resolve())
    return home_of(settings) if settings.home_as_workdir else str(pathlib.Path.cwd())


def state_dir_of(settings: Settings) -> str:
    """Return where state that outlives the daemon is kept, made on first use; below /tmp if home is read-only."""
    if settings.state_dir:
        return settings.state_dir
    home = pathlib.Path(home_of(settings))
    usual = home / ".daytona"
    if os.access(usual if usual.exists() else home, os.W_OK):
        return str(usual)
    return f"/tmp/daytona-{os.getuid()}"  # noqa: S108 - last resort, per user


def spool_dir_of() -> pathlib.Path:
    """Return where output that does not fit into memory goes: on disk where possible, /tmp may be memory."""
    places = map(pathlib.Path, ("/var/tmp", "/tmp", "/dev/shm"))  # noqa: S108 - files there are unnamed
    return next((place for place in places if os.access(place, os.W_OK)), pathlib.Path("/tmp"))  # noqa: S108


def _resource(settings: Settings) -> dict[str, str]:
    """Return the attributes that telemetry sends with everything."""
    known = {
        "service.name": f"sandbox-{settings.sandbox_id}",
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
        "daytona_organization_id": settings.organization_id,
        "daytona_region_id": settings.region_id,
        "daytona_snapshot": settings.sandbox_snapshot,
    }
    return {**{name: value for name, value in known.items() if value}, **settings.otel_labels}


def read_token(settings: Settings) -> tuple[str, bool]:
    """Return the token and whether it was made up just now."""
    if settings.token_file:
        return token_in(settings.token_file), False
    if settings.token or settings.insecure_no_auth or not settings.exposed:
        return settings.token, False
    return secrets.token_urlsafe(24), True


class OwnedPart(Protocol):
    """Something that the daemon owns and closes.

    It may also have ``start()``, called before the first request, ``stop()``, which ends what runs so that requests
    which wait for it are answered, and ``apis``, whose marked methods are endpoints.
    """

    async def close(self) -> None:
        """Release everything; requests are over."""


P = TypeVar("P", bound=OwnedPart)


class Parts:
    """The parts of the daemon: started in order, stopped together, closed in reverse order."""

    def __init__(self) -> None:
        self.apis: list[object] = []
        self._parts: list[Any] = []
        self._stack = contextlib.AsyncExitStack()

    def add(self, part: P) -> P:
        """Own a part from now on."""
        self._stack.push_async_callback(part.close)
        self._parts.append(part)
        self.apis += getattr(part, "apis", ())
        return part

    async def start(self) -> None:
        """Start the parts that have something to start."""
        for part in self._parts:
            if hasattr(part, "start"):
                await part.start()

    async def stop(self) -> None:
        """Stop what runs, all at the same time."""
        await asyncio.gather(*(part.stop() for part in self._parts if hasattr(part, "stop")))

    async def close(self) -> None:
        """Close every part, the newest first, even if one of them fails."""
        await self._stack.aclose()


class Daemon:
    """Own every service and the HTTP server in front of them."""

    def __init__(self, settings: Settings, token: str = "") -> None:
        self.settings = settings
        self.port = 0
        self._parts = Parts()
        add = self._parts.add
        keys = SigningKeys(settings.signing_key)
        environment = Environment(settings.child_env)
        workdir, home, state_dir = workdir_of(settings), home_of(settings), state_dir_of(settings)
        kill_grace = min(settings.grace_period, KILL_SECONDS)
        self.spool = add(Spool(spool_dir_of()))
        self.procs = add(Procs(self.spool, limiter=Limiter(oom_score=settings.oom_score), grace=kill_grace))
        self.registry = add(Registry())
        self.context = ProcessContext(
            self.procs,
            environment,
            Shells(environment.get, settings.shell),
            self.spool,
            self.registry,
            workdir=workdir,
            limits=Limits(
                settings.command_memory or None, settings.command_pids or None, settings.command_cpus or None
            ),
        )
        self.system = add(
            SystemComponent(
                identity=Identity(version=settings.version, home=home, workdir=workdir),
                env=environment,
                keys=keys,
                otel_endpoint=settings.otel_endpoint,
                resource=_resource(settings),
            )
        )
        self.system.counters.add("processes", "processes owned by the daemon", lambda: len(self.procs.live))
        self.files = add(FilesComponent(workdir=workdir, state_dir=state_dir, procs=self.procs))
        self.git = add(GitComponent(self.procs, environment, workdir=workdir, home=home))
        self.exec = add(ExecComponent(self.context, max_output=settings.max_output_bytes))
        self.terminals = add(TerminalsComponent(self.context, grace=kill_grace))
        self.code = add(CodeComponent(self.context, max_output=settings.max_output_bytes))
        self.processes = add(ProcessesComponent(self.context, self.terminals.terminals))
        self.entrypoint = add(
            Entrypoint(
                self.context,
                settings.entrypoint,
                on_output=self.system.telemetry.entrypoint,
                grace=min(settings.grace_period, DRAIN_SECONDS),
            )
        )
        self.sessions = add(
            SessionsComponent(
                self.context,
                self.entrypoint,
                state_dir=state_dir,
                grace=settings.grace_period,
                stop_grace=kill_grace,
                send_signal=self.processes.processes.signal,
            )
        )
        self.proxy = add(PortProxy(lambda: self.port, token=token))
        docs = DocsApi(self.routes, pages=settings.environment != "production")
        self._apis = [docs, *self._parts.apis]
        access = Access(
            keys,
            token=token,
            check_host=not settings.exposed,
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.allowed_origins,
        )
        self.server = HttpServer(self.routes(), access, sandbox_id=settings.sandbox_id)
        self.server.observers.append(self.system.observe)

    def routes(self) -> list[Route]:
        """List the whole endpoint table."""
        return [route for api in self._apis for route in collect(api)]

    async def start(self, sockets: list[socket.socket]) -> None:
        """Serve on bound sockets."""
        self.port = sockets[0].getsockname()[1] if sockets[0].family != socket.AF_UNIX else 0
        self.system.listening(sockets)
        # Clients wait in the socket's queue meanwhile, and never see a daemon without its entrypoint.
        await self._parts.start()
        await self.server.start(sockets)

    async def close(self) -> None:
        """Drain, end what runs, and close every part, within one budget."""
        await self.server.close_websockets()
        # Commands end while requests drain: the requests that wait for them are answered.
        await asyncio.gather(self._parts.stop(), self.server.drain(DRAIN_SECONDS))
        await self.server.close()
        await self._parts.close()


def routes(settings: Settings) -> list[Route]:
    """List the endpoint table without serving it."""
    return Daemon(settings).routes()


def run(settings: Settings, listener: socket.socket) -> int:
    """Serve until a signal; return the exit status."""
    try:
        token, fresh = read_token(settings)
        file = _log_file(settings)
        lines = logs.start(settings.log_level, file, colour=settings.colour)
    except SettingsError:
        listener.close()
        raise
    try:
        _announce(settings, listener, token if fresh else "")
        if sys.stderr.isatty():
            _welcome(settings, listener, fresh_token=fresh, log_file=file.baseFilename if file else "")
        # Built before the loop runs: it looks at folders, which may block.
        daemon = Daemon(settings, token)
        return asyncio.run(_serve(daemon, listener, lines))
    finally:
        lines.close()


def _log_file(settings: Settings) -> logs.RotatingFile | None:
    if not settings.log_file:
        return None
    path = pathlib.Path(settings.log_file)
    try:
        path.open("ab").close()
    except OSError as error:
        sys.stderr.write(f"toolbox: no log file: {path}: {(error.strerror or '').lower()}\n")
        return None
    return logs.RotatingFile(
        settings.log_file,
        max_mb=settings.log_max_mb,
        backups=settings.log_backups,
        age_days=settings.log_age_days,
        compress=settings.log_compress,
    )


def _announce(settings: Settings, listener: socket.socket, fresh_token: str) -> None:
    for warning in warnings_of(settings):
        log.warning("setting ignored: %s", warning)
    if fresh_token:
        port = listener.getsockname()[1]
        # To the terminal only, once: the log must not hold a credential.
        sys.stderr.write(
            f"No token was set, so this one was made for this run (set TOOLBOX_TOKEN or --token-file to choose it):\n"
            f"  curl -H 'Authorization: Bearer {fresh_token}' http://{socket.gethostname()}:{port}/work-dir\n"
        )
        sys.stderr.flush()
    elif settings.exposed and settings.insecure_no_auth:
        log.warning("no authentication: everybody who reaches this address has full control (--insecure-no-auth)")


def _welcome(settings: Settings, listener: socket.socket, *, fresh_token: bool, log_file: str) -> None:
    from toolbox import welcome

    port = 0 if settings.unix_socket else listener.getsockname()[1]
    sys.stderr.write(welcome.lines(settings, port, fresh_token=fresh_token, log_file=log_file))
    sys.stderr.flush()


async def _serve(daemon: Daemon, listener: socket.socket, lines: logs.LogPipeline) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    ending = _ending_signals()
    for number in ending:
        loop.add_signal_handler(number, _on_signal, stop, number)
    daemon.procs.start_reaping()
    lines.add(daemon.system.telemetry.handler)
    await daemon.start([listener])
    gc.freeze()  # what was loaded stays: later collections need not walk it
    # A full collection stops everything for a microsecond per object, 70 ms with three hundred shells; the usual tenth
    # of them finds little, because what ends here leaves few reference cycles.
    gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTION)
    log.info("ready: version %s, sandbox %s", __version__, daemon.settings.sandbox_id)
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await daemon.close()
    log.info("stopped")
    # Closing the loop restores the default actions: one more signal would turn status 0 into a death by signal.
    for number in ending:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    return 0


def _ending_signals() -> list[signal.Signals]:
    """Return the signals that drain the daemon; SIGHUP only if ``nohup`` has not asked to ignore it."""
    ending = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR]
    return ending if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*ending, signal.SIGHUP]


def _on_signal(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        # A terminal that closes sends SIGHUP more than once: from the kernel, and from the shell.
        if number != signal.SIGHUP:
            os._exit(128 + number)
        return
    log.info("stopping on %s", signal.Signals(number).name)
    stop.set()
