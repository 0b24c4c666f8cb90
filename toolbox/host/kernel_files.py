"""Read small files of ``/proc`` and cgroupfs. A missing file counts as empty: kernels and sandboxes differ."""

from __future__ import annotations


def read_text(path: str) -> str:
    """Return the content of a file; empty if it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def read_number(path: str) -> int | None:
    """Return the number in a file; None for ``max`` and for a missing file."""
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else None


def read_counters(path: str) -> dict[str, int]:
    """Parse lines of a name and a number: ``memory.stat``, ``cpu.stat``, ``/proc/vmstat``, ``/proc/meminfo`` (KiB)."""
    pairs = (line.split()[:2] for line in read_text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def own_cgroups(proc: str) -> dict[str, str]:
    """Map each controller to the path of this process's cgroup; version 2 has the empty name."""
    paths: dict[str, str] = {}
    for line in read_text(f"{proc}/self/cgroup").splitlines():
        # "4:cpu,cpuacct:/box" in version 1, "0::/box" in version 2. The path may contain colons.
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        paths |= dict.fromkeys(names.split(","), path)
    return paths
