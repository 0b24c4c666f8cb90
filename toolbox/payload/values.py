"""Numbers and texts as strict JSON has them: no NaN, no numpy types."""

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, List, Optional


def number(value: "Any") -> "Optional[float]":
    """Return an int or a finite float, None for anything else."""
    try:
        if isinstance(value, bool):
            return int(value)
        if hasattr(value, "mask") and bool(value.mask):
            return None
        if isinstance(value, int):
            return value if abs(value) < 2**63 else float(value)
        plain = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return plain if math.isfinite(plain) else None


def numbers(values: "Iterable[Any]") -> "List[float]":
    """Return the finite numbers of a sequence."""
    return [plain for plain in map(number, values) if plain is not None]


def text(value: "Any") -> str:
    """Return text that UTF-8 can encode."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def shortest(value: "Any") -> "Optional[str]":
    """Return the shortest text that parses to the number, as in ``4`` and ``0.5``; None for anything else."""
    plain = number(value)
    if plain is None:
        return None
    if getattr(value, "dtype", None) is not None and value.dtype.itemsize < 8 and value.dtype.kind == "f":
        plain = float(str(value))
    return str(int(plain)) if plain == int(plain) and abs(plain) < 1e16 else repr(plain)


def plain_label(label: "Any") -> str:
    """Return a label that the user set; those that matplotlib generates begin with an underscore."""
    found = text(label)
    return "" if found.startswith("_") else found
