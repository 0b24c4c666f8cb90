"""Programs in a fresh and in a forked interpreter: the same result, no leaks, no state shared between runs."""

# ruff: noqa: E501 - programs are not wrapped

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.daemon_process import Process, serving

pytestmark = pytest.mark.timeout(90)

MARKER = "dtn_artifact_k39fd2:"
# A run with a variable that Python reads at startup is not forked.
FRESH = {"PYTHONFRESH": "1"}
WARM = "import sys\nprint('pandas' in sys.modules)"


def post(served: Process, code: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"code": code, "language": "python", **fields}).encode()
    request = urllib.request.Request(served.url + "/process/code-run", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = (answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            found = (error.code, error.read())
    assert found[0] == status, found
    answer: dict[str, Any] = json.loads(found[1])
    return answer


def get_warm(served: Process) -> None:
    """Run until a worker is used: the first run starts the fork server in the background."""
    limit = time.monotonic() + 60
    while post(served, WARM)["result"] != "True\n":
        assert time.monotonic() < limit, "the interpreter does not get warm"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("code")
    fonts = tmp_path_factory.getbasetemp() / "matplotlib"
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    with serving(folder / "box", PATH=path, MPLCONFIGDIR=str(fonts)) as process:
        get_warm(process)
        yield process


Run = Callable[..., dict[str, Any]]


@pytest.fixture(params=["fresh", "forked"])
def run(request: pytest.FixtureRequest, served: Process) -> Run:
    def run(code: str, status: int = 200, envs: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        return post(
            served, code, status, envs={**(envs or {}), **(FRESH if request.param == "fresh" else {})}, **fields
        )

    return run


CHAINED = """def f():
    return 1 / 0
try:
    f()
except ZeroDivisionError as error:
    raise ValueError("worse") from error
"""
CHAINED_TEXT = """Traceback (most recent call last):
  File "<stdin>", line 4, in <module>
    f()
  File "<stdin>", line 2, in f
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "<stdin>", line 6, in <module>
    raise ValueError("worse") from error
ValueError: worse
"""


def test_a_run_is_fresh_or_forked_as_asked(served: Process) -> None:
    assert post(served, WARM)["result"] == "True\n"
    assert post(served, WARM, envs=FRESH)["result"] == "False\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "printed"),
    [
        ("print(1+1)", 0, "2\n"),
        ("", 0, ""),
        ("raise SystemExit(4)", 4, ""),
        ("raise SystemExit('why')", 1, "why\n"),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(True)", 1, ""),
        ("import sys; sys.exit(259)", 3, ""),
        ("import os; os._exit(7)", 7, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, ""),
        ("import os; os.abort()", 134, ""),
        ("import sys; print('out'); print('err', file=sys.stderr); print('out')", 0, "out\nerr\nout\n"),
        ("import sys; sys.stdout.write('no newline')", 0, "no newline"),
        ("import os; os.write(1, b'\\xff\\xfe')", 0, "\ufffd\ufffd"),
        (CHAINED, 1, CHAINED_TEXT),
        ("x = (", 1, '  File "<stdin>", line 1\n    x = (\n        ^\nSyntaxError: \'(\' was never closed\n'),
        ("import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1/0", 1, "hook ZeroDivisionError\n"),
        ("import atexit; atexit.register(print, 'bye'); print('hi')", 0, "hi\nbye\n"),
        ("import atexit; atexit.register(print, 'bye'); raise SystemExit(3)", 3, "bye\n"),
        ("class A:\n    def __del__(self): print('gone')\na = A()", 0, "gone\n"),
        ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()", 0, "late\n"),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", 0, ""),
        ("print(repr(open(0).read()), repr(input()))", 1, None),
        ("print(__name__, __file__)", 0, "__main__ <stdin>\n"),
        ("import sys; print(sys.argv, repr(sys.path[0]), sys.modules['__main__'].__dict__ is globals())", 0, "['-'] '' True\n"),
        ("import os\nif os.fork() == 0:\n    print('child'); os._exit(0)\nos.wait(); print('parent')", 0, "child\nparent\n"),
        ("import os\nif os.fork() == 0:\n    raise SystemExit(5)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))", 0, "5\n"),
        ("import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, 2]))", 0, "[1, 2]\n"),
        ("import subprocess; print(subprocess.run(['echo', 'x'], capture_output=True).stdout)", 0, "b'x\\n'\n"),
        ("import asyncio\nasync def f(): return 3\nprint(asyncio.run(f()))", 0, "3\n"),
        ("import os; print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())", 0, "True True\n"),
        ("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)", 0, "A\n"),
        ("import inspect\ntry: inspect.getsource(inspect)\nfinally: print('ok')", 0, "ok\n"),
        ("from __future__ import annotations\ndef f(x: nowhere): pass\nprint(f.__annotations__)", 0, "{'x': 'nowhere'}\n"),
        ("def f(x: int): pass\nprint(f.__annotations__)", 0, "{'x': <class 'int'>}\n"),
    ],
)  # fmt: skip
def test_outcome(run: Run, code: str, exit_code: int, printed: str | None) -> None:
    answer = run(code)
    assert answer["exitCode"] == exit_code
    assert printed is None or answer["result"] == printed
    assert "artifacts" not in answer


STATUSES = (-1, -2, -3, -254, -256, -257, 255, 256, 257, 2**31, 2**32 + 5, 2**63, 2**64 + 3, -(2**63) - 1)


@pytest.mark.parametrize(
    "code",
    [
        *(f"import sys; sys.exit({number})" for number in STATUSES),
        "import sys; sys.exit(-2.0)",
        "import sys; sys.exit((1, 2))",
        "import enum\nclass E(enum.IntEnum): A = -2\nraise SystemExit(E.A)",
        "class S(SystemExit): code = property(lambda self: -2)\nraise S",
        "class S(SystemExit): code = property(lambda self: 1 / 0)\nraise S('text')",
        "class T:\n    def __str__(self): raise ValueError\nraise SystemExit(T())",
        "import sys\nsys.excepthook = lambda *a: sys.exit(-2)\n1/0",
        "import sys\nsys.stderr = None\nsys.exit('text')",
        "import sys\nclass F:\n    write = flush = lambda *a: 1 / 0\nsys.stdout = F()\nsys.exit(3)",
        "import os; os._exit(-2)",
        "class K(KeyboardInterrupt): pass\nraise K",
        "import threading, sys; threading.Thread(target=lambda: sys.exit(-2)).start()",
    ],
)
def test_exit_status_is_that_of_a_plain_interpreter(run: Run, code: str) -> None:
    plain = subprocess.run([sys.executable, "-u", "-"], input=code.encode(), capture_output=True, check=False)
    answer = run(code)
    assert answer["exitCode"] == plain.returncode
    if code.startswith("import sys; "):
        assert answer["result"] == plain.stderr.decode()


BODY = "word = 'd\xe9j\xe0 \u20ac \u65e5'\nprint(word, len(word))\n"
PRINTED = "d\xe9j\xe0 \u20ac \u65e5 8\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "head",
    [
        "",
        "\n\n",
        *(f"# -*- coding: {name} -*-\n" for name in ("utf-8", "utf-8-sig", "latin-1", "cp1252", "euc_jp", "utf-7")),
        "#!/usr/bin/env python3\n# vim: set fileencoding=koi8-r :\n",
        "\n# coding=ascii\n",
        "#coding:iso-8859-15\r\n",
        "'''text'''\n# coding: mac_roman\n",
        "from __future__ import annotations\n",
    ],
)
def test_byte_order_mark_and_encoding_line(run: Run, mark: str, head: str) -> None:
    answer = run(mark + head + BODY)
    assert (answer["exitCode"], answer["result"]) == (0, PRINTED)


