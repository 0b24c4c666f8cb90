"""PID 1, signals, zombies, users, limits, a read-only root: the image as it is run."""

from __future__ import annotations

import concurrent.futures
import pathlib
import re
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Box, engine, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# With tini in front, and with the daemon as PID 1 itself.
INITS = [(), ("--entrypoint", '["/opt/toolbox/bin/toolbox","serve","--host","0.0.0.0"]')]
by_init = pytest.mark.parametrize("options", INITS, ids=["tini", "own-init"])
ZOMBIES = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
DAEMON_FDS = "ls /proc/$(pgrep -of 'toolbox serve --host' | head -1)/fd | wc -l"


@by_init
def test_boots_runs_commands_and_ends_on_sigterm(start: Callable[..., Box], options: tuple[str, ...]) -> None:
    box = start(*options)
    assert box.run("echo hello; exit 3") == {"exitCode": 3, "result": "hello\n"}
    assert box.run("cat /proc/1/comm")["result"].strip() == ("tini" if not options else "toolbox")
    started = time.monotonic()
    engine("kill", "--signal", "TERM", box.name)
    wait_until(lambda: box.state()["Status"] == "exited", 12)
    assert time.monotonic() - started < 10
    assert box.state()["ExitCode"] in (0, 143)


@by_init
def test_orphans_are_reaped_and_exit_codes_stay_right(start: Callable[..., Box], options: tuple[str, ...]) -> None:
    box = start("--pids-limit", "2000", *options)
    box.run("for i in $(seq 50); do (sleep 0.01 &) ; done; (setsid sh -c 'sleep 0.05; exit 7' &)")
    wait_until(lambda: box.run(ZOMBIES)["result"].strip() == "0", 6)


@by_init
def test_a_thousand_commands_a_hundred_at_a_time(start: Callable[..., Box], options: tuple[str, ...]) -> None:
    box = start("--pids-limit", "3000", *options)
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
    for tool in ("bash", "zsh", "git", "rg", "python3", "pip", "node", "npm", "curl"):
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
    wait_until(lambda: again.request("GET", "/version")[0] == 200)


def test_read_only_root(start: Callable[..., Box]) -> None:
    box = start("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/home/daytona:mode=1777")
    assert box.run("echo hi")["result"] == "hi\n"
    assert box.run("head -c 3000000 /dev/zero | tr '\\0' x | wc -c")["result"].strip() == "3000000"
    assert "Traceback" not in box.logs()


def test_read_only_root_without_any_writable_folder(start: Callable[..., Box]) -> None:
    box = start("--read-only", "--read-only-tmpfs=false")
    assert box.run("echo hi")["result"] == "hi\n"
    assert "Traceback" not in box.logs()


def test_limits_show_in_the_metrics(start: Callable[..., Box]) -> None:
    box = start("--memory", "512m", "--cpus", "1", "--pids-limit", "300")
    _, metrics = box.request("GET", "/system/metrics")
    assert (metrics["memTotal"], metrics["cpuCount"]) == (512 * 2**20, 1)


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


def test_health_check_turns_healthy(start: Callable[..., Box]) -> None:
    box = start()
    assert box.run("curl -fsS http://127.0.0.1:2280/healthz")["exitCode"] == 0


def test_every_module_has_its_bytecode(start: Callable[..., Box]) -> None:
    box = start()
    script = pathlib.Path(__file__).with_name("bytecode.py").read_text(encoding="utf-8")
    answer = box.run(f"/opt/toolbox/venv/bin/python -I - <<'EOF'\n{script}\nEOF")
    assert answer == {"exitCode": 0, "result": ""}


def test_doctor_knows_the_image(start: Callable[..., Box]) -> None:
    answer = start().run("toolbox doctor")
    assert answer["exitCode"] == 0
    assert re.search(r"ok +git", answer["result"])
