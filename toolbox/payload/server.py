"""Fork server: an interpreter with the usual libraries imported, which forks a worker for each run.

A request on the control socket carries two descriptors per worker: its output pipe and the socket on which its program
will arrive. The answer is the pids. Workers are forked by an intermediate process that exits at once, so the kernel
makes them children of the daemon (a subreaper), which can then read their exit status. A worker prepares everything
that does not depend on the program, then waits for it.
"""

import array
import gc
import os
import select
import socket
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

# How often a server without requests checks the free memory.
LOOK_SECONDS = 30.0
MAX_FDS = 16
# The kernel kills the process with the highest score first when memory runs out.
_OOM = "/proc/self/oom_score_adj"


def main(argv: "List[str]") -> None:
    """Serve on descriptor ``argv[1]`` until it is closed, memory is short, or what was imported has changed."""
    from . import preload

    control = socket.socket(fileno=int(argv[1]))
    control.set_inheritable(False)
    state = preload.load(plain="--plain" in argv, start_again=[sys.executable, "-u", *sys.argv[:3], "--plain"])
    score = _swap_oom_score("900")
    gc.collect()
    gc.freeze()
    control.send(b"ready")
    request = _serve(control, state)
    if request is None:
        os._exit(0)
    # Only a worker gets here. Returning this far keeps its stack as short as that of a fresh interpreter.
    from . import worker

    control.close()
    if score is not None:
        _swap_oom_score(score)
    worker.main(request, state)


def _serve(control: socket.socket, state: "Any") -> "Optional[socket.socket]":
    """Answer requests; return None at the end, and in each worker the socket on which its program arrives."""
    while True:
        if not select.select([control], [], [], LOOK_SECONDS)[0]:
            if state.memory_is_short():
                return None
            continue
        message, fds = receive(control)
        if not message:
            return None
        refusal = state.refusal()
        if refusal:
            control.send(refusal)
            return None
        number, pids = _fork(fds)
        if number is not None:
            return socket.socket(fileno=fds[2 * number + 1])
        for fd in fds:
            os.close(fd)
        control.send(pids or b"none")


def receive(channel: socket.socket) -> "Tuple[bytes, List[int]]":
    """Receive a message and its descriptors."""
    fds = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(16, socket.CMSG_SPACE(MAX_FDS * fds.itemsize))
    for _, _, part in ancillary:
        fds.frombytes(part[: len(part) - len(part) % fds.itemsize])
    return data, list(fds)


def _fork(fds: "List[int]") -> "Tuple[Optional[int], bytes]":
    """Fork one worker per pair of descriptors; return None and the pids, in a worker the number of its pair."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Python warns about a fork with threads; those of numpy handle it.
        warnings.simplefilter("ignore")
        intermediate = os.fork()
        number = _fork_workers(len(fds) // 2) if intermediate == 0 else None
    if number is None:
        os.close(theirs)
        os.waitpid(intermediate, 0)
        with open(ours, "rb") as file:
            return None, file.read()
    os.setsid()
    os.dup2(fds[2 * number], 1)
    os.dup2(fds[2 * number], 2)
    os.write(theirs, b"%d:%d " % (number, os.getpid()))
    for fd in (ours, theirs, *(fd for place, fd in enumerate(fds) if place != 2 * number + 1)):
        os.close(fd)
    return number, b""


def _fork_workers(count: int) -> int:
    """Fork workers and exit, which makes them orphans; each returns its number."""
    try:
        for number in range(count):
            if os.fork() == 0:
                return number
    except OSError:
        pass  # the answer lists fewer pids
    os._exit(0)


def _swap_oom_score(score: str) -> "Optional[str]":
    try:
        with open(_OOM, "r+") as file:
            before = file.read()
            file.write(score)
        return before
    except OSError:
        return None