@pytest.mark.parametrize("before", ["\ufeff", "# coding: latin-1\n", "\ufeff\f\n", "a = '\x1c\u2028\x85'\r\n", "\r"])
def test_traceback_shows_the_line_as_the_compiler_counts(run: Run, before: str) -> None:
    number = 1 + before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    answer = run(before + "raise ValueError('d\xe9j\xe0')\nprint()\n")
    assert answer["result"] == (
        f'Traceback (most recent call last):\n  File "<stdin>", line {number}, in <module>\n'
        "    raise ValueError('d\xe9j\xe0')\nValueError: d\xe9j\xe0\n"
    )


def test_second_byte_order_mark_is_a_syntax_error(run: Run) -> None:
    assert "invalid non-printable character U+FEFF" in run("\ufeff\ufeffprint(1)")["result"]


def test_interrupt_has_the_exit_status_of_the_signal(run: Run) -> None:
    answer = run("import atexit; atexit.register(print, 'bye'); raise KeyboardInterrupt")
    assert answer["exitCode"] == 130
    assert answer["result"].endswith("KeyboardInterrupt\nbye\n")


def test_files_that_were_not_closed_are_complete(run: Run, served: Process) -> None:
    run("f = open('left-open.txt', 'w'); f.write('all of it')")
    assert (served.workdir / "left-open.txt").read_text() == "all of it"
    (served.workdir / "left-open.txt").unlink()


