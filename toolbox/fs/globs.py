"""Glob patterns as the SDKs use them: matched on the base name, or on the path below the root (see ``Glob``).

A pattern becomes an automaton, which reads each character of a name once. A regular expression would backtrack: with
``*a*a*a*b`` the time grows with a power of the length of the name, and ``re`` holds the GIL until it is done.
"""

from __future__ import annotations

import re

from toolbox.errors import BadRequest

_CLASS = re.compile(r"\[(?P<not>[!^]?)(?P<body>\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)
_MAX_BRACES = 16
# Transitions kept per pattern; when there are more, all are computed anew.
_MAX_CACHED = 4096


class Glob:
    """A pattern of ``*``, ``?``, ``[a-z]``, ``[^a]``; one with ``/``, ``**`` or ``{a,b}`` is matched on the path."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self.on_path = any(mark in pattern for mark in ("/", "**", "{"))
        self._automaton = _Parser(pattern, on_path=self.on_path, ignore_case=ignore_case).run()

    def matches(self, name: str, relative: str) -> bool:
        """Tell whether an entry matches by its name or by its path relative to the root."""
        return self._automaton.accepts(relative if self.on_path else name)


class _State(dict[str, "_State"]):
    """The active positions after some characters; its items are the transitions computed so far."""

    def __init__(self, automaton: _Automaton, positions: int, inside: int) -> None:
        super().__init__()
        self._automaton = automaton
        self.accepting = bool(positions >> automaton.size)
        # Bit n: the next item to match is n. Bit n of ``inside``: the ``**/`` at n is inside a path component.
        self.positions = positions
        self.inside = inside

    def __missing__(self, char: str) -> _State:
        return self._automaton.step(self, char)


class _Automaton:
    """A nondeterministic automaton whose sets of positions are the bits of integers, determinised as names are read."""

    def __init__(self, *, ignore_case: bool) -> None:
        self.size = 0
        self.free = 0  # positions that are left without a character
        self.jumps: dict[int, int] = {}  # from the bit of a brace or comma to the bits after it
        self.within = 0  # ``*``: stays on any character but "/"
        self.across = 0  # ``**``: stays on any character
        self.components = 0  # ``**/``
        self._not_slash = 0  # ``?``
        self._literals: dict[str, int] = {}
        self._classes: dict[str, tuple[re.Pattern[str], int]] = {}
        self._flags = re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG)
        self._accepting: dict[str, int] = {}
        self._states: dict[tuple[int, int], _State]

    def add(self) -> int:
        """Add a position and return its bit."""
        self.size += 1
        return 1 << (self.size - 1)

    def add_literal(self, char: str) -> None:
        """Add a position that takes one character."""
        self._literals[char] = self._literals.get(char, 0) | self.add()

    def add_any(self) -> None:
        """Add a position that takes any character but the separator."""
        self._not_slash |= self.add()

    def add_class(self, source: str) -> None:
        """Add a position that takes what a regular expression for one character takes, but not the separator."""
        pattern, bits = self._classes.get(source) or (re.compile(source, self._flags), 0)
        self._classes[source] = (pattern, bits | self.add())

    def accepts(self, text: str) -> bool:
        """Tell whether the whole text matches."""
        state = self._start
        for char in text:
            state = state[char]
        return state.accepting

    def step(self, state: _State, char: str) -> _State:
        """Compute the state after one more character."""
        if self._cached >= _MAX_CACHED:
            self._reset()
        taken = self._accepting.get(char)
        if taken is None:
            taken = self._accepting[char] = self._taking(char)
        positions = (state.positions & taken) << 1 | state.positions & self.across
        if char == "/":
            positions, inside = positions | state.inside, 0
        else:
            positions |= state.positions & self.within
            inside = state.inside | state.positions & self.components
        after = state[char] = self._state(self._closed(positions), inside)
        self._cached += 1
        return after

    def _state(self, positions: int, inside: int) -> _State:
        state = self._states.get((positions, inside))
        if state is None:
            state = self._states[positions, inside] = _State(self, positions, inside)
        return state

    def _taking(self, char: str) -> int:
        """Return the positions that take a character."""
        if self._flags & re.IGNORECASE:
            same = re.compile(re.escape(char), self._flags)
            bits = sum(bit for literal, bit in self._literals.items() if same.fullmatch(literal))
        else:
            bits = self._literals.get(char, 0)
        if char == "/":
            return bits
        for pattern, bit in self._classes.values():
            if pattern.fullmatch(char):
                bits |= bit
        return bits | self._not_slash

    def _closed(self, positions: int) -> int:
        """Add the positions that can be reached without a character; all of them come later in the pattern."""
        positions = self._left(positions)
        pending = positions & self._braces
        while pending:
            first = pending & -pending
            positions = self._left(positions | self.jumps[first])
            pending = positions & self._braces & -(first << 1)
        return positions

    def _left(self, positions: int) -> int:
        # The carry of an addition runs through consecutive free positions in one operation, however many there are.
        return positions | (self.free + (positions & self.free)) ^ self.free

    def close(self) -> _Automaton:
        """Finish the construction."""
        self._braces = sum(self.jumps)
        self._reset()
        return self

    def _reset(self) -> None:
        self._states, self._accepting, self._cached = {}, {}, 0
        self._start = self._state(self._closed(1), 0)


class _Parser:
    """Build the automaton of a pattern."""

    def __init__(self, pattern: str, *, on_path: bool, ignore_case: bool) -> None:
        self._pattern = pattern
        self._at = 0
        # The bits of each open brace and of its commas, and whether the brace is at the start of the path.
        self._open: list[tuple[int, list[int], bool]] = []
        self._at_root = on_path
        self._at_component = on_path
        self._automaton = _Automaton(ignore_case=ignore_case)

    def run(self) -> _Automaton:
        while self._at < len(self._pattern):
            if not self._skips_empty():
                self._next()
        if self._open:
            raise self._invalid("brace is not closed")
        return self._automaton.close()

    def _invalid(self, reason: str) -> BadRequest:
        return BadRequest(f"bad request: invalid pattern {self._pattern!r}: {reason}")

    def _skips_empty(self) -> bool:
        """Skip a path component that says nothing, as in ``./a``, ``/a``, ``a//b`` and ``a/./b``."""
        if not self._at_component:
            return False
        for text in ("/", "./"):
            if self._pattern.startswith(text, self._at) and (
                self._at_root or self._at + len(text) < len(self._pattern)
            ):
                self._at += len(text)
                return True
        return False

    def _next(self) -> None:
        at_root, self._at_root, self._at_component = self._at_root, False, False
        if self._pattern[self._at] == "*":
            self._star()
        elif self._pattern[self._at] == "[":
            self._class()
        else:
            char = self._pattern[self._at]
            self._at += 1
            if char == "?":
                self._automaton.add_any()
            elif char in "{,}":
                self._brace(char, at_root=at_root)
            else:
                self._automaton.add_literal(self._escaped() if char == "\\" else char)
                self._at_component = char == "/"

    def _star(self) -> None:
        automaton, bit = self._automaton, self._automaton.add()
        automaton.free |= bit
        if self._pattern.startswith("**/", self._at):
            automaton.components |= bit
            self._at += 3
            self._at_component = True
        elif self._pattern.startswith("**", self._at):
            automaton.across |= bit
            self._at += 2
        else:
            automaton.within |= bit
            self._at += 1

    def _class(self) -> None:
        match = _CLASS.match(self._pattern, self._at)
        if match is None or not match["body"]:
            raise self._invalid("bracket is not closed")
        self._at = match.end()
        # ``[``, ``&``, ``|`` and ``~`` are reserved for set operations inside a class of ``re``.
        body = re.sub(r"([\[&|~])", r"\\\1", match["body"])
        body = "\\" + body if body.startswith(("]", "^")) else body
        try:
            self._automaton.add_class(f"[{'^' if match['not'] else ''}{body}]")
        except re.error as error:
            raise self._invalid(error.msg) from error

    def _brace(self, char: str, *, at_root: bool) -> None:
        automaton = self._automaton
        if char == "{" and len(self._open) < _MAX_BRACES:
            start = automaton.add()
            automaton.jumps[start] = start << 1
            self._open.append((start, [], at_root))
            self._at_root = self._at_component = at_root
        elif char == "," and self._open:
            start, commas, at_root = self._open[-1]
            self._at_root = self._at_component = at_root
            commas.append(automaton.add())
            automaton.jumps[start] |= commas[-1] << 1
        elif char == "}" and self._open:
            _, commas, _ = self._open.pop()
            end = automaton.add()
            automaton.free |= end
            automaton.jumps.update(dict.fromkeys(commas, end))
        else:
            automaton.add_literal(char)

    def _escaped(self) -> str:
        if self._at == len(self._pattern):
            raise self._invalid("nothing follows the backslash")
        self._at += 1
        return self._pattern[self._at - 1]
