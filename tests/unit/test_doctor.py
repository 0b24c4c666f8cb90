"""The findings of ``toolbox doctor`` on directories that imitate a machine."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

from toolbox import doctor
from toolbox.doctor import Finding
from toolbox.settings import read


@pytest.fixture
def bin_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "usr" / "bin"
    folder.mkdir(parents=True)
    return folder


def program(folder: pathlib.Path, name: str, content: bytes = b"\x7fELF") -> pathlib.Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def findings(bin_folder: pathlib.Path) -> dict[str, Finding]:
    settings = read({"PATH": str(bin_folder), "HOME": str(bin_folder.parent)}, [])
    return {finding.name: finding for finding in doctor.examine(settings)}


def test_program_on_the_path_is_found(bin_folder: pathlib.Path) -> None:
    path = program(bin_folder, "ffmpeg")
    found = findings(bin_folder)
    assert found["ffmpeg"].ok
    assert found["ffmpeg"].detail == str(path)
    assert not found["git"].ok


def test_one_of_several_names_is_enough(bin_folder: pathlib.Path) -> None:
    program(bin_folder, "Xorg")
    assert findings(bin_folder)["Xvfb or Xorg"].ok


def test_every_missing_item_has_a_fix(bin_folder: pathlib.Path) -> None:
    missing = [finding for finding in findings(bin_folder).values() if not finding.ok]
    assert len(missing) > 10
    assert all(finding.fix and finding.needed_for for finding in missing)
    fixes = {finding.name: finding.fix for finding in missing}
    assert fixes["pylsp"] == "pip install python-lsp-server"
    assert fixes["typescript-language-server"].startswith("npm install")
    assert re.match("apt-get install .*xvfb", fixes["Xvfb or Xorg"])


def test_packages_are_searched_in_the_python_of_the_sandbox(bin_folder: pathlib.Path) -> None:
    program(bin_folder, "python3")
    for name in ("lib/python3/dist-packages/numpy", "lib/python3.12/site-packages/ipykernel"):
        (bin_folder.parent / name).mkdir(parents=True)
    user = bin_folder.parent / ".local/lib/python3.12/site-packages/pandas"
    user.mkdir(parents=True)
    found = findings(bin_folder)
    states = {name: found[f"python package {name}"].ok for name in ("numpy", "ipykernel", "pandas", "matplotlib")}
    assert states == {"numpy": True, "ipykernel": True, "pandas": True, "matplotlib": False}


def test_virtual_environment_is_found_through_its_link(bin_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    real = program(bin_folder, "python3.12")
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python3").symlink_to(real)
    (tmp_path / "venv/lib/python3.12/site-packages/numpy").mkdir(parents=True)
    assert findings(venv)["python package numpy"].ok


def test_packages_behind_a_launcher_script_are_unknown(bin_folder: pathlib.Path) -> None:
    program(bin_folder, "python3", b"#!/bin/sh\nexec real-python\n")
    assert findings(bin_folder)["python package numpy"].ok is None


def test_this_machine_is_measured(bin_folder: pathlib.Path) -> None:
    found = findings(bin_folder)
    assert found["open files limit"].detail.isdecimal() or found["open files limit"].detail == "unlimited"
    assert int(found["inotify max_user_watches"].detail) > 0
    assert found["free space in /tmp"].detail.endswith(" MiB")
    assert {"pidfd", "writable cgroup", "free space in /var/tmp"} <= found.keys()


@pytest.mark.parametrize(("shell", "status"), [(True, 0), (False, 1)])
def test_status_is_1_if_a_required_program_is_missing(
    bin_folder: pathlib.Path, capsys: pytest.CaptureFixture[str], shell: bool, status: int
) -> None:
    for name in ["sh"] * shell:
        program(bin_folder, name)
    assert doctor.run(read({"PATH": str(bin_folder)}, []), as_json=False) == status
    shown = capsys.readouterr().out
    assert ("MISSING  sh" in shown) is not shell
    assert "missing  git: not found\n         for clone" in shown


def test_json_contains_every_finding(bin_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.run(read({"PATH": str(bin_folder)}, []), as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "ok", "detail", "needed_for", "fix", "required"} == set(rows[0])
    assert [row["name"] for row in rows if row["required"]] == ["sh"]
