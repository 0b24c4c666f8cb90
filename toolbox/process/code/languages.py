"""Choose what to execute for a program: an argument list, never a shell."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence

import msgspec

import toolbox
from toolbox.host.procs import Procs
from toolbox.process.code.programs import Programs
from toolbox.process.code.typescript import Stripper

PAYLOAD = pathlib.Path(toolbox.__path__[0], "payload")
START = str(PAYLOAD / "start.py")
_ARGV = str(PAYLOAD / "argv.cjs")
PYTHON = ("python3", "python")
# Node detects whether JavaScript is CommonJS or an ES module. For TypeScript the fastest start comes first.
_RUNTIMES = {"javascript": ("node", "bun"), "typescript": ("bun", "node", "tsx", "ts-node")}
_QUIET = {"NO_UPDATE_NOTIFIER": "1", "npm_config_loglevel": "error"}
_TS_NODE = ("-T", "--ignore-diagnostics", "5107", "-O", '{"module":"CommonJS"}')
# The kernel allows 128 KiB for one argument.
MAX_ARGUMENT = 96 * 1024
# The first node with a type stripper of its own.
TYPESCRIPT_SINCE = (22, 7)
_FLAGS = ("--input-type=commonjs-typescript", "--disable-warning=ExperimentalWarning")


class NoRuntimeError(Exception):
    """No runtime for a language; the text is what a shell would print."""


class LaunchPlan(msgspec.Struct, frozen=True):
    """An argument list, the content of standard input, and variables in addition to those of the request."""

    argv: Sequence[str]
    stdin: bytes | None = None
    env: Mapping[str, str] = msgspec.field(default_factory=dict)


class JavaScript:
    """Plan JavaScript and TypeScript programs."""

    def __init__(self, procs: Procs, programs: Programs, env: Mapping[str, str]) -> None:
        self._procs = procs
        self._programs = programs
        self._env = env
        self._versions: dict[str, tuple[int, int]] = {}
        self._stripper = Stripper(procs, env)

    async def plan(self, language: str, code: str, argv: Sequence[str], path: str) -> LaunchPlan:
        """Plan a program on the first runtime that is installed and can run it."""
        for name in _RUNTIMES[language]:
            program = await self._programs.find((name,), path)
            plan = await self._plan(name, program, language, code, argv) if program else None
            if plan is not None:
                return plan
        if language == "javascript":
            raise NoRuntimeError("sh: 1: node: not found\n")
        raise NoRuntimeError(f"sh: 1: ts-node: not found\n{await self._too_old(path)}")

    async def close(self) -> None:
        """End the TypeScript helper."""
        await self._stripper.close()

    async def _plan(self, name: str, program: str, language: str, code: str, argv: Sequence[str]) -> LaunchPlan | None:
        if name == "bun":
            return LaunchPlan([program, "--preload", _ARGV, "run", "-", *argv], code.encode())
        if name == "node":
            return _node(program, code, argv) if language == "javascript" else await self._strip(program, code, argv)
        if name == "tsx":
            # It strips the types of -e, but not of standard input.
            return msgspec.structs.replace(_node(program, code, argv), env=_QUIET)
        return _ts_node(program, code, argv)

    async def _strip(self, node: str, code: str, argv: Sequence[str]) -> LaunchPlan | None:
        """Plan for node, with the types stripped by the helper; None if this node is too old for TypeScript."""
        version = await self._version(node)
        if version < TYPESCRIPT_SINCE:
            return None
        if version >= (22, 13):
            plain = await self._stripper.strip(node, code)
            if plain is not None:
                return _node(node, plain, argv)
        # Slower, because each process loads the stripper; reports the errors of an invalid program.
        return _node(node, code, argv, "--experimental-transform-types", *_FLAGS)

    async def _too_old(self, path: str) -> str:
        """Return a line about the node that is installed and cannot run TypeScript; empty without one."""
        node = await self._programs.find(("node",), path)
        major, minor = await self._version(node) if node else (0, 0)
        if not major:
            return ""
        needed = ".".join(map(str, TYPESCRIPT_SINCE))
        return f"typescript needs node {needed} or newer, bun, tsx or ts-node; {node} is {major}.{minor}\n"

    async def _version(self, node: str) -> tuple[int, int]:
        if node not in self._versions:
            done = await self._procs.run([node, "--version"], env=self._env, cwd="/", limit=1000)
            found = re.match(rb"v(\d+)\.(\d+)", done.stdout)
            self._versions[node] = (int(found[1]), int(found[2])) if found else (0, 0)
        return self._versions[node]


def _node(node: str, code: str, argv: Sequence[str], *flags: str) -> LaunchPlan:
    if _fits_an_argument(code):
        # Reading standard input is a tenth of the start. Two arguments instead of --eval=CODE: only the former are left
        # out of the arguments that node passes on when the program forks.
        return LaunchPlan([node, *flags, "-e", code, "--", *argv])
    # The module removes "-" from process.argv: programs expect their arguments from argv[1] on.
    return LaunchPlan([node, "--require", _ARGV, *flags, "-", *argv], code.encode())


def _ts_node(program: str, code: str, argv: Sequence[str]) -> LaunchPlan:
    if _fits_an_argument(code):
        return LaunchPlan([program, *_TS_NODE, "-e", code, "--", *argv], env=_QUIET)
    # It reads standard input only without arguments; with them it fails, because it takes "-" for a file.
    return LaunchPlan([program, *_TS_NODE, *(("-", *argv) if argv else ())], code.encode(), _QUIET)


def _fits_an_argument(code: str) -> bool:
    return bool(code) and code[0] != "-" and "\0" not in code and len(code.encode()) <= MAX_ARGUMENT
