"""``toolbox doctor``: check programs, modules and limits of this machine, without running or changing anything."""

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

from toolbox.host.kernel_files import own_cgroups, read_number
from toolbox.settings import Settings

MIN_FILES = 1024
MIN_SPACE = 512 * 1024 * 1024
MIN_WATCHES = 65536
MIN_INSTANCES = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``ok`` is None if it is unknown without running a program."""

    name: str
    ok: bool | None
    detail: str
    needed_for: str
    fix: str = ""
    required: bool = False


# One of the names of a row is enough.
PROGRAMS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("sh",), "running commands", "apt-get install dash"),
    (("zsh", "bash"), "sessions and terminals with an interactive shell", "apt-get install bash"),
    (("git",), "clone, commit, push and the rest of git", "apt-get install git"),
    (("ssh",), "git over SSH", "apt-get install openssh-client"),
    (("git-lfs",), "large files in git repositories", "apt-get install git-lfs"),
    (("rg",), "fast content search", "apt-get install ripgrep"),
    (("python3", "python"), "running Python code", "apt-get install python3"),
    (("node", "bun"), "running JavaScript and TypeScript", "apt-get install nodejs"),
    (("Xvfb", "Xorg"), "the desktop: screen, mouse, keyboard", "apt-get install xvfb xfce4 dbus-x11"),
    (("x11vnc",), "watching the desktop", "apt-get install x11vnc novnc"),
    (("ffmpeg",), "screen recordings", "apt-get install ffmpeg"),
    (("pylsp",), "code intelligence for Python", "pip install python-lsp-server"),
    (
        ("typescript-language-server",),
        "code intelligence for TypeScript",
        "npm install -g typescript typescript-language-server",
    ),
    (("tar",), "unpacking archives in commands", "apt-get install tar"),
    (("zip",), "packing archives in commands", "apt-get install zip unzip"),
    (("sudo",), "commands that need root", "apt-get install sudo"),
    (("tini", "docker-init"), "an init in front of the daemon in containers", "apt-get install tini"),
)
# Inside the daemon's own interpreter.
MODULES = (
    ("opentelemetry.sdk", "telemetry", "pip install 'sandbox-toolbox[telemetry]'"),
    ("prometheus_client", "GET /metrics", "pip install prometheus-client"),
    ("watchfiles", "watching files", "pip install watchfiles"),
    ("swagger_ui_bundle", "the API browser at /docs", "pip install swagger-ui-bundle-v2"),
    ("jupyter_client", "stateful code contexts", "pip install jupyter_client"),
)
# Inside the Python of the sandbox, which runs the user's code.
PACKAGES = (
    ("ipykernel", "stateful code contexts with rich output", "pip install ipykernel"),
    ("numpy", "numerical code", "pip install numpy"),
    ("pandas", "tables", "pip install pandas"),
    ("matplotlib", "charts", "pip install matplotlib"),
)


def examine(settings: Settings) -> list[Finding]:
    """Run all checks."""
    path = settings.child_env.get("PATH") or os.defpath
    return [
        *(_program(*row, path) for row in PROGRAMS),
        *_packages(shutil.which("python3", path=path) or shutil.which("python", path=path), settings.home),
        *(_module(*row) for row in MODULES),
        *_kernel(),
        *_limits(),
    ]


def _program(names: tuple[str, ...], needed_for: str, fix: str, path: str) -> Finding:
    beside = pathlib.Path(sys.executable).parent
    found = next(filter(None, (shutil.which(name, path=f"{path}:{beside}") for name in names)), None)
    return Finding(" or ".join(names), bool(found), found or "not found", needed_for, fix, required=names == ("sh",))


def _module(name: str, needed_for: str, fix: str) -> Finding:
    try:
        found = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        found = False
    return Finding(f"daemon's python module {name}", found, "installed" if found else "not installed", needed_for, fix)


def _packages(python: str | None, home: str) -> Iterator[Finding]:
    """Look for packages in the directories that the Python of the sandbox imports from."""
    folders = site_folders(python, home) if python else []
    launcher = python is not None and _is_script(python)
    for name, needed_for, fix in PACKAGES:
        found = next((str(folder) for folder in folders if (folder / name).is_dir()), None)
        ok = True if found else None if launcher else False
        missing = f"unknown, {python} is a script" if launcher else "not installed"
        yield Finding(f"python package {name}", ok, found or missing, needed_for, fix)


def site_folders(python: str, home: str) -> list[pathlib.Path]:
    """List the package directories of an interpreter: its own, of its virtual environment, of Debian, of the user."""
    paths = (pathlib.Path(python), pathlib.Path(python).resolve())
    prefixes = sorted({path.parent.parent for path in paths})
    debian = [pathlib.Path("/usr/local")] if pathlib.Path("/usr") in prefixes else []
    return [
        folder
        for root in (*prefixes, *debian, pathlib.Path(home, ".local"))
        for pattern in ("lib/python3*/site-packages", "lib/python3*/dist-packages")
        for folder in sorted(root.glob(pattern))
    ]


def _is_script(path: str) -> bool:
    """Tell whether a program is a script: that of a version manager starts an interpreter we cannot know."""
    with contextlib.suppress(OSError), pathlib.Path(path).open("rb") as file:
        return file.read(2) == b"#!"
    return False


def _kernel() -> Iterator[Finding]:
    yield _pidfd()
    folder = next((folder for folder in _cgroup_folders() if os.access(folder, os.W_OK)), None)
    yield Finding(
        "writable cgroup",
        folder is not None,
        folder or "none",
        "limits per command; without it rlimits are used",
        "run the container with a writable cgroup (--cgroupns=private, or delegate one)",
    )
    for name, least, use in (
        ("max_user_watches", MIN_WATCHES, "watching large trees"),
        ("max_user_instances", MIN_INSTANCES, "many concurrent watches"),
    ):
        value = read_number(f"/proc/sys/fs/inotify/{name}") or 0
        fix = f"sysctl fs.inotify.{name}={least * 8} on the host"
        yield Finding(f"inotify {name}", value >= least, str(value), use, fix)


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
        "prompt and exact detection of process exits; threads are used instead",
        "Linux 5.3 or newer, and a seccomp profile that allows pidfd_open",
    )


def _cgroup_folders() -> Iterator[str]:
    """Yield our cgroup in each hierarchy that can limit memory or processes, version 2 and 1."""
    for name, path in own_cgroups("/proc").items():
        if name in ("", "memory", "pids"):
            yield os.path.normpath(f"/sys/fs/cgroup/{name}{path}")


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding(
        "open files limit",
        soft == resource.RLIM_INFINITY or soft >= MIN_FILES,
        "unlimited" if soft == resource.RLIM_INFINITY else str(soft),
        "many concurrent commands and connections",
        "ulimit -n 65536, or --ulimit nofile=65536:65536 on the container",
    )
    for folder, least, use in (
        ("/var/tmp", MIN_SPACE, "command output over the memory limit"),  # noqa: S108 - only checked, not written to
        ("/tmp", MIN_SPACE, "temporary files of commands"),  # noqa: S108
        ("/dev/shm", 64 * 1024 * 1024, "browsers and shared memory"),  # noqa: S108
    ):
        with contextlib.suppress(OSError):
            space = os.statvfs(folder)
            free = space.f_bavail * space.f_frsize
            yield Finding(
                f"free space in {folder}", free >= least, f"{free // 2**20} MiB", use, f"free or enlarge {folder}"
            )


def run(settings: Settings, *, as_json: bool) -> int:
    """Print the findings, as text or JSON; return 1 if a required one is missing."""
    findings = examine(settings)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        sys.stdout.write("".join(_lines(findings)))
    return int(any(finding.required and not finding.ok for finding in findings))


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        mark = {True: "ok", None: "unknown", False: "MISSING" if finding.required else "missing"}[finding.ok]
        yield f"{mark:7}  {finding.name}: {finding.detail}\n"
        if not finding.ok:
            yield f"         for {finding.needed_for}\n         fix: {finding.fix}\n"
