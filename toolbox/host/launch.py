"""What to start: the program, its identity and limits, and the descriptors it gets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from toolbox.host.files import scratch, write_at
from toolbox.host.limits import Limits, gated
from toolbox.host.users import UserIdentity

PIPE = -1

Stdin = int | bytes | None
# A session leader without a controlling terminal acquires the terminal that it opens without O_NOCTTY. The usual way,
# ioctl TIOCSCTTY in preexec_fn, runs Python between fork and exec, which may deadlock in a process with threads.
_TAKE_TERMINAL = ("/bin/sh", "-c", 'exec "$@" <>"$0" >&0 2>&1')


class Launch(msgspec.Struct, frozen=True):
    """What to start. ``stdin``: a descriptor, bytes (passed as a file), ``PIPE``, or None for ``/dev/null``.

    ``stdout`` and ``stderr``: a descriptor, ``PIPE``, or None for ``/dev/null``; ``merge`` sends stderr to stdout.
    ``terminal``: path of the controlling terminal, which becomes all three streams; a program that cannot be executed
    there exits with 126 or 127, as in a shell. ``user``: None for the daemon's own. With ``limits`` a shell stops
    itself and then executes the program, so ``argv[0]`` becomes the program's path.
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
        """Return the argv, and the file to execute if it differs from the first argument."""
        argv = [*_TAKE_TERMINAL, self.terminal, *self.argv] if self.terminal else self.argv
        return (gated(argv, self.executable, self.env), None) if self.limits else (argv, self.executable)

    @property
    def identity(self) -> tuple[int | None, int | None, Sequence[int] | None]:
        """Return user, group and groups; None for the daemon's, with which ``subprocess`` can use the faster vfork."""
        who = self.user
        return (None, None, None) if who is None else (who.uid, who.gid, who.groups)


class ChildPipes:
    """Pipes of a child during spawn. On exit the child's ends are closed, and the daemon's unless detached."""

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
        """Transfer ownership of the daemon's ends, in order of creation; None where there is no pipe."""
        ours, self._ours = self._ours, []
        return ours

    def input(self, stdin: Stdin) -> int | None:
        """Return the child's stdin, None for ``/dev/null``."""
        if isinstance(stdin, bytes):
            stdin = file_of(stdin)
            self._theirs.append(stdin)
        elif stdin == PIPE:
            return self._keep(*os.pipe2(os.O_CLOEXEC))
        self._ours.append(None)
        return stdin

    def output(self, stream: int | None) -> int | None:
        """Return the child's descriptor of an output stream, None for ``/dev/null``."""
        if stream == PIPE:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            return self._keep(theirs, ours)
        self._ours.append(None)
        return stream

    def _keep(self, theirs: int, ours: int) -> int:
        # O_NONBLOCK belongs to one end of a pipe: the child's end stays blocking, as programs expect.
        self._theirs.append(theirs)
        self._ours.append(ours)
        os.set_blocking(ours, False)
        return theirs


def file_of(data: bytes) -> int:
    """Return a descriptor of an unnamed file with this content, positioned at its start.

    A pipe would need a writer once the data exceeds its capacity; a file in memory needs none.
    """
    try:
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    except OSError:  # seccomp profiles and hardened kernels may forbid it
        fd = scratch()
    try:
        write_at(fd, data, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd
