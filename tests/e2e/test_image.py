"""PID 1, signals, zombies, users, limits, a read-only root: the image as it is run."""

from __future__ import annotations

import concurrent.futures
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import ENGINE, IMAGE, Box, answers, engine, wait_until

Init = dict[str, tuple[str, ...]]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# With tini in front, and with the daemon as PID 1 itself.
INITS = [
    {"options": (), "command": ()},
    {"options": ("--entrypoint", "/opt/toolbox/bin/toolbox"), "command": ("serve", "--host", "0.0.0.0")},
]
by_init = pytest.mark.parametrize("init", INITS, ids=["tini", "own-init"])
only_full = pytest.mark.skipif(not IMAGE.endswith(":full"), reason="only in the full image: make e2e FLAVOR=full")
ZOMBIES = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
DAEMON_FDS = "ls /proc/$(pgrep -of 'toolbox serve --host' | head -1)/fd | wc -l"


def script(name: str) -> str:
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")


@by_init
def test_boots_runs_commands_and_ends_on_sigterm(start: Callable[..., Box], init: Init) -> None:
    box = start(*init["options"], command=init["command"])
    assert box.run("echo hello; exit 3") == {"exitCode": 3, "result": "hello\n"}
    assert box.run("cat /proc/1/comm")["result"].strip() == ("toolbox" if init["command"] else "tini")
    started = time.monotonic()
    engine("kill", "--signal", "TERM", box.name)
    wait_until(lambda: box.state()["Status"] == "exited", 12)
    assert time.monotonic() - started < 10
    assert box.state()["ExitCode"] in (0, 143)


@by_init
def test_orphans_are_reaped_and_exit_codes_stay_right(start: Callable[..., Box], init: Init) -> None:
    box = start("--pids-limit", "2000", *init["options"], command=init["command"])
    box.run("for i in $(seq 50); do (sleep 0.01 &) ; done; (setsid sh -c 'sleep 0.05; exit 7' &)")
    wait_until(lambda: box.run(ZOMBIES)["result"].strip() == "0", 6)


@by_init
def test_a_thousand_commands_a_hundred_at_a_time(start: Callable[..., Box], init: Init) -> None:
    box = start("--pids-limit", "3000", *init["options"], command=init["command"])
    box.run("true")

    def one(number: int) -> bool:
        return box.run(f"(sleep 0.01 &); exit {number % 120}")["exitCode"] == number % 120

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert all(pool.map(one, range(1000)))
    wait_until(lambda: box.run(ZOMBIES)["result"].strip() == "0", 6)


def test_user_may_become_root_and_owns_home(start: Callable[..., Box]) -> None:
    box = start()
    assert box.run("whoami; sudo -n whoami; pwd; touch ~/x && echo ok")["result"].split() == [
        "daytona",
        "root",
        "/home/daytona",
        "ok",
    ]


def test_tools_that_users_expect_are_there(start: Callable[..., Box]) -> None:
    box = start()
    for tool in ("bash", "zsh", "git", "rg", "python3", "pip", "node", "npm", "npx", "curl"):
        answer = box.run(f"{tool} --version")
        assert answer["exitCode"] == 0, answer
    assert (
        box.run("echo 'const a: number = 41; console.log(a + 1)' > /tmp/a.ts; node /tmp/a.ts 2>/dev/null")["result"]
        == "42\n"
    )


def test_users_python_cannot_break_the_daemon(start: Callable[..., Box]) -> None:
    box = start(env={"PYTHONPATH": "/home/daytona/evil", "PYTHONHOME": "/nowhere"})
    assert box.run("echo $PYTHONPATH")["result"] == "/home/daytona/evil\n"
    box = start()
    broken = (
        "mkdir -p ~/evil && echo 'raise SystemExit(1)' > ~/evil/asyncio.py && sudo rm -rf /usr/lib/python3.11/asyncio"
    )
    assert box.run(broken)["exitCode"] == 0
    engine("restart", "-t", "5", box.name)
    again = Box(box.name, int(engine("port", box.name, "2280").stdout.split(":")[-1]))
    wait_until(lambda: answers(again))


def test_read_only_root(start: Callable[..., Box]) -> None:
    box = start("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/home/daytona:mode=1777")
    assert box.run("echo hi")["result"] == "hi\n"
    assert box.run("head -c 3000000 /dev/zero | tr '\\0' x | wc -c")["result"].strip() == "3000000"
    assert "Traceback" not in box.logs()


def test_read_only_root_without_any_writable_folder(start: Callable[..., Box]) -> None:
    # Podman mounts writable folders over a read-only root unless told otherwise.
    box = start("--read-only", *(["--read-only-tmpfs=false"] if ENGINE == "podman" else []))
    assert box.run("echo hi")["result"] == "hi\n"
    assert "Traceback" not in box.logs()


def test_limits_show_in_the_metrics(start: Callable[..., Box]) -> None:
    box = start("--memory", "512m", "--cpus", "1", "--pids-limit", "300")
    _, metrics = box.request("GET", "/system/metrics")
    assert (metrics["memTotal"], metrics["cpuCount"]) == (512 * 2**20, 1)


