"""Glob patterns as the SDKs use them: matched on the base name, or on the path below the root (see ``Glob``)."""

from __future__ import annotations

import re

from toolbox.errors import BadRequest

_CLASS = re.compile(r"\[(?P<not>[!^]?)(?P<body>\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)
_MAX_BRACES = 16


class Glob:
    """A pattern of ``*``, ``?``, ``[a-z]``, ``[^a]``; one with ``/``, ``**`` or ``{a,b}`` is matched on the path."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self.on_path = any(mark in pattern for mark in ("/", "**", "{"))
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG)
        try:
            self._regex = re.compile(_Translator(pattern.lstrip("/") if self.on_path else pattern).run(), flags)
        except re.error as error:
            raise BadRequest(f"bad request: invalid pattern {pattern!r}: {error.msg}") from error

    def matches(self, name: str, relative: str) -> bool:
        """Tell whether an entry matches by its name or by its path relative to the root."""
        return self._regex.fullmatch(relative if self.on_path else name) is not None


class _Translator:
    """Translate a pattern into a regular expression; ``fnmatch`` knows neither ``**`` nor braces."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._braces = 0

    def run(self) -> str:
        parts = []
        while self._at < len(self._pattern):
            parts.append(self._next())
        if self._braces:
            raise BadRequest(f"bad request: invalid pattern {self._pattern!r}: brace is not closed")
        return "".join(parts)

    def _next(self) -> str:
        rest = self._pattern[self._at :]
        for text, regex in (("**/", "(?:[^/]+/)*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if rest.startswith(text):
                self._at += len(text)
                return regex
        char = rest[0]
        if char == "[":
            return self._class()
        self._at += 1
        if char in "{,}":
            return self._brace(char)
        if char == "\\":
            return self._escape()
        return re.escape(char)

    def _class(self) -> str:
        match = _CLASS.match(self._pattern, self._at)
        if match is None or not match["body"]:
            raise BadRequest(f"bad request: invalid pattern {self._pattern!r}: bracket is not closed")
        self._at = match.end()
        # ``[``, ``&``, ``|`` and ``~`` are reserved for set operations inside a class of ``re``.
        body = re.sub(r"([\[&|~])", r"\\\1", match["body"])
        body = "\\" + body if body.startswith(("]", "^")) else body
        # A negated class must not match the separator.
        return f"(?!/)[{'^' if match['not'] else ''}{body}]"

    def _brace(self, char: str) -> str:
        if char == "{" and self._braces < _MAX_BRACES:
            self._braces += 1
            return "(?:"
        if char == "," and self._braces:
            return "|"
        if char == "}" and self._braces:
            self._braces -= 1
            return ")"
        return re.escape(char)

    def _escape(self) -> str:
        if self._at == len(self._pattern):
            raise BadRequest(f"bad request: invalid pattern {self._pattern!r}: nothing follows the backslash")
        self._at += 1
        return re.escape(self._pattern[self._at - 1])
