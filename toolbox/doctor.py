"""``toolbox doctor``: what this machine can and cannot do, and what would fix it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import sys
from collections.abc import Iterable, Iterator

from toolbox.settings import Settings

MIN_FILES = 1024
MIN_SPACE = 512 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    needed_for: str
    fix: str = ""
    required: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A program that some area uses: any of ``names`` will do."""

    names: tuple[str, ...]
    needed_for: str
    fix: str
    required: bool = False


PROGRAMS = (
    Program(("sh",), "running commands", "apt-get install dash", required=True),
    Program(("zsh", "bash"), "sessions and terminals with a comfortable shell", "apt-get install bash"),
    Program(("git",), "clone, commit, push and the rest of git", "apt-get install git"),
    Program(("rg",), "fast content search", "apt-get install ripgrep"),
    Program(("python3",), "running Python code", "apt-get install python3"),
    Program(("node", "bun"), "running JavaScript and TypeScript", "apt-get install nodejs"),
    Program(("Xvfb", "Xorg"), "the desktop: screen, mouse, keyboard", "apt-get install xvfb xfce4 dbus-x11"),
    Program(("x11vnc",), "watching the desktop", "apt-get install x11vnc novnc"),
    Program(("ffmpeg",), "screen recordings", "apt-get install ffmpeg"),
    Program(("pylsp",), "code intelligence for Python", "pip install python-lsp-server"),
    Program(
        ("typescript-language-server",),
        "code intelligence for TypeScript",
        "npm install -g typescript typescript-language-server",
    ),
    Program(("tar",), "archives of command output", "apt-get install tar"),
    Program(("sudo",), "commands that need root", "apt-get install sudo"),
    Program(("tini", "docker-init"), "an init in front of the daemon in containers", "apt-get install tini"),
)
# Inside the daemon's own interpreter.
MODULES = (
    ("opentelemetry.sdk", "telemetry", "pip install 'sandbox-toolbox[telemetry]'"),
    ("watchfiles", "watching files", "pip install watchfiles"),
    ("swagger_ui_bundle", "the API browser at /docs", "pip install swagger-ui-bundle-v2"),
    ("jupyter_client", "stateful code contexts", "pip install jupyter_client ipykernel"),
)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; spawns nothing."""
    path = settings.child_env.get("PATH") or os.defpath
    return [
        *(_program(program, path) for program in PROGRAMS),
        *(_module(*row) for row in MODULES),
        *_kernel(),
        *_limits(),
    ]


def _program(program: Program, path: str) -> Finding:
    beside = pathlib.Path(sys.executable).parent
    found = next(filter(None, (shutil.which(name, path=f"{path}:{beside}") for name in program.names)), None)
    return Finding(
        " or ".join(program.names), bool(found), found or "not found", program.needed_for, program.fix, program.required
    )


def _module(name: str, needed_for: str, fix: str) -> Finding:
    try:
        found = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        found = False
    return Finding(f"python module {name}", found, "installed" if found else "not installed", needed_for, fix)


def _kernel() -> Iterator[Finding]:
    yield _pidfd()
    folders = [folder for folder in _cgroup_folders() if os.access(folder, os.W_OK)]
    yield Finding(
        "writable cgroup",
        bool(folders),
        folders[0] if folders else "none",
        "limits per command; without it rlimits are used",
        "run the container with a writable cgroup (--cgroupns=private, or delegate one)",
    )
    watches = _number("/proc/sys/fs/inotify/max_user_watches")
    yield Finding(
        "inotify watches",
        watches >= 65536,
        str(watches),
        "watching large trees",
        "sysctl fs.inotify.max_user_watches=524288 on the host",
    )


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
        problem = ""
    except (OSError, AttributeError) as error:
        problem = str(error).lower()
    return Finding(
        "pidfd",
        not problem,
        problem or "supported",
        "prompt and exact ends of processes; threads are used instead",
        "Linux 5.3 or newer, and a seccomp profile that allows pidfd_open",
    )


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding(
        "open files limit",
        soft >= MIN_FILES,
        str(soft),
        "many commands and connections at once",
        "ulimit -n 65536, or --ulimit nofile=65536:65536 on the container",
    )
    for name in ("/tmp", "/dev/shm"):  # noqa: S108 - looked at, not written to
        with contextlib.suppress(OSError):
            space = os.statvfs(name)
            free = space.f_bavail * space.f_frsize
            yield Finding(
                f"free space in {name}",
                free >= MIN_SPACE or name != "/tmp",  # noqa: S108
                f"{free // 2**20} MiB",
                "output of commands that does not fit into memory",
                f"free or enlarge {name}",
            )


def _cgroup_folders() -> Iterator[str]:
    with contextlib.suppress(OSError), pathlib.Path("/proc/self/cgroup").open(encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.strip().split(":", 2)
            yield from (
                f"/sys/fs/cgroup/{part}{path}" for part in ([""] if not controllers else controllers.split(","))
            )


def _number(path: str) -> int:
    with contextlib.suppress(OSError, ValueError), pathlib.Path(path).open(encoding="ascii") as file:
        return int(file.read())
    return 0


def run(argv: list[str], settings: Settings) -> int:
    """Print the findings; status 1 if something required is missing."""
    findings = examine(settings)
    if "--json" in argv:
        sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        sys.stdout.write("".join(_lines(findings)))
    return int(any(finding.required and not finding.ok for finding in findings))


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING" if finding.required else "missing"
        yield f"{mark}  {finding.name}: {finding.detail}\n"
        if not finding.ok:
            yield f"         for {finding.needed_for}\n         fix: {finding.fix}\n"
