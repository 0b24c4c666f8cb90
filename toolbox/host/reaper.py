"""Duties of PID 1: reap orphans, forward signals, exit with the daemon's status.

Imported before the listening socket exists, so it imports almost nothing. As PID 1 the process forks: the parent
becomes a small init, the child is the daemon. Only in the init is ``waitpid(-1)`` correct: no other code there waits
for a particular child.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37

# Synchronous faults (SIGSEGV, ...) concern the process that caused them. The job control signals stop a process by
# default, and a stopped init reaps nothing.
_NOT_FORWARDED = {
    signal.SIGCHLD,
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}


def become_init_if_pid1() -> None:
    """As PID 1, fork and return only in the child, which becomes the daemon; otherwise do nothing."""
    if os.getpid() != 1:
        return
    forwarded = signal.valid_signals() - _NOT_FORWARDED
    # Block before the fork, so that a signal that arrives now stays pending: the kernel discards signals to PID 1
    # that it neither handles nor blocks.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, forwarded | {signal.SIGCHLD})
    daemon = os.fork()
    if daemon:
        _supervise(daemon, forwarded)
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_terminal() -> None:
    """Make the daemon the foreground process group; otherwise it gets Ctrl-C twice, from the terminal and the init."""
    os.setpgid(0, 0)
    if os.isatty(0):
        # tcsetpgrp from a background group stops the caller with SIGTTOU unless that is ignored.
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # not our controlling terminal
        finally:
            signal.signal(signal.SIGTTOU, before)


def _supervise(daemon: int, forwarded: Iterable[int]) -> NoReturn:
    """Run the init: reap every child, forward signals, exit when the daemon does."""
    watched = {signal.SIGCHLD, *forwarded}
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            _forward(daemon, number)
            continue
        status = _reap(daemon)
        if status is not None:
            sys.stdout.flush()
            os._exit(exit_code(status))


def _forward(daemon: int, number: int) -> None:
    try:
        os.kill(daemon, number)
    except ProcessLookupError:
        return  # the daemon has ended; SIGCHLD is pending


def _reap(daemon: int) -> int | None:
    """Reap every ended child; return the daemon's wait status if it was one of them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == daemon:
            found = status


def exit_code(status: int) -> int:
    """Convert a wait status to a shell's exit code: 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def set_subreaper() -> bool:
    """Make this process a child subreaper, to which orphaned descendants are re-parented; False if unsupported."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def is_subreaper() -> bool:
    """Tell whether orphaned descendants are re-parented to this process."""
    import ctypes

    answer = ctypes.c_int(0)
    known = _prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer))
    return os.getpid() == 1 or (known and answer.value != 0)


def _prctl(option: int, argument: object) -> bool:
    import ctypes  # takes 5 ms, which an invocation that never serves saves

    try:
        return bool(ctypes.CDLL(None).prctl(option, argument, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


def default_signals() -> None:
    """Replace SIG_IGN by a handler that does nothing; must be called in the main thread.

    Ignored signals stay ignored across exec, handled ones are reset to the default. A daemon started with ``nohup`` or
    ``&`` ignores SIGHUP or SIGINT, and its commands could not be interrupted.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
