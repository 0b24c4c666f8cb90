from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from toolbox.host.procs import Procs
from toolbox.host.shells import Shell, Shells, find

HERE = [name for name in ("bash", "zsh", "dash", "sh", "busybox", "mksh") if shutil.which(name)]


def program(folder: pathlib.Path, *names: str) -> str:
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        path.write_text("#!/bin/sh\n", encoding="ascii")
        path.chmod(0o755)
    return str(folder)


def test_zsh_comes_before_bash_before_sh(tmp_path: pathlib.Path) -> None:
    assert find(program(tmp_path / "a", "sh", "bash", "zsh"), "", "") == f"{tmp_path}/a/zsh"
    assert find(program(tmp_path / "b", "sh", "bash"), "", "") == f"{tmp_path}/b/bash"
    assert find(program(tmp_path / "c", "sh"), "", "") == f"{tmp_path}/c/sh"
    assert find(str(tmp_path), "", "") == "/bin/sh"


def test_login_shell_counts_if_it_is_a_posix_one(tmp_path: pathlib.Path) -> None:
    folder = program(tmp_path / "a", "sh", "mksh", "fish")
    assert find(folder, f"{folder}/mksh", "") == f"{folder}/mksh"
    assert find(folder, f"{folder}/fish", "") == f"{folder}/sh"


def test_configured_shell_wins_unless_it_is_missing(tmp_path: pathlib.Path) -> None:
    folder = program(tmp_path / "a", "sh", "bash", "dash")
    assert find(folder, "", f"{folder}/dash") == f"{folder}/dash"
    assert find(folder, "", f"{folder}/gone") == f"{folder}/bash"


def test_a_file_that_cannot_be_executed_is_no_shell(tmp_path: pathlib.Path) -> None:
    folder = program(tmp_path / "a", "sh", "zsh")
    (tmp_path / "a" / "zsh").chmod(0o644)
    assert find(folder, "", "") == f"{folder}/sh"


async def test_choice_is_kept_until_forgotten(tmp_path: pathlib.Path) -> None:
    folder = program(tmp_path / "a", "sh")
    shells = Shells(lambda name: folder if name == "PATH" else "")
    assert (await shells.choose()).path == f"{folder}/sh"
    program(tmp_path / "a", "zsh")
    assert (await shells.choose()).path == f"{folder}/sh"
    shells.forget()
    assert (await shells.choose()).path == f"{folder}/zsh"


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize(
    ("script", "expected", "code"),
    [
        ("echo one; exit 5", "one\n", 5),
        ("cat\necho rest", "rest\n", 0),
        ("echo one\nif fi; then\necho three", "one\n", None),
        ("echo $#", "0\n", 0),
        ("cat <<EOF\nhere\nEOF", "here\n", 0),
        ("#!/bin/sh\n# comment\necho x # more", "x\n", 0),
        ("false", "", 1),
        ("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0),
        ("readlink /proc/self/fd/0", "/dev/null\n", 0),
    ],
)
async def test_script_runs_as_typed(
    procs: Procs, path_env: dict[str, str], name: str, script: str, expected: str, code: int | None
) -> None:
    shell = Shell(str(shutil.which(name)))
    argv, stdin = shell.script(script.encode())
    process = await procs.spawn(argv, executable=shell.path, env=path_env, cwd="/", stdin=stdin, merge=False)
    status = await process.settle()
    out = "".join([chunk.data.decode() async for chunk in process.output.chunks() if chunk.channel == 1])
    assert out == expected
    assert status.code == code if code is not None else status.code != 0
    await process.output.close()


@pytest.mark.parametrize("name", HERE)
async def test_shell_is_itself(procs: Procs, path_env: dict[str, str], name: str) -> None:
    shell = Shell(str(shutil.which(name)))
    argv, stdin = shell.script(b"echo $0\nreadlink /proc/$$/exe")
    process = await procs.spawn(argv, executable=shell.path, env=path_env, cwd="/", stdin=stdin)
    await process.settle()
    zero, exe = "".join([chunk.data.decode() async for chunk in process.output.chunks()]).split()
    assert pathlib.Path(zero).name == name
    assert exe == os.path.realpath(shell.path)
    await process.output.close()


@pytest.mark.parametrize("name", HERE)
async def test_script_is_not_in_the_process_list(procs: Procs, path_env: dict[str, str], name: str) -> None:
    """Or ``pkill -f server`` would end the very command it is part of."""
    shell = Shell(str(shutil.which(name)))
    argv, stdin = shell.script(b"pkill -f needle-in-a-haystack; echo alive")
    process = await procs.spawn(argv, executable=shell.path, env=path_env, cwd="/", stdin=stdin)
    assert (await process.settle()).code == 0
    await process.output.close()
