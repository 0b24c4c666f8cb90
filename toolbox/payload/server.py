"""Keep an interpreter with everything imported, and fork a child of it for each run.

A request on the control socket brings, for each child, its output and the socket on which its program will come.
Children are forked by a process in between that ends, so that they belong to the daemon, which waits for them as for
its own; the answer is their pids. A child does all that can be done without knowing the program, then waits: most of
a start is over before anybody asks for it.
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

# How often a server without requests checks the memory.
LOOK_SECONDS = 30.0
MAX_FDS = 16
# What happens to be killed first when memory runs out.
_OOM = "/proc/self/oom_score_adj"


def main(argv: "List[str]") -> None:
    """Serve on descriptor ``argv[1]`` until nobody asks, memory is short, or what was imported has changed."""
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
    # Only a child gets here: its stack is as short as that of a fresh interpreter.
    from . import child

    control.close()
    if score is not None:
        _swap_oom_score(score)
    child.live(request, state)


def _serve(control: socket.socket, state: "Any") -> "Optional[socket.socket]":
    """Answer requests; return None at the end, and in each child the socket its program comes on."""
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
    """Return a message and the descriptors that came with it."""
    fds = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(16, socket.CMSG_SPACE(MAX_FDS * fds.itemsize))
    for _, _, part in ancillary:
        fds.frombytes(part[: len(part) - len(part) % fds.itemsize])
    return data, list(fds)


def _fork(fds: "List[int]") -> "Tuple[Optional[int], bytes]":
    """Fork twice, for each pair of descriptors once more; return the pids, and in a child the number of its pair."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # The array library has threads; it handles forks.
        warnings.simplefilter("ignore")
        middle = os.fork()
        number = _fork_children(len(fds) // 2) if middle == 0 else None
    if number is None:
        os.close(theirs)
        os.waitpid(middle, 0)
        pids = _read_all(ours)
        os.close(ours)
        return None, pids
    os.setsid()
    os.dup2(fds[2 * number], 1)
    os.dup2(fds[2 * number], 2)
    os.write(theirs, b"%d:%d " % (number, os.getpid()))
    for fd in (ours, theirs, *(fd for place, fd in enumerate(fds) if place != 2 * number + 1)):
        os.close(fd)
    return number, b""


def _read_all(fd: int) -> bytes:
    parts: List[bytes] = []
    while True:
        part = os.read(fd, 512)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _fork_children(count: int) -> int:
    """Fork children and end, so that they are nobody's; each returns its number."""
    try:
        for number in range(count):
            if os.fork() == 0:
                return number
    except OSError:
        pass  # there are fewer, which the answer says
    os._exit(0)


def _swap_oom_score(score: str) -> "Optional[str]":
    try:
        with open(_OOM, "r+") as file:
            before = file.read()
            file.write(score)
        return before
    except OSError:
        return None