def test_arguments_and_environment_are_taken_as_they_are(run: Run) -> None:
    code = "import sys, os; print(sys.argv[1:], os.environ['V'], os.environ.get('GONE'))"
    assert run(code, argv=["a b", "$(id)", "-u", ""], envs={"V": "$HOME 'x"})["result"] == (
        "['a b', '$(id)', '-u', ''] $HOME 'x None\n"
    )


def test_time_zone_of_a_run(run: Run) -> None:
    code = "import time; print(time.strftime('%H', time.localtime(0)))"
    assert run(code, envs={"TZ": "Asia/Tokyo"})["result"] == "09\n"


def runs(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_time_limit_kills_the_tree_and_keeps_the_output(run: Run) -> None:
    code = "import os, subprocess, time\nprint(subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)"
    answer = run(code, status=408, timeout=1)
    assert (answer["message"], answer["code"], answer["exitCode"]) == (
        "command execution timeout",
        "PROCESS_EXECUTION_TIMEOUT",
        124,
    )
    assert not runs(int(answer["result"]))


def test_background_child_does_not_hold_up_the_answer(run: Run) -> None:
    answer = run("import subprocess\nprint(subprocess.Popen(['sleep', '600']).pid)")
    os.kill(int(answer["result"]), 9)


def test_a_lot_of_output_keeps_head_and_tail(run: Run) -> None:
    answer = run("import sys\nfor n in range(200): sys.stdout.write('x' * 1_000_000)\nprint('\\nend')")
    assert answer["exitCode"] == 0
    assert "bytes omitted" in answer["result"]
    assert answer["result"].endswith("\nend\n")


DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "printed", "charts"),
    [
        (DRAW + "print('glued', end='')\nplt.show()\nprint('!')", 0, "glued!\n", ["line"]),
        (DRAW + "raise SystemExit(3)", 3, "", ["line"]),
        (DRAW + "plt.show()\nimport os; os.kill(os.getpid(), 9)", 137, "", ["line"]),
        (DRAW + "plt.Figure.savefig = None\nplt.show()", 0, "", ["line"]),
        (DRAW + "plt.gca().get_lines()[0].get_xdata = None\nplt.show()", 0, "", ["unknown"]),
        (DRAW + "import matplotlib.artist as a\na.Artist.draw = lambda *x: 1/0\nplt.show()\nprint('on')", 0, "on\n", ["line"]),
        (DRAW + "import json; json.dumps = None\nplt.show()\nprint('on')", 0, "on\n", []),
        (DRAW + "import os; os.closerange(3, 256)\nf = open('mine', 'w+')\nplt.show()\nf.seek(0); print(f.read())\nos.remove('mine')", 0, "\n", []),
        (DRAW + "import os\nif os.fork() == 0: raise SystemExit\nos.wait()", 0, "", ["line"]),
        (DRAW + "plt.title('\\ud800')\nplt.show()", 0, "", None),
        (DRAW + "plt.title('$\\\\frac{')\nplt.show()\nprint('on')", 0, "on\n", None),
        (DRAW + "import builtins; builtins.float = None\nplt.show()\nprint('on')", 0, "on\n", None),
        ("import threading\n" + DRAW + "t = threading.Thread(target=plt.show); t.start(); t.join()", 0, "", ["line"]),
        ("import sys; sys.modules['matplotlib'] = None\nprint('on')", 0, "on\n", []),
    ],
)  # fmt: skip
def test_programs_that_are_hard_on_the_chart_reader(
    run: Run, code: str, exit_code: int, printed: str, charts: list[str] | None
) -> None:
    answer = run(code)
    assert (answer["exitCode"], answer["result"]) == (exit_code, printed)
    found = [chart["type"] for chart in answer.get("artifacts", {}).get("charts", [])]
    assert charts is None or found == charts


def test_marker_lines_of_old_wrappers_become_charts(run: Run) -> None:
    chart = {"type": "bar", "title": "t", "elements": [{"label": "a", "group": "", "value": 3}]}
    line = MARKER + json.dumps({"type": "chart", "value": chart})
    answer = run(f"print('one')\nprint({line!r})\nprint('two dtn_artifact', {MARKER!r})\nprint({MARKER!r} + 'junk')")
    assert answer["result"] == f"one\ntwo dtn_artifact {MARKER}\n"
    assert answer["artifacts"]["charts"] == [
        {"type": "bar", "title": "t", "elements": [{"label": "a", "group": "", "value": "3"}]}
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "cobol"}, "bad request: unsupported language: cobol"),
        ({"envs": {"a b": "c"}}, "bad request: invalid environment variable name: 'a b'"),
        ({"argv": ["\0"]}, "bad request: argv contains a NUL byte"),
    ],
)
def test_invalid_request_is_refused(served: Process, fields: dict[str, Any], message: str) -> None:
    assert post(served, "", 400, **fields)["message"] == message


