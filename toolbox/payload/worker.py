"""One run in a forked worker: take over the program's environment, run it, and end as an interpreter ends."""

import gc
import json
import os
import socket
import sys
import time

from . import end, run, sink
from .server import receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn


def main(channel: socket.socket, state: "Any") -> "NoReturn":
    """Prepare, wait for the program, run it."""
    leader = os.getpid()
    _prepare(state)
    message, fds = receive(channel)
    if not message:
        os._exit(0)  # dismissed by the daemon
    with open(fds[0], "rb") as file:
        program = json.loads(file.read())
    try:
        os.chdir(program["cwd"])
    except OSError as error:
        os.write(2, ("chdir %s: %s\n" % (program["cwd"], error.strerror)).encode("utf-8", "replace"))
        os._exit(1)
    _take_environment(program["env"])
    if state.is_shadowed() or not state.is_fresh():
        _exec_fresh(program, fds[1])
    sink.open_on(fds[1])
    status = run.execute_to_status(program["code"], program["argv"])
    end.finish(status, channel if os.getpid() == leader else None)


def _prepare(state: "Any") -> None:
    """Do what a fresh interpreter does at its start, as far as it does not depend on the program."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
    capture: Any = sys.modules.get("toolbox_payload.capture")
    if capture is not None:
        capture.forked()
    _rehearse(state)
    # A collection would write to the pages shared with the fork server, which the kernel then copies.
    gc.freeze()


def _rehearse(state: "Any") -> None:
    """Do once what each run does: the first write to a page shared with the server copies it, here before the run."""
    _take_environment(json.loads(json.dumps(dict(os.environ))))
    state.is_shadowed()
    state.is_fresh()
    exec(compile("0", run.NAME, "exec", dont_inherit=True), {})


def _take_environment(environ: "Dict[str, str]") -> None:
    zone = os.environ.get("TZ")
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    os.environ.setdefault("MPLBACKEND", "Agg")
    if os.environ.get("TZ") != zone:
        time.tzset()


def _exec_fresh(program: "Dict[str, Any]", output: int) -> "NoReturn":
    """Become a fresh interpreter: the modules imported here are not those that this program would import."""
    source = os.memfd_create("code", 0)
    os.write(source, program["code"].encode("utf-8", "surrogatepass"))
    os.lseek(source, 0, os.SEEK_SET)
    os.set_inheritable(output, True)
    start = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
    os.execv(sys.executable, [sys.executable, "-u", start, str(source), str(output), *program["argv"]])
