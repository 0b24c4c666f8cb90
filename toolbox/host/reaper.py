"""What the kernel expects of the first process: reap orphans, pass signals on, exit with the daemon's status.

Imported before the listening socket exists, so it imports almost nothing. As PID 1 the process splits: the parent
stays a small init, the daemon is its child. The init is the only place where ``waitpid(-1)`` is right, because it
has no children whose status anybody else waits for.
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

# Faults belong to the process that caused them, and a stopped init would leave its zombies behind.
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
    """Return at once unless this is PID 1; there, return only in a child that is to be the daemon."""
    if os.getpid() == 1:
        _split()


def _split() -> None:
    forwarded = signal.valid_signals() - _NOT_FORWARDED
    # Blocked before the fork, so that a signal that arrives meanwhile waits instead of being lost: the kernel
    # drops what an init neither handles nor blocks.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, forwarded | {signal.SIGCHLD})
    daemon = os.fork()
    if daemon:
        _supervise(daemon, forwarded)
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_terminal() -> None:
    """Make the daemon the foreground group, or a Ctrl-C would reach it twice: from the terminal and from the init."""
    os.setpgid(0, 0)
    if os.isatty(0):
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # not our controlling terminal
        finally:
            signal.signal(signal.SIGTTOU, before)


def _supervise(daemon: int, forwarded: Iterable[int]) -> NoReturn:
    """Be the init: reap everything, forward signals, end with the daemon."""
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
        return  # it ended just now; its status comes with SIGCHLD


def _reap(daemon: int) -> int | None:
    """Collect every ended child; return the wait status of the daemon if it was among them."""
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
    """Turn a wait status into the number a shell would report: 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def set_subreaper() -> bool:
    """Have orphans below this process re-parented to it; tell whether the kernel agreed."""
    import ctypes  # 5 ms that a process which never serves need not pay

    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


def is_subreaper() -> bool:
    """Tell whether orphans below this process are re-parented to it."""
    import ctypes

    answer = ctypes.c_int(0)
    try:
        known = ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) == 0
    except (AttributeError, OSError):
        return False
    return os.getpid() == 1 or bool(known and answer.value)


def default_signals() -> None:
    """Give every ignored signal a handler that does nothing; call it in the main thread.

    For the daemon that is the same, but an ignored signal stays ignored in children across exec, whereas a handled
    one is reset: a command could otherwise not be interrupted when the daemon was started with ``nohup`` or ``&``.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _nothing)


def _nothing(number: int, frame: object) -> None:
    """Handle a signal by ignoring it."""
