"""End a process as an interpreter would, without finalizing what a worker shares with its fork server."""

import atexit
import gc
import itertools
import os
import sys

from .run import INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn

# The exit status of an interpreter whose streams cannot be flushed.
UNFLUSHED = 120
# Placed in ``sys.modules`` behind the modules that were imported before the program.
MARK = "toolbox_payload.shared"
# The C library, opened by the fork server for its workers.
c_library: "List[Any]" = []


def finish(status: int, channel: "Any" = None) -> "NoReturn":
    """Wait for threads, call the exit handlers, drop the program's objects, exit.

    The status is sent on ``channel`` just before, because the kernel needs milliseconds to free so much memory.
    """
    failed = [
        step for step in (_join_threads, atexit._run_exitfuncs, flush, _drop_objects, flush, _flush_c) if not _try(step)
    ]
    if status == INTERRUPTED:
        die_of_interrupt()
    if flush in failed:
        status = UNFLUSHED
    if channel is not None:
        _try(lambda: _send_status(channel, status & 0xFF))
    os._exit(status & 0xFF)


def _send_status(channel: "Any", status: int) -> None:
    os.closerange(1, 3)
    channel.send(b"%d" % status)


def _try(step: "Callable[[], Any]") -> bool:
    """Tell whether a step ended without an exception."""
    try:
        step()
    except SystemExit:
        return False
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return False
    return True


def _join_threads() -> None:
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()


def flush() -> None:
    """Flush the program's streams."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()


def _drop_objects() -> None:
    """Drop modules and variables of the program, so that files are closed and destructors run."""
    names: Dict[str, Any] = sys.modules["__main__"].__dict__
    # Names with an underscore first, as the interpreter does.
    for hidden in (True, False):
        for name in [name for name in names if name != "__builtins__" and name.startswith("_") == hidden]:
            names[name] = None
    for name in _program_modules():
        sys.modules.pop(name, None)
    gc.collect()


def _program_modules() -> "List[str]":
    """Return the names of the program's modules: the newest, down to the mark; none in a fresh interpreter.

    Reading all names would take longer than a small program: each read writes a reference count, which copies a page
    shared with the server.
    """
    if MARK not in sys.modules:
        return []
    return list(itertools.takewhile(lambda name: name != MARK, reversed(sys.modules)))


def _flush_c() -> None:
    """Flush the streams of the C library, which extensions print to."""
    if c_library:
        c_library[0].fflush(None)


def die_of_interrupt() -> "NoReturn":
    """End as an interrupted interpreter does: by the signal itself, so that the status shows it."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(130)
