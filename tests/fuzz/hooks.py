"""Loaded by schemathesis: half of all paths and commands become ones that lead somewhere.

Random text nearly always names a file that is not there, so most of the code behind the first check would never run.
"""

from __future__ import annotations

import zlib
from typing import Any

import schemathesis

# Nothing here leads to the whole machine: an archive of / alone would take longer than all the rest.
PATHS = (
    *(
        ".",
        "",
        "..",
        "a.txt",
        "./a.txt",
        "folder",
        "folder/",
        "folder/b.bin",
        "folder/new/deep",
        "link",
        "loop",
        "pipe",
    ),
    *("nothing", "a.txt/below", "~", "~/x", "/dev/null", "/etc/passwd", "\u00e9\u4e2d.txt", "x" * 300),
)
COMMANDS = (
    *("true", "echo out; echo err >&2; exit 3", "head -c 100000 /dev/urandom", "sleep 0.1 &", "kill -9 $$", "cat"),
    *("printf '\\377\\0'", "exec >&-; sleep 0.05", "cd /; ls", "if", "nothing-of-that-name"),
)
# Milliseconds.
LONGEST_WAIT = 1000
POOLS = {
    **dict.fromkeys(("path", "source", "destination", "cwd", "file", "target", "directory"), PATHS),
    "pattern": ("*", "a", "*.txt", "[", "**/*", "{a,b}", "\\", "x" * 1000),
    **dict.fromkeys(("command", "shellCommand"), COMMANDS),
    "argv": ("true", "echo", "sh", "-c", "0.1", "cat"),
    "user": ("root", "nobody", "0"),
    "timeoutMs": (100, 1000),
    "timeout": (1, 2),
}


def _likely(name: str, value: Any) -> Any:
    """Replace every other value of a known name, the same one each time, so that a seed repeats a run."""
    if isinstance(value, list) and value:
        return [_likely(name.rstrip("s"), item) for item in value]
    pool = POOLS.get(name)
    number = zlib.crc32(repr(value).encode("utf-8", "surrogatepass"))
    if pool is None or not isinstance(value, type(pool[0])) or number % 2:
        return value
    return pool[number // 2 % len(pool)]


def _mapped(values: Any, names: set[str]) -> Any:
    """Fill in what may be missing from the schema's point of view, then make half of it likely."""
    if not isinstance(values, dict):
        return values
    number = zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))
    absent = {name: POOLS[name][number % len(POOLS[name])] for name in names & POOLS.keys() - values.keys()}
    return {**{name: _likely(name, value) for name, value in values.items()}, **(absent if number % 4 else {})}


def _body_names(ctx: schemathesis.HookContext) -> set[str]:
    content = ctx.operation.definition.raw.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = ctx.operation.schema.raw_schema["components"]["schemas"].get(reference.rpartition("/")[2], {})
    return set(schema.get("properties", ()))


@schemathesis.hook
def map_query(ctx: schemathesis.HookContext, query: Any) -> Any:
    """Let query parameters name what exists."""
    return _mapped(query, {row["name"] for row in ctx.operation.definition.raw["parameters"] if row["in"] == "query"})


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Give a wait for a process an end: one without is what was asked for, not a hang."""
    del ctx, kwargs
    if case.operation.path == "/processes/{id}/wait":
        asked = str((case.query or {}).get("timeoutMs", ""))
        if not asked or (asked.isdecimal() and int(asked) > LONGEST_WAIT):
            case.query = {**(case.query or {}), "timeoutMs": LONGEST_WAIT}


@schemathesis.hook
def map_body(ctx: schemathesis.HookContext, body: Any) -> Any:
    """Let bodies name what exists."""
    return _mapped(body, _body_names(ctx))
