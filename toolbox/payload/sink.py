"""The descriptor for rich output, separate from standard output: one MIME bundle per line, as strict JSON.

The daemon reads the lines as ``toolbox/runs/rich_output.py``, which has the same MIME types.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

# Bytes of all outputs of a run together; the daemon reads no more either.
CAPACITY = 64 * 1024 * 1024

PNG = "image/png"
PLOTLY = "application/vnd.plotly.v1+json"
CHART = "application/vnd.toolbox.chart+json"

_state: "Dict[str, Any]" = {"fd": -1, "identity": None, "left": 0}


def open_on(fd: int) -> None:
    """Write rich output to ``fd`` from now on."""
    status = os.fstat(fd)
    _state.update(fd=fd, identity=(status.st_dev, status.st_ino), left=CAPACITY)


def put(mime: "Dict[str, Any]") -> bool:
    """Write the MIME bundle of a figure; over the capacity without data, then without picture, else not at all."""
    import json

    chart = mime[CHART]
    bundles: List[Dict[str, Any]] = [
        mime,
        dict(mime, **{CHART: dict(chart, elements=[])}),
        {CHART: {"type": "unknown", "title": chart.get("title"), "elements": []}},
    ]
    for bundle in bundles:
        line = json.dumps({"mime": bundle}, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if len(line) <= _state["left"]:
            return _write(line)
    return False


def _write(line: bytes) -> bool:
    # A program that closes every descriptor may have opened a file of its own with this number.
    status = os.fstat(_state["fd"])
    if (status.st_dev, status.st_ino) != _state["identity"]:
        return False
    _state["left"] -= len(line)
    while line:
        line = line[os.write(_state["fd"], line) :]
    return True
