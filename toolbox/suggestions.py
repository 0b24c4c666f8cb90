"""What a mistyped word was probably meant to be; imported only after something was mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean X?`` for the most similar known word, or an empty string."""
    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), plain, 1)
    return f", did you mean {plain[found[0]]}?" if found else ""


def _plain(word: str) -> str:
    """Drop the prefix all variables share, and what is mistyped most often: case, leading dashes, ``_`` for ``-``."""
    return word.lower().lstrip("-").replace("_", "-").removeprefix("toolbox-")


def unexpected(word: str, known: Iterable[str]) -> str:
    """Return the message for a word of the command line that nothing takes."""
    kind = "unknown option" if word.startswith("-") else "unexpected argument"
    return f"{word}: {kind}{did_you_mean(word, known) or '; --help lists what there is'}"


def unknown_variables(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a warning for each variable that looks like a setting but is none."""
    settings = list(known)
    return [f"{name}: unknown variable{did_you_mean(name, settings)}" for name in names]
