"""Programs whose children of ``multiprocessing`` import the program again: as from a file, fresh and forked."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.daemon_process import Process, serving
from tests.http.test_code import FRESH, get_warm, post

pytestmark = pytest.mark.timeout(120)

IMPORTS = "import multiprocessing, os\nfrom concurrent.futures import ProcessPoolExecutor\n"
# Each sees ``context``, a context of the start method.
PROGRAMS = {
    "process": (
        "def f(queue): queue.put((__name__, os.getpid() != 1))",
        (
            "queue = context.Queue(); child = context.Process(target=f, args=(queue,)); child.start()\n"
            "print(queue.get()); child.join(); print(child.exitcode)"
        ),
    ),
    "pool": (
        "class A: word = 'd\xe9j\xe0 \u20ac'\ndef f(x): return x * x, A.word",
        "with context.Pool(2) as pool: print(pool.map(f, [1, 2, 3]))",
    ),
    "executor": (
        "def f(x): return x * x",
        "with ProcessPoolExecutor(2, mp_context=context) as pool: print(list(pool.map(f, [1, 2, 3])))",
    ),
    "nested and in another directory": (
        (
            "def g(): print('inner', os.getcwd(), flush=True)\n"
            "def f(method):\n    child = multiprocessing.get_context(method).Process(target=g)\n"
            "    child.start(); child.join(); print(child.exitcode, flush=True)"
        ),
        (
            "os.chdir('/'); child = context.Process(target=f, args=(context.get_start_method(),))\n"
            "child.start(); child.join(); print(child.exitcode)"
        ),
    ),
    "from a forked child": (
        (
            "def g(): print('inner', flush=True)\n"
            "def f(method):\n    child = multiprocessing.get_context(method).Process(target=g)\n"
            "    child.start(); child.join(); print(child.exitcode, flush=True)"
        ),
        (
            "child = multiprocessing.get_context('fork').Process(target=f, args=(context.get_start_method(),))\n"
            "child.start(); child.join(); print(child.exitcode)"
        ),
    ),
    "after the memory file was closed": (
        "def f(): print('child', flush=True)",
        (
            "child = multiprocessing.get_context('spawn').Process(target=f); child.start(); child.join()\n"
            "files = ['/proc/self/fd/' + name for name in os.listdir('/proc/self/fd')]\n"
            "[os.close(int(file[14:])) for file in files if os.path.exists(file) and 'memfd' in os.readlink(file)]\n"
            "others = [open('/dev/null') for _ in files]\n"
            "child = context.Process(target=f); child.start(); child.join(); print(child.exitcode)"
        ),
    ),
    "manager": (
        "def f(found): found[1] = 2",
        (
            "with context.Manager() as manager:\n    found = manager.dict()\n"
            "    child = context.Process(target=f, args=(found,)); child.start(); child.join(); print(dict(found))"
        ),
    ),
}
HEADS = ("", "\ufeff", "# coding: latin-1\n", "#!/usr/bin/python3\n# -*- coding: cp1252 -*-\n")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("code")
    fonts = tmp_path_factory.getbasetemp() / "matplotlib"
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    with serving(folder / "box", PATH=path, MPLCONFIGDIR=str(fonts)) as process:
        get_warm(process)
        yield process


def program(method: str, definitions: str, body: str, *, guard: bool = True) -> str:
    lines = f"context = multiprocessing.get_context({method!r})\n{body}".splitlines()
    main = "\n".join(("    " if guard else "") + line for line in lines)
    return f"{IMPORTS}{definitions}\n" + ("if __name__ == '__main__':\n" if guard else "") + main + "\n"


def from_file(text: str, path: pathlib.Path) -> tuple[int, str]:
    path.write_text(text.lstrip("\ufeff").replace("latin-1", "utf-8").replace("cp1252", "utf-8"), encoding="utf-8")
    argv = [sys.executable, str(path)]
    plain = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
    return plain.returncode, plain.stdout.decode()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_children_find_the_program(served: Process, tmp_path: pathlib.Path, name: str, method: str) -> None:
    head = HEADS[list(PROGRAMS).index(name) % len(HEADS)]
    text = head + program(method, *PROGRAMS[name])
    expected = from_file(text, tmp_path / "file.py")
    assert expected[0] == 0
    for envs in ({}, FRESH):
        answer = post(served, text, envs=envs, timeout=50)
        assert (answer["exitCode"], answer["result"]) == expected


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("name", ["process", "executor"])
def test_program_without_a_guard_gets_the_usual_error(served: Process, name: str, method: str) -> None:
    definitions, body = PROGRAMS[name]
    if name == "process":
        definitions = "def f(): pass"
        body = "child = context.Process(target=f); child.start(); child.join(); print(child.exitcode)"
    for envs in ({}, FRESH):
        answer = post(served, program(method, definitions, body, guard=False), envs=envs, timeout=50)
        assert "start a new process before the" in answer["result"]
        # Once for each child: no child runs the program to its end.
        assert 1 <= answer["result"].count("RuntimeError:") <= 2
        assert answer["exitCode"] == (0 if name == "process" else 1)
