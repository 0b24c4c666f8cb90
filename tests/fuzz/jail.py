"""Run a program that may be told to do anything: ``python jail.py WRITABLE COMMAND [ARGUMENT ...]``.

The whole file system is read-only but for the folder WRITABLE (TMPDIR belongs there), and only processes inside can be
seen or signalled. Uses kernel namespaces, as root or not; exits with 77 where the kernel refuses them.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import sys

REFUSED = 77
NEW_NS, NEW_USER, NEW_PID = 0x00020000, 0x10000000, 0x20000000
AT_FDCWD, AT_RECURSIVE, MS_BIND, MS_PRIVATE, MS_REC = -100, 0x8000, 0x1000, 1 << 18, 0x4000
MOUNT_SETATTR, READ_ONLY = 442, 1

libc = ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    """``struct mount_attr`` of mount_setattr(2)."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def checked(result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    checked(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None))


def set_read_only(path: str, *, recursive: bool, on: bool) -> None:
    attributes = MountAttributes(attr_set=READ_ONLY if on else 0, attr_clr=0 if on else READ_ONLY)
    flags = AT_RECURSIVE if recursive else 0
    size = ctypes.sizeof(attributes)
    checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), size))


def unshare() -> None:
    """Take namespaces of our own, with a user namespace where that is allowed (not in a chroot)."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_NS | NEW_PID) == -1:
        checked(libc.unshare(NEW_NS | NEW_PID))
        return
    own = pathlib.Path("/proc/self")
    (own / "setgroups").write_text("deny", encoding="ascii")
    (own / "uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
    (own / "gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def close_in(writable: str) -> None:
    """Make everything read-only but ``writable``."""
    mount("none", "/", "", MS_PRIVATE | MS_REC)
    mount(writable, writable, "", MS_BIND)
    set_read_only("/", recursive=True, on=True)
    set_read_only(writable, recursive=False, on=False)


def main(writable: str, command: list[str]) -> int:
    try:
        unshare()
        close_in(writable)
    except OSError as error:
        print(f"no namespaces here: {error}", file=sys.stderr)
        return REFUSED
    # The first child is process 1 of the new namespace: when it ends, the kernel ends everything inside.
    child = os.fork()
    if child == 0:
        mount("proc", "/proc", "proc")
        set_read_only("/proc", recursive=False, on=True)
        os.chdir(writable)
        os.execvp(command[0], command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2:]))