def test_python_is_the_default_language_and_env_an_alias(served: Process) -> None:
    assert post(served, "import os; print(os.environ['A'])", language="python", env={"A": "1"})["result"] == "1\n"


@pytest.mark.parametrize("language", ["python", "javascript", "typescript"])
def test_missing_runtime_is_an_outcome(served: Process, language: str) -> None:
    answer = post(served, "1", language=language, envs={"PATH": "/nonexistent"})
    assert answer["exitCode"] == 127
    assert "not found" in answer["result"]


@pytest.mark.parametrize(("version", "shown"), [("v20.20.2", "20.20"), ("v18.19.0", "18.19"), ("v22.6.0", "22.6")])
def test_node_that_is_too_old_for_typescript_is_named(
    served: Process, tmp_path: pathlib.Path, version: str, shown: str
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    answer = post(served, "const a: number = 1", language="typescript", envs={"PATH": str(tmp_path)})
    assert (answer["exitCode"], answer["result"]) == (
        127,
        f"sh: 1: ts-node: not found\ntypescript needs node 22.7 or newer, bun, tsx or ts-node; {node} is {shown}\n",
    )
    assert post(served, "1", language="javascript", envs={"PATH": str(tmp_path)})["result"] == f"{version}\n"


@pytest.mark.parametrize(
    "code", ["const a: number = 1", "enum A { B }", "\ufefftype T = 1\n", "/* - */ let a!: string"]
)
@pytest.mark.parametrize("name", ["tsx", "ts-node"])
def test_typed_program_is_an_argument(served: Process, tmp_path: pathlib.Path, name: str, code: str) -> None:
    """tsx leaves the types of standard input alone, ts-node takes ``-`` for a file."""
    program = tmp_path / name
    program.write_text('#!/bin/sh\nwhile [ "$1" != -e ]; do shift; done\nfor each; do echo "<$each>"; done\ncat\n')
    program.chmod(0o755)
    path = f"{tmp_path}:/nonexistent"
    (tmp_path / "cat").symlink_to("/bin/cat")
    answer = post(served, code, language="typescript", argv=["a b", "-r", ""], envs={"PATH": path})
    assert (answer["exitCode"], answer["result"]) == (0, f"<-e>\n<{code}>\n<-->\n<a b>\n<-r>\n<>\n")


def test_module_in_the_working_directory_shadows_a_library(served: Process) -> None:
    module = served.workdir / "statistics.py"
    module.write_text("mean = 'mine'")
    try:
        assert post(served, "import statistics; print(statistics.mean)")["result"] == "mine\n"
    finally:
        module.unlink()
    assert "mine" not in post(served, "import statistics; print(statistics.mean)")["result"]


def test_module_of_the_user_is_imported_again_after_a_change(served: Process) -> None:
    module = served.workdir / "mine_only.py"
    for word in ("first", "second, longer"):
        module.write_text(f"word = {word!r}")
        assert post(served, "import mine_only; print(mine_only.word)")["result"] == f"{word}\n"
    module.unlink()


MEDDLE = [
    "import builtins; builtins.leaked = 1; print = None",
    "import os; os.environ['LEAKED'] = '1'; os.putenv('LEAKED', '1')",
    "import os; os.chdir('/'); os.umask(0)",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, lambda *a: 0)",
    "import matplotlib; matplotlib.rcParams['lines.linewidth'] = 77; matplotlib.use('svg')",
    "import random, numpy; random.seed(1); numpy.random.seed(1)",
    "import sys; sys.path.insert(0, '/leaked'); sys.meta_path.clear(); sys.path_hooks.clear()",
    "import sys; sys.setrecursionlimit(123); sys.modules['json'] = None; sys.dont_write_bytecode = True",
    "import json; json.dumps = None; json.leaked = 1",
    "import pandas; pandas.set_option('display.max_rows', 3); pandas.DataFrame.sum = None",
    "import numpy; numpy.seterr(all='raise'); numpy.set_printoptions(precision=1)",
    "import gc, threading; gc.disable(); threading.settrace(print); import sys; sys.settrace(None)",
    "import warnings; warnings.simplefilter('error'); import logging; logging.disable(); logging.root.setLevel(1)",
    "import locale, decimal; decimal.getcontext().prec = 3; locale.setlocale(locale.LC_ALL, 'C')",
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); import os; os.nice(5)",
    "import matplotlib.pyplot as plt; plt.figure(); plt.plot([1]); plt.style.use('ggplot')",
    "import atexit; atexit.register(print, 'leaked'); import socket; socket.setdefaulttimeout(1)",
]
LOOK = """
import builtins, decimal, gc, json, locale, logging, os, random, resource, signal, socket, sys, threading, warnings
import matplotlib, numpy, pandas
import matplotlib.pyplot as plt
umask = os.umask(0o22); os.umask(umask)
print(json.dumps([
    sorted(name for name in globals() if not name.startswith('__')), hasattr(builtins, 'leaked'), os.environ.get('LEAKED'),
    os.getcwd(), umask, str(signal.getsignal(signal.SIGTERM)), str(signal.getsignal(signal.SIGUSR1)),
    matplotlib.rcParams['lines.linewidth'], matplotlib.get_backend(), plt.get_fignums(), plt.rcParams['axes.facecolor'],
    sys.path, [type(f).__name__ for f in sys.meta_path], sys.getrecursionlimit(), sys.dont_write_bytecode,
    hasattr(json, 'leaked'), pandas.get_option('display.max_rows'), callable(pandas.DataFrame.sum), numpy.geterr(),
    numpy.get_printoptions()['precision'], gc.isenabled(), len(warnings.filters), logging.root.level, logging.root.manager.disable,
    decimal.getcontext().prec, locale.setlocale(locale.LC_ALL), resource.getrlimit(resource.RLIMIT_NOFILE), os.nice(0),
    socket.getdefaulttimeout(), threading.active_count()]))
plt.close('all')
"""
DICE = "import random, numpy, uuid; print(random.random(), numpy.random.rand(), uuid.uuid4())"


