"""Parsers of setting values; each raises ``ValueError`` for malformed text.

This module is imported before the socket listens, so it imports almost nothing.
"""

from __future__ import annotations

import re

# Not typing.TYPE_CHECKING: that import costs 4 ms before the port accepts. Type checkers know the bare name too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,18}(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
# 18 digits: more than any limit needs, and within 64 bits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)")


def boolean(text: str) -> bool:
    """Parse a boolean."""
    low = text.strip().lower()
    if low in ("1", "true", "yes", "on"):
        return True
    if low in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def integer(text: str) -> int:
    """Parse a whole number in ASCII digits."""
    clean = text.strip()
    # int() also takes 1_000 and digits of other scripts, and its message is about literals and bases.
    if not _INTEGER.fullmatch(clean):
        raise ValueError("expected a whole number")
    return int(clean)


def number(text: str) -> float:
    """Parse a finite decimal number."""
    clean = text.strip()
    if not _NUMBER.fullmatch(clean):  # float() also takes nan, inf and 1_0
        raise ValueError("expected a number")
    return float(clean)


def duration(text: str) -> float:
    """Parse a Go duration (``1m30s``, ``100ms``) or a number of seconds; return seconds."""
    clean = text.strip()
    if _NUMBER.fullmatch(clean):
        return float(clean)
    parts = _DURATION.findall(clean)
    if not parts or "".join(number + unit for number, unit in parts) != clean:
        raise ValueError("expected a duration such as 5s, 1500ms or 1m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def names(text: str) -> frozenset[str]:
    """Parse a comma-separated list."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def labels(text: str) -> dict[str, str]:
    """Parse ``k=v,k=v``."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    found = {key.strip(): value.strip() for key, sign, value in pairs if sign and key.strip()}
    if text.strip() and not found:
        raise ValueError("expected k=v,k=v")
    return found


def at_least(kind: Callable[[str], float], low: float) -> Callable[[str], float]:
    """Return a parser for numbers that ``kind`` parses, ``low`` or more."""

    def read(text: str) -> float:
        value = kind(text)
        if value < low:
            raise ValueError(f"expected at least {low:g}")
        return value

    return read


def between(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for integers of a range, both ends included."""

    def read(text: str) -> int:
        value = integer(text)
        if not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return value

    return read


def port(text: str) -> int:
    """Parse a TCP port; 0 is valid."""
    if not _INTEGER.fullmatch(text.strip()) or not 0 <= int(text) <= 65535:
        raise ValueError("expected a port from 0 to 65535")
    return int(text)


def log_level(text: str) -> str:
    """Parse a log level, case-insensitive; "warning" is an alias of "warn"."""
    low = text.strip().lower()
    if low not in ("debug", "info", "warn", "warning", "error"):
        raise ValueError("expected one of debug, info, warn, error")
    return low.removesuffix("ing")