def test_memory_limit_ends_the_command_and_not_the_daemon(start: Callable[..., Box]) -> None:
    box = start("--memory", "256m", "--memory-swap", "256m")
    answer = box.run("python3 -c 'x = bytearray(1 << 30)'")
    assert answer["exitCode"] in (1, 137)
    assert box.run("echo still up")["result"] == "still up\n"
    assert box.state()["Running"]


def test_process_limit_fails_the_command_and_not_the_daemon(start: Callable[..., Box]) -> None:
    box = start("--pids-limit", "100")
    answer = box.run("for i in $(seq 200); do sleep 5 & done; wait", timeout=4)
    assert "fork" in answer["result"]
    assert box.run("echo still up")["result"] == "still up\n"


def test_users_install_packages_without_root(start: Callable[..., Box]) -> None:
    box = start()
    box.run(f"python3 - <<'EOF'\n{script('tiny_wheel.py')}\nEOF")
    install = "pip install -q --no-index /tmp/tiny-1-py3-none-any.whl && python3 -c 'import tiny; print(tiny.answer)'"
    assert box.run(install)["result"].splitlines()[-1] == "42"
    package = """{"name": "tiny", "version": "1.0.0", "bin": "tiny.js"}"""
    program = "#!/usr/bin/env node\nconsole.log(42)"
    answer = box.run(
        f"mkdir -p ~/tiny && cd ~/tiny && echo '{package}' >package.json && printf '{program}' >tiny.js && "
        "npm install --global --offline --silent . && tiny"
    )
    assert answer == {"exitCode": 0, "result": "42\n"}, answer


def test_command_gets_its_folder_environment_and_limit(start: Callable[..., Box]) -> None:
    box = start()
    answer = box.run('echo "$PWD $NAME $LANG"', cwd="/tmp", envs={"NAME": "é"}, timeout=10)
    assert answer == {"exitCode": 0, "result": "/tmp é C.UTF-8\n"}


def test_running_commands_end_with_the_container(start: Callable[..., Box]) -> None:
    box = start(command=("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"))
    wait_until(lambda: "deaf" in box.logs())
    started = time.monotonic()
    engine("stop", "-t", "30", box.name)
    assert time.monotonic() - started < 10
    assert box.state()["ExitCode"] in (0, 143)


def test_entrypoint_command_runs_beside_the_daemon(start: Callable[..., Box]) -> None:
    box = start(command=("sh", "-c", "echo from the entrypoint; echo 'a b' \"$0\"; exit 5", "x y"))
    wait_until(lambda: "a b x y" in box.logs())
    assert box.run("echo still up")["result"] == "still up\n"


def test_token_is_demanded_unless_switched_off(start: Callable[..., Box]) -> None:
    box = start(env={"TOOLBOX_INSECURE_NO_AUTH": "", "TOOLBOX_TOKEN": "s3cret"})
    assert box.request("GET", "/work-dir")[0] == 401
    assert box.request("GET", "/work-dir", Authorization="Bearer s3cret")[1] == {"dir": "/home/daytona"}
    status, answer = box.request("POST", "/process/execute", {"command": "env"}, Authorization="Bearer s3cret")
    assert status == 200
    assert "s3cret" not in answer["result"]
    box = start(env={"TOOLBOX_INSECURE_NO_AUTH": ""})
    assert box.request("GET", "/work-dir")[0] == 401
    (token,) = re.findall(r"Bearer ([\w-]+)'", box.logs())
    assert box.request("GET", "/work-dir", Authorization=f"Bearer {token}")[0] == 200


def test_health_check_of_the_image_follows_the_daemon(start: Callable[..., Box], image: dict[str, Any]) -> None:
    kind, check = (image.get("Healthcheck") or image["Config"]["Healthcheck"])["Test"]
    assert kind == "CMD-SHELL"
    box = start(env={"TOOLBOX_INSECURE_NO_AUTH": "", "TOOLBOX_TOKEN": "s3cret"})
    assert engine("exec", box.name, "sh", "-c", check).returncode == 0
    elsewhere = engine("exec", "-e", "TOOLBOX_PORT=2281", box.name, "sh", "-c", check, check=False)
    assert elsewhere.returncode == 1


def test_every_module_has_its_bytecode(start: Callable[..., Box]) -> None:
    box = start()
    answer = box.run(f"/opt/toolbox/venv/bin/python -I - <<'EOF'\n{script('bytecode.py')}\nEOF")
    assert answer == {"exitCode": 0, "result": ""}


def test_doctor_knows_the_image(start: Callable[..., Box]) -> None:
    answer = start().run("toolbox doctor")
    assert answer["exitCode"] == 0
    assert re.search(r"ok +git", answer["result"])


@only_full
@pytest.mark.parametrize(
    "command",
    [
        "xvfb-run -a xdotool getdisplaygeometry",
        "ffmpeg -hide_banner -version",
        "pylsp --version",
        "typescript-language-server --version",
        "tsc --version",
        "chromium --version",
        "x11vnc -version",
        "command -v startxfce4 xfce4-terminal websockify dbus-launch",
        "python3 -c 'import numpy, pandas, matplotlib, sklearn, ipykernel'",
    ],
)
def test_full_image_has_desktop_media_servers_and_data(start: Callable[..., Box], command: str) -> None:
    answer = start().run(command)
    assert answer["exitCode"] == 0, answer