def assert_isolated(served: Process, count: int) -> None:
    choice = random.Random(count)
    clean = post(served, LOOK)["result"]
    assert json.loads(clean)
    numbers: list[str] = []
    for _ in range(count // 3):
        assert post(served, choice.choice(MEDDLE))["exitCode"] == 0
        assert post(served, LOOK)["result"] == clean
        numbers += post(served, DICE)["result"].split()
    assert len(set(numbers)) == len(numbers)


def test_nothing_leaks_from_run_to_run(served: Process) -> None:
    for code in MEDDLE:
        answer = post(served, code)
        assert answer["exitCode"] == 0, (code, answer)
    assert_isolated(served, 60)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nothing_leaks_in_500_runs(served: Process) -> None:
    assert_isolated(served, 501)


def test_concurrent_runs(served: Process) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = [f"import sys, time; time.sleep(.01); print({number}); sys.exit({number % 7})" for number in range(64)]
        answers = list(pool.map(lambda code: post(served, code), codes))
    assert [(answer["exitCode"], answer["result"]) for answer in answers] == [(n % 7, f"{n}\n") for n in range(64)]


def test_daemon_keeps_no_state_of_ended_programs(served: Process) -> None:
    def held() -> int:
        return len(os.listdir(f"/proc/{served.pid}/fd"))

    post(served, "1")
    before = held()
    for _ in range(20):
        post(served, "import os; os.kill(os.getpid(), 9)")
        post(served, "print('x')")
    limit = time.monotonic() + 10
    while held() > before + 8:  # children that are ready have three each
        assert time.monotonic() < limit, f"{held()} descriptors, {before} before"
        time.sleep(0.1)


def test_new_package_is_imported_by_the_next_run(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fork server is replaced when a folder on its path changes."""
    packages = tmp_path / "packages"
    packages.mkdir()
    fonts = tmp_path_factory.getbasetemp() / "matplotlib"
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    with serving(tmp_path / "box", PATH=path, PYTHONPATH=str(packages), MPLCONFIGDIR=str(fonts)) as served:
        get_warm(served)
        (packages / "pandas.py").write_text("word = 'new'")
        assert post(served, "import pandas; print(pandas.word)")["result"] == "new\n"
        (packages / "pandas.py").unlink()
        get_warm(served)


def test_interpreter_is_the_first_on_the_path_of_the_request(served: Process, tmp_path: pathlib.Path) -> None:
    import venv

    venv.create(tmp_path / "env", symlinks=True)
    envs = {"PATH": f"{tmp_path}/env/bin:/usr/bin:/bin"}
    for _ in range(2):
        found = post(served, "import sys; print(sys.prefix, sys.executable)", envs=envs)["result"].split()
        assert found == [f"{tmp_path}/env", f"{tmp_path}/env/bin/python3"]
