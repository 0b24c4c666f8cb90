"""Let ``multiprocessing`` start children that import the program, which is no file.

A child of the start methods ``spawn`` and ``forkserver`` executes the file of ``__main__``, under another name, to find
the functions it is to call. A program from text has no such file: the child would fail, and a pool would start others
for ever. Here it is a memory file, which the child opens below ``/proc``, so nothing is written to a disk.
"""

import functools
import os
import re
import sys

from . import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

# The encoding line as in PEP 263; on the second line only if the first is blank or a comment.
_ENCODING = re.compile(r"((?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))??[ \t\f]*#[^\r\n]*?coding[:=][ \t]*)[-\w.]+")
_file: "Dict[str, Any]" = {"fd": -1, "identity": None}


def spawn_loaded(module: "Any") -> None:
    """Tell children the memory file instead of ``<stdin>``."""
    original = module.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name: str) -> "Any":
        data = original(name)
        # Not if the program has set another file, or is a child already.
        if run.program and getattr(sys.modules.get("__main__"), "__file__", None) == run.NAME:
            data["init_main_from_path"] = _path(run.program[0])
        return data

    module.get_preparation_data = get_preparation_data


def _path(text: str) -> str:
    if not _is_open():
        fd = os.memfd_create("program")
        # The text is decoded already, so the encoding line of the file must name its new encoding.
        with open(fd, "wb", closefd=False) as file:
            file.write(_as_utf8(text).encode("utf-8", "surrogatepass"))
        status = os.fstat(fd)
        # Last, because another thread may start a child at the same time.
        _file.update(fd=fd, identity=(status.st_dev, status.st_ino))
    return "/proc/%d/fd/%d" % (os.getpid(), _file["fd"])


def _as_utf8(text: str) -> str:
    found = _ENCODING.match(text)
    return text if found is None else found[1] + "utf-8" + text[found.end() :]


def _is_open() -> bool:
    """Tell whether the file is still open: a program may have closed all descriptors."""
    try:
        status = os.fstat(_file["fd"])
    except OSError:
        return False
    return bool(_file["identity"] == (status.st_dev, status.st_ino))
