"""What to start, and the descriptors it starts with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence

import msgspec

from toolbox.host.limits import Limits, gated
from toolbox.host.users import UserIdentity

PIPE = -1

Stdin = int | bytes | None
# Give a session leader its controlling terminal: opening one without O_NOCTTY does it, and unlike a function run
# between fork and exec this is safe in a process with threads.
_TAKE_TERMINAL = ("/bin/sh", "-c", 'exec "$@" <>"$0" >&0 2>&1')


class Launch(msgspec.Struct, frozen=True):
    """What to start. ``stdin``: a descriptor, bytes (given as a file), ``PIPE``, or None for ``/dev/null``.

    ``stdout`` and ``stderr``: a descriptor, ``PIPE``, or None for ``/dev/null``; ``merge`` sends stderr where
    stdout goes. ``terminal`` is the path of a terminal to be the controlling one and all three streams; a program
    that cannot be started there ends with status 126 or 127, as in a shell. ``user``: who to run as, if not as us.
    With ``limits`` it starts through a gate, and its first argument becomes the path of the program.
    """

    argv: Sequence[str | bytes]
    env: Mapping[str, str]
    cwd: str | bytes
    executable: str | None = None
    stdin: Stdin = None
    stdout: int | None = None
    stderr: int | None = None
    merge: bool = False
    pass_fds: Sequence[int] = ()
    terminal: str = ""
    user: UserIdentity | None = None
    limits: Limits | None = None

    @property
    def command(self) -> tuple[Sequence[str | bytes], str | None]:
        """Return the arguments to start with, and what to execute if that is not the first of them."""
        argv = [*_TAKE_TERMINAL, self.terminal, *self.argv] if self.terminal else self.argv
        return (gated(argv, self.executable, self.env), None) if self.limits else (argv, self.executable)

    @property
    def identity(self) -> tuple[int | None, int | None, Sequence[int] | None]:
        """Return user, group and groups to run as; None for ours, which starts much faster."""
        who = self.user
        return (None, None, None) if who is None else (who.uid, who.gid, who.groups)


class ChildPipes:
    """The pipes of one child while it is being made: on leaving, the child's ends close, and ours unless detached."""

    def __init__(self) -> None:
        self._ours: list[int | None] = []
        self._theirs: list[int] = []

    def __enter__(self) -> ChildPipes:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (*self._theirs, *self._ours):
            if fd is not None:
                os.close(fd)

    def detach(self) -> list[int | None]:
        """Hand over our ends, in the order they were asked for; None where there is no pipe."""
        ours, self._ours = self._ours, []
        return ours

    def input(self, stdin: Stdin) -> int | None:
        """Return the child's descriptor for its input, None for none."""
        if isinstance(stdin, bytes):
            stdin = file_of(stdin)
            self._theirs.append(stdin)
        elif stdin == PIPE:
            theirs, ours = os.pipe2(os.O_CLOEXEC)
            return self._keep(theirs, ours)
        self._ours.append(None)
        return stdin

    def output(self, stream: int | None) -> int | None:
        """Return the child's descriptor for an output stream, None for none."""
        if stream == PIPE:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            return self._keep(theirs, ours)
        self._ours.append(None)
        return stream

    def _keep(self, theirs: int, ours: int) -> int:
        # Each end has flags of its own: the child's stays blocking.
        self._theirs.append(theirs)
        self._ours.append(ours)
        os.set_blocking(ours, False)
        return theirs


def file_of(data: bytes) -> int:
    """Return a descriptor of a nameless file that holds ``data``, at its start."""
    try:
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    except OSError:  # switched off on hardened kernels
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(fd, memoryview(data)[done:], done)
    except BaseException:
        os.close(fd)
        raise
    return fd
