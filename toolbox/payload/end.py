"""End a process as an interpreter would, without taking apart what a forked child shares with its parent."""

import atexit
import gc
import os
import sys

from .run import INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Set

# Stands in the table of modules behind those that were imported before the program.
MARK = "toolbox_payload.shared"
# The C library, opened by a server for its children.
c_library: "List[Any]" = []


def finish(status: int, shared: "Set[str]", channel: "Any" = None) -> "NoReturn":
    """Wait for threads, call what wants to be called at the end, let go of the program's objects, exit.

    The status is told on ``channel`` just before, because the kernel takes milliseconds to give back so much memory.
    """
    for step in (_threads, atexit._run_exitfuncs, flush, lambda: _let_go(shared), flush, _flush_c):
        _try(step)
    if status == INTERRUPTED:
        die_of_interrupt()
    if channel is not None:
        _try(lambda: _tell(channel, status & 0xFF))
    os._exit(status & 0xFF)


def _tell(channel: "Any", status: int) -> None:
    for fd in (1, 2):
        try:
            os.close(fd)
        except OSError:
            continue
    channel.send(b"%d" % status)


def _try(step: "Callable[[], Any]") -> None:
    try:
        step()
    except SystemExit:
        return
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)


def _threads() -> None:
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()


def flush() -> None:
    """Write out what the program's streams hold."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()


def _let_go(shared: "Set[str]") -> None:
    """Drop modules and variables of the program, so that files are closed and destructors are called."""
    names: Dict[str, Any] = sys.modules["__main__"].__dict__
    for hidden in (True, False):
        for name in [name for name in names if name != "__builtins__" and name.startswith("_") == hidden]:
            names[name] = None
    for name in _programs(shared):
        sys.modules.pop(name, None)
    gc.collect()


def _programs(shared: "Set[str]") -> "List[str]":
    """Return the names of the program's modules: the newest, down to the mark.

    To look at all names would cost more than a small program takes: it writes to the pages they are on, which are then
    copied.
    """
    if MARK not in sys.modules or sys.version_info < (3, 8):
        return [name for name in sys.modules if name not in shared]
    found = []
    for name in reversed(sys.modules):
        if name == MARK:
            break
        found.append(name)
    return found


def _flush_c() -> None:
    """Write out what the C library holds for extensions that print."""
    if c_library:
        c_library[0].fflush(None)


def die_of_interrupt() -> "NoReturn":
    """End as an interpreter does that was interrupted: by the signal itself."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(130)
