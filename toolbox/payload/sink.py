"""The private descriptor that charts go to: one line of strict JSON each."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

# Bytes of all charts of a run together; the daemon reads no more.
CAPACITY = 64 * 1024 * 1024

_state: "Dict[str, Any]" = {"fd": -1, "identity": None, "left": 0}


def open_on(fd: int) -> None:
    """Write to ``fd`` from now on."""
    status = os.fstat(fd)
    _state.update(fd=fd, identity=(status.st_dev, status.st_ino), left=CAPACITY)


def put(chart: "Dict[str, Any]") -> bool:
    """Write one chart: without its data, or without its picture too, if that would exceed the capacity."""
    import json

    tries: List[Dict[str, Any]] = [
        chart,
        dict(chart, elements=[]),
        {"type": "unknown", "title": chart.get("title"), "elements": []},
    ]
    for each in tries:
        line = json.dumps(each, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if len(line) <= _state["left"]:
            return _write(line)
    return False


def _write(line: bytes) -> bool:
    # A program that closes every descriptor may have opened a file of its own with this number.
    status = os.fstat(_state["fd"])
    if (status.st_dev, status.st_ino) != _state["identity"]:
        return False
    _state["left"] -= len(line)
    parts: "List[bytes]" = [line]
    while parts[0]:
        parts[0] = parts[0][os.write(_state["fd"], parts[0]) :]
    return True
