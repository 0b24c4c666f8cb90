"""Globs mean what their translation to a regular expression means, and take time in proportion to the name."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from toolbox.errors import BadRequest
from toolbox.fs.globs import Glob

ITEMS = [
    "a",
    "b",
    "A",
    "*",
    "**",
    "**/",
    "/",
    "?",
    "[a-b]",
    "[^a]",
    "[!/]",
    "[/a]",
    "{",
    "}",
    ",",
    "\\*",
    "s",
    "\u017f",
    ".",
]
PATTERNS = st.lists(st.sampled_from(ITEMS), max_size=9).map("".join)
NAMES = st.text(alphabet="aabbAs/\u017f.*\n", max_size=9)
SPECIAL = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?[^\]]+\]|\\.|.", re.DOTALL)


def reference(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Translate a valid pattern into a regular expression, which is exact and backtracks."""
    depth, parts = 0, []
    for token in TOKEN.findall(pattern):
        if token in SPECIAL:
            parts.append(SPECIAL[token])
        elif token[0] == "[":
            parts.append("(?!/)" + token.replace("[!", "[^"))
        elif token in "{,}" and (depth or token == "{"):
            parts.append({"{": "(?:", ",": "|", "}": ")"}[token])
            depth += {"{": 1, ",": 0, "}": -1}[token]
        else:
            parts.append(re.escape(token[-1]))
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


@settings(max_examples=800, deadline=None)
@given(PATTERNS, st.lists(NAMES, min_size=1, max_size=10), st.booleans())
@example("**/**/a**", ["a", "a/b", "a/a", "/a", "b/a/b"], False)
@example("{a,{b,}*}{,?}", ["", "a", "ab", "bb", "a/"], False)
@example("[^a]S", ["As", "b\u017f"], True)
def test_a_glob_matches_what_its_translation_matches(pattern: str, names: list[str], ignore_case: bool) -> None:
    # Components that say nothing have tests of their own; as regular expressions they match nothing.
    assume(not re.search(r"(^|[/{,])\.?/", pattern))
    try:
        glob = Glob(pattern, ignore_case=ignore_case)
    except BadRequest:
        with pytest.raises(re.error):
            reference(pattern, ignore_case=ignore_case)
        return
    expected = reference(pattern, ignore_case=ignore_case)
    for name in names:
        assert glob.matches(name, name) is (expected.fullmatch(name) is not None), (pattern, name)


def test_transitions_that_were_dropped_are_computed_again() -> None:
    glob = Glob("*a" + "?" * 16)  # 2**17 sets of positions
    expected = reference("*a" + "?" * 16, ignore_case=False)
    for number in range(2000):
        name = f"{number * 2654435761 % 2**40:040b}".translate({48: "a", 49: "b"})
        assert glob.matches(name, name) is (expected.fullmatch(name) is not None)


HOSTILE = st.lists(
    st.sampled_from(["*a", "*", "**", "**/", "?", "*?", "{a,aa}", "{a,*}", "{*,**}", "[ab]", "a", "{,a}"]),
    min_size=1,
    max_size=6,
).map(lambda items: "".join((items * 30)[:30]))


def seconds(pattern: str, names: list[str], *, ignore_case: bool) -> float:
    best = 1e9
    for _ in range(3):
        glob = Glob(pattern, ignore_case=ignore_case)
        start = time.thread_time()
        for name in names:
            glob.matches(name, name)
        best = min(best, time.thread_time() - start)
    return best


@pytest.mark.alone
@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(HOSTILE, st.booleans())
@example("*a*a*a*a*", False)
@example("**/" * 26, True)
@example("{a,aa}" * 13, False)
@example("{a," * 13 + "b" + "}" * 13, False)
@example("{*a,*a}" * 11, False)
def test_hostile_patterns_take_the_time_of_harmless_ones(pattern: str, ignore_case: bool) -> None:
    open_braces = pattern.count("{") - pattern.count("}")
    hostile = (pattern if open_braces == 0 else pattern[: pattern.rindex("{")]) + "z"
    for letters in ("a", "ab", "a/"):
        names = [(letters * 2000)[:length] for length in (250, 2000)]
        plain = "".join(dict.fromkeys("abz")) * (len(hostile) // 3 + 1)
        allowed = 30 * seconds(plain[: len(hostile)], names, ignore_case=ignore_case) + 0.02
        assert seconds(hostile, names, ignore_case=ignore_case) < allowed, hostile


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("./a.py", "a.py"),
        ("././a.py", "a.py"),
        (".//a.py", "a.py"),
        ("/./a.py", "a.py"),
        ("x/./a.py", "x/a.py"),
        ("x//a.py", "x/a.py"),
        ("./*.py", "a.py"),
        ("./**/a.py", "x/y/a.py"),
        ("**/./a.py", "x/a.py"),
        ("{./a.py,./b.py}", "b.py"),
        ("x./a.py", "x./a.py"),
        ("x{b,./a}", "x./a"),
    ],
)
def test_components_that_say_nothing_are_skipped(pattern: str, path: str) -> None:
    assert Glob(pattern).matches(path.rpartition("/")[2], path)
    assert not Glob(pattern).matches(path.rpartition("/")[2], "other/" + path) or "**" in pattern
