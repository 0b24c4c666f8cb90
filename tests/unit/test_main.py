"""The ``toolbox`` command: output, messages and exit status."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.client
import json
import os
import pathlib
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from toolbox import __version__, port_owner
from toolbox.settings import read

TOOLBOX = [sys.executable, "-I", "-m", "toolbox"]


def command(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOOLBOX, *argv], capture_output=True, text=True, timeout=20, env={**os.environ, **(env or {})}
    )


@dataclasses.dataclass
class Served:
    process: subprocess.Popen[str]
    first_line: str

    @property
    def port(self) -> int:
        return int(self.first_line.rsplit(maxsplit=1)[1])

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        result = answer.status, answer.read().decode()
        connection.close()
        return result

    def post(self, path: str, body: object) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


@contextlib.contextmanager
def serving(*argv: str, env: dict[str, str] | None = None, inside: Sequence[str] = ()) -> Iterator[Served]:
    environ = {**os.environ, "DAYTONA_DAEMON_LOG_FILE_PATH": "", **(env or {})}
    process = subprocess.Popen(
        [*inside, *TOOLBOX, "serve", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    try:
        yield Served(process, process.stdout.readline() if process.stdout else "")
    finally:
        process.kill()
        process.communicate(timeout=15)


def test_version_names_both_versions() -> None:
    assert command("version").stdout == f"toolbox {__version__} (protocol 0.226.1)\n"


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_lists_commands_and_flags(argv: list[str]) -> None:
    shown = command(*argv)
    assert shown.returncode == 0
    assert {"doctor", "--token-file", "TOOLBOX_PORT"} <= set(shown.stdout.replace("(", " ").replace(")", " ").split())


NAMED = ["serve", "config", "openapi", "doctor", "version", "entrypoint"]


@pytest.mark.parametrize("name", NAMED)
def test_every_command_has_help_in_each_form(name: str) -> None:
    forms = [command(name, "--help"), command(name, "-h"), command("help", name)]
    assert {form.returncode for form in forms} == {0}
    assert len({form.stdout for form in forms}) == 1
    assert forms[0].stdout.startswith(f"usage: toolbox {name}")
    assert not forms[0].stderr


def test_help_after_other_options_and_of_a_subcommand() -> None:
    assert command("serve", "--port", "0", "-h").stdout == command("help", "serve").stdout
    assert "--no-follow" in command("entrypoint", "logs", "--help").stdout


@pytest.mark.parametrize("argv", [["--version"], ["-V"], ["serve", "--version"]])
def test_version_options(argv: list[str]) -> None:
    assert command(*argv).stdout == command("version").stdout


@pytest.mark.parametrize("words", [["sh", "-c", 'echo "$0"', "--help"], ["printf", "%s\\n", "--help"]])
def test_all_arguments_are_the_entrypoint_below_the_name_of_the_reference(
    words: list[str], tmp_path: pathlib.Path
) -> None:
    program = tmp_path / "daytona"
    program.write_text(f"#!{sys.executable} -I\nimport sys\nfrom toolbox.__main__ import main\nsys.exit(main())\n")
    program.chmod(0o755)
    env = {**os.environ, "TOOLBOX_PORT": "0", "DAYTONA_DAEMON_LOG_FILE_PATH": ""}
    with subprocess.Popen([program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Starting toolbox server on port ")
        assert process.stdout.readline() == b"--help\n"
        process.terminate()


def test_help_after_the_dashes_belongs_to_the_entrypoint() -> None:
    with serving("--port", "0", "--", "sh", "-c", 'echo "got $1"', "sh", "--help") as daemon:
        assert daemon.process.stdout is not None
        assert daemon.process.stdout.readline() == "got --help\n"
        daemon.stop()


def test_workdir_that_was_removed_or_is_closed_is_an_error(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *TOOLBOX, "serve", "--port", "0"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "toolbox: current directory: removed: no such file or directory\n"
    done = command("serve", "-p0", env={"TOOLBOX_WORKDIR": str(tmp_path / "nope")})
    assert done.returncode == 2
    assert done.stderr.startswith("toolbox: TOOLBOX_WORKDIR: ")


def test_unknown_variable_is_in_the_log_and_in_config() -> None:
    with serving("--port", "0", env={"TOOLBOX_PROT": "1"}) as daemon:
        assert daemon.get("/version")[0] == 200
        _, errors = daemon.stop()
    assert "TOOLBOX_PROT: unknown variable, did you mean TOOLBOX_PORT?" in errors
    assert "TOOLBOX_PROT: unknown variable" in command("config", env={"TOOLBOX_PROT": "1"}).stderr


def test_bind_imports_nothing_but_what_it_needs() -> None:
    code = (
        "import sys, toolbox.__main__ as m, toolbox.settings as s; s.from_process(['--port', '0', '--', 'x']);"
        "print({'difflib', 'argparse', 'pathlib', 'json', 'toolbox.usage', 'toolbox.suggestions'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({os.getcwd()!r}); {code}"],
        capture_output=True,
        text=True,
        env={**os.environ, "TOOLBOX_PROT": "1", "TOOLBOX_PORT": "x"},
    )
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["dctor"], "unknown command 'dctor', did you mean doctor?"),
        (["npm", "start"], "toolbox serve -- npm"),
        (["help", "nope"], "unknown command 'nope'"),
        (["serve", "sleep", "5"], "sleep: unexpected argument"),
        (["config", "--jsn"], "did you mean --json?"),
        (["config", "--", "sleep"], "sleep: unexpected argument"),
        (["doctor", "--jsn"], "did you mean --json?"),
        (["openapi", "--hepl"], "did you mean --help?"),
        (["entrypoint", "log"], "did you mean logs?"),
        (["entrypoint", "logs", "--no-folow"], "did you mean --no-follow?"),
        (["--workdir", "/does/not/exist"], "--workdir: /does/not/exist: no such file or directory"),
        (["--workdir", "/etc/passwd"], "--workdir: /etc/passwd: not a directory"),
        (["serve", "--prot", "1"], "--prot: unknown option"),
        (["--port", "x"], "--port:"),
        (["serve", "--token-file", "/does/not/exist"], "no such file"),
        (["version", "extra"], "extra: unexpected argument"),
    ],
)
def test_wrong_usage_is_named_and_exits_2(argv: list[str], says: str) -> None:
    result = command(*argv)
    assert result.returncode == 2
    assert says in result.stderr.lower()
    assert "Traceback" not in result.stderr


def test_config_shows_sources_and_hides_secrets() -> None:
    rows = json.loads(command("config", "--json", "--port", "77", env={"TOOLBOX_TOKEN": "s3cret"}).stdout)
    by_name = {row["setting"]: (row["value"], row["source"]) for row in rows}
    assert by_name["TOOLBOX_PORT"] == ("77", "flag")
    assert by_name["TOOLBOX_TOKEN"] == ("(set)", "environment")
    assert by_name["LOG_LEVEL"] == ("info", "default")


def test_openapi_is_printed() -> None:
    document = json.loads(command("openapi").stdout)
    assert document["openapi"] == "3.1.0"
    assert {"/files", "/version", "/process/execute"} <= document["paths"].keys()


def test_doctor_tells_how_to_fix_what_is_missing(tmp_path: pathlib.Path) -> None:
    shown = json.loads(command("doctor", "--json", env={"PATH": str(tmp_path)}).stdout)
    by_name = {finding["name"]: finding for finding in shown}
    assert by_name["git"]["ok"] is False
    assert "apt-get install git" in by_name["git"]["fix"]


def test_daemon_says_where_it_listens_and_ends_on_sigterm() -> None:
    with serving("--port", "0") as daemon:
        assert daemon.first_line == f"Starting toolbox server on port {daemon.port}\n"
        assert daemon.get("/version")[0] == 200
        status, _ = daemon.stop()
    assert status == 0


def test_taken_port_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = command("serve", "--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "address already in use" in result.stderr
    assert f"(pid {os.getpid()}); --port 0 picks a free port" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="changes the user")
def test_owner_of_another_user_is_named() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        settings = read({}, ["--port", str(taken.getsockname()[1])])
        reader, writer = os.pipe()
        child = os.fork()  # a subprocess of that user could not read this checkout
        if not child:
            taken.close()  # a holder that can be seen
            os.setuid(65534)
            busy = OSError(errno.EADDRINUSE, "Address already in use")
            os.write(writer, port_owner.cannot_listen(settings, busy).encode())
            os._exit(0)
        os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert b"used by a process of user root" in pipe.read()


@pytest.mark.parametrize("host", ["a" * 80, "a..b", "not-there.invalid"])
def test_wrong_host_is_explained(host: str) -> None:
    done = command("serve", "--host", host, "--port", "0")
    assert done.returncode == 1
    assert re.fullmatch(rf"toolbox: cannot listen on {host}:0: [a-z -]+\n", done.stderr)


def test_unix_socket_that_is_a_file_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert command("serve", "--unix-socket", str(tmp_path / "file")).returncode == 1
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_exposed_address_makes_a_token_and_prints_it_once() -> None:
    with serving("--host", "0.0.0.0", "--port", "0") as daemon:
        assert daemon.get("/work-dir")[0] == 401
        assert daemon.get("/version")[0] == 200
        _, errors = daemon.stop()
    (line,) = [line for line in errors.splitlines() if "curl" in line]
    token = line.partition("Bearer ")[2].partition("'")[0]
    assert errors.count(token) == 1
    with serving("--host", "0.0.0.0", "--port", "0", env={"TOOLBOX_TOKEN": token}) as daemon:
        assert daemon.get("/work-dir", Authorization=f"Bearer {token}")[0] == 200
        assert daemon.get("/work-dir", Authorization="Bearer other")[0] == 401


def test_open_daemon_on_an_exposed_address_must_be_asked_for() -> None:
    with serving("--host", "0.0.0.0", "--port", "0", "--insecure-no-auth") as daemon:
        assert daemon.get("/work-dir")[0] == 200
        _, errors = daemon.stop()
    assert "no authentication" in errors


def test_token_is_nowhere_to_be_read(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "daemon.log"
    env = {
        "TOOLBOX_TOKEN": "s3cret-token",
        "TOOLBOX_SIGNING_KEY": "s3cret-key",
        "DAYTONA_DAEMON_LOG_FILE_PATH": str(log),
    }
    with serving("--port", "0", env=env) as daemon:
        assert daemon.get("/work-dir?DAYTONA_SANDBOX_AUTH_KEY=s3cret-token")[0] == 200
        assert daemon.get("/work-dir?DAYTONA_SANDBOX_AUTH_KEY=s3cret-wrong")[0] == 401
        proc = pathlib.Path(f"/proc/{daemon.process.pid}")
        seen = (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
        _, errors = daemon.stop()
    assert b"s3cret" not in seen
    assert b"TOOLBOX_TOKEN=" in seen  # the variable was set; its value has been overwritten
    assert "s3cret" not in errors + log.read_text(encoding="utf-8")


def test_token_file_is_read_and_empty_one_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\n", encoding="utf-8")
    with serving("--port", "0", "--token-file", str(path)) as daemon:
        assert daemon.get("/work-dir", Authorization="Bearer from-file")[0] == 200
        assert daemon.get("/work-dir")[0] == 401
    path.write_text("\n", encoding="utf-8")
    assert "file is empty" in command("serve", "--token-file", str(path)).stderr


def test_unix_socket_is_private_and_replaces_a_stale_one(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "toolbox.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serving("--unix-socket", str(path)) as daemon:
        assert daemon.first_line == f"Starting toolbox server on socket {path}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 200")
        again = command("serve", "--unix-socket", str(path))
        assert again.returncode == 1
        assert f"in use, used by python (pid {daemon.process.pid})" in again.stderr


@pytest.mark.parametrize(
    ("env", "start"),
    [({"TERM": "xterm"}, "\x1b[2m"), ({"TERM": "xterm", "NO_COLOR": "1"}, ""), ({"TERM": "dumb"}, "")],
)
def test_log_on_a_terminal_is_text(env: dict[str, str], start: str) -> None:
    controller, device = os.openpty()
    environ = {**os.environ, "DAYTONA_DAEMON_LOG_FILE_PATH": "", "NO_COLOR": "", **env}
    argv = [*TOOLBOX, "serve", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=device, env=environ) as process:
        os.close(device)
        shown = until_ready(controller)
        process.terminate()
    os.close(controller)
    assert re.search("^" + re.escape(start) + r"\d\d:\d\d:\d\d\.\d{3}.* ready", shown, re.MULTILINE)


def until_ready(controller: int) -> str:
    """Read a terminal up to the log line that says the daemon is ready."""
    shown = ""
    while " ready: " not in shown:
        shown += os.read(controller, 4096).decode().replace("\r\n", "\n")
    return shown


@contextlib.contextmanager
def at_a_terminal(*argv: str, env: dict[str, str]) -> Iterator[dict[str, str]]:
    """Serve with standard error on a terminal; yield the rows it shows first."""
    controller, device = os.openpty()
    environ = {**os.environ, "DAYTONA_DAEMON_LOG_FILE_PATH": "", "NO_COLOR": "1", **env}
    argv = (*TOOLBOX, "serve", "--port", "0", *argv)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=device, env=environ) as process:
        os.close(device)
        try:
            rows = re.findall(r"^  (\S.{0,17}?) {2,}(.*)$", until_ready(controller), re.MULTILINE)
            yield dict(rows)
        finally:
            process.terminate()
    os.close(controller)


@pytest.mark.parametrize("form", ["plain", "any", "v6", "any-v6", "token", "token-file", "unix"])
def test_terminal_shows_a_request_that_works(form: str, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "it's a token"
    secret.write_text("s3cret", encoding="utf-8")
    token = {"TOOLBOX_TOKEN": "s3cret"}
    argv, env = {
        "plain": ([], {}),
        "any": (["--host", "0.0.0.0"], token),
        "v6": (["--host", "::1"], {}),
        "any-v6": (["--host", "::"], token),
        "token": ([], token),
        "token-file": (["--token-file", str(secret)], {}),
        "unix": (["--unix-socket", str(tmp_path / "a b")], {}),
    }[form]
    with at_a_terminal(*argv, env=env) as rows:
        request = rows["to try it"]
        assert "s3cret" not in request
        done = subprocess.run(["sh", "-c", f"{request} -s"], capture_output=True, text=True, env={**os.environ, **env})
        assert json.loads(done.stdout)["result"] == "hello\n"
        page = rows.get("API, in a browser", "")
        assert page == ("" if form == "unix" else f"{rows['listening on']}/docs")
        assert rows["log"] == "here only"


def test_terminal_shows_the_log_file_and_no_page_that_is_hidden(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "daemon.log"
    with at_a_terminal(env={"DAYTONA_DAEMON_LOG_FILE_PATH": str(log), "ENVIRONMENT": "production"}) as rows:
        assert rows["log"] == f"{log}, and here"
        assert "API, in a browser" not in rows
    with at_a_terminal(env={"DAYTONA_DAEMON_LOG_FILE_PATH": "/proc/nothing.log"}) as rows:
        assert rows["log"] == "here only"


def test_terminal_shows_one_curl_line_with_a_fresh_token() -> None:
    with at_a_terminal("--host", "0.0.0.0", env={}) as rows:
        assert "to try it" not in rows
        assert rows["listening on"].startswith("http://127.0.0.1:")


def test_nothing_is_shown_without_a_terminal() -> None:
    with serving("--port", "0") as daemon:
        assert daemon.get("/version")[0] == 200
        assert "to try it" not in daemon.stop()[1]


def test_second_signal_ends_at_once() -> None:
    with serving("--port", "0") as daemon:
        assert daemon.get("/version")[0] == 200
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(10) in (0, 130)


ENDING = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR]
IGNORED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO]


def slow_request(daemon: Served) -> socket.socket:
    """Send a command that would run for a minute, and return once it runs."""
    client = socket.create_connection(("127.0.0.1", daemon.port), timeout=15)
    body = b'{"command": "echo begun; sleep 60"}'
    head = b"POST /process/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    client.sendall(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    while "begun; sleep" not in daemon.get("/processes")[1]:
        time.sleep(0.05)
    return client


def all_of(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_signal_that_ends_the_daemon_drains_it(number: signal.Signals) -> None:
    with serving("--port", "0") as daemon:
        client = slow_request(daemon)
        daemon.process.send_signal(number)
        answer = all_of(client)
        assert daemon.process.wait(15) == 0
    # The command was ended with the daemon, and its client was told so.
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"SERVICE_UNAVAILABLE" in answer


def test_second_hang_up_does_not_cut_the_drain_short() -> None:
    with serving("--port", "0") as daemon:
        client = slow_request(daemon)
        for _ in range(3):
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        assert all_of(client).startswith(b"HTTP/1.1 503")
        assert daemon.process.wait(15) == 0


def test_hang_up_is_ignored_below_nohup() -> None:
    with serving("--port", "0", inside=["nohup"]) as daemon:
        assert daemon.get("/version")[0] == 200
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.get("/version")[0] == 200
        assert daemon.stop()[0] == 0


def test_signals_without_a_meaning_are_ignored_from_the_start_on() -> None:
    with serving("--port", "0") as daemon:
        numbers = [*IGNORED, signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX]
        for number in numbers:  # the daemon imports its modules now
            daemon.process.send_signal(number)
        assert daemon.get("/version")[0] == 200
        for number in numbers:
            daemon.process.send_signal(number)
        assert daemon.get("/version")[0] == 200
        # A command must find the default action, not an ignored signal.
        answer = daemon.post("/process/execute", {"command": "grep -E '^Sig(Ign|Cgt)' /proc/self/status"})
        ignored, caught = (int(line.split()[1], 16) for line in answer["result"].splitlines())
        assert not (ignored | caught) & sum(1 << (number - 1) for number in numbers)
        assert daemon.stop()[0] == 0


@pytest.mark.skipif(os.getuid() != 0, reason="a PID namespace needs root")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM], ids=lambda number: number.name)
def test_signals_pass_through_the_init(number: signal.Signals) -> None:
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with serving("--port", "0", inside=inside) as daemon:
        assert daemon.get("/version")[0] == 200
        path = pathlib.Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
        init = int(path.read_text(encoding="ascii"))
        os.kill(init, signal.SIGUSR1)
        os.kill(init, signal.SIGUSR2)
        assert daemon.get("/version")[0] == 200
        os.kill(init, number)
        assert daemon.process.wait(15) == 0


def test_terminal_that_closes_ends_the_daemon_with_a_drain(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    pid, controller = pty.fork()
    if not pid:
        os.execve(
            sys.executable,
            [*TOOLBOX, "serve", "--port", "0"],
            {**os.environ, "DAYTONA_DAEMON_LOG_FILE_PATH": str(log)},
        )
    while b"ready" not in os.read(controller, 4096):
        pass
    os.close(controller)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "stopping on SIGHUP" in log.read_text(encoding="utf-8")
    assert "stopped" in log.read_text(encoding="utf-8")


def test_malformed_environment_is_reported_and_survived() -> None:
    with serving("--port", "0", env={"DAYTONA_TERMINATION_GRACE_PERIOD": "soon"}) as daemon:
        assert daemon.get("/version")[0] == 200
        _, errors = daemon.stop()
    assert "DAYTONA_TERMINATION_GRACE_PERIOD" in errors


def test_log_file_that_cannot_be_written_is_reported_and_survived() -> None:
    with serving("--port", "0", env={"DAYTONA_DAEMON_LOG_FILE_PATH": "/proc/nothing.log"}) as daemon:
        assert daemon.get("/version")[0] == 200
        status, errors = daemon.stop()
    assert status == 0
    assert "no log file: /proc/nothing.log" in errors
    assert "Traceback" not in errors


def test_entrypoint_runs_beside_the_daemon_which_outlives_it() -> None:
    with serving("--port", "0", "--", "sh", "-c", 'echo "from $0"; echo wrong >&2; exit 5', "a b") as daemon:
        assert daemon.process.stdout is not None
        assert daemon.process.stdout.readline() == "from a b\n"
        assert daemon.get("/version")[0] == 200
        status, errors = daemon.stop()
    assert status == 0
    assert "wrong\n" in errors
    assert '"exit_code":5' in errors


def test_entrypoint_is_ended_with_the_daemon(tmp_path: pathlib.Path) -> None:
    with serving("--port", "0", "--", "sh", "-c", "sleep 1000 & echo $!; wait") as daemon:
        assert daemon.process.stdout is not None
        pid = int(daemon.process.stdout.readline())
        status, _ = daemon.stop()
    assert status == 0
    assert not pathlib.Path(f"/proc/{pid}").exists()


def test_missing_entrypoint_leaves_the_daemon_up() -> None:
    with serving("--port", "0", "--", "/does/not/exist") as daemon:
        assert daemon.get("/version")[0] == 200
        _, errors = daemon.stop()
    assert "entrypoint did not start: /does/not/exist: no such file or directory" in errors


def shown(*argv: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = command("entrypoint", "logs", *argv, env=env)
    return done.returncode, done.stdout, done.stderr


def test_entrypoint_logs_are_followed_to_the_end_on_their_streams() -> None:
    script = "printf out; printf 'err\\001\\001\\001' >&2; read line; echo end; exit 3"
    with serving("--port", "0", "--", "sh", "-c", script) as daemon:
        assert shown("--port", str(daemon.port)) == (0, "outend\n", "err\1\1\1")
        assert shown("--no-follow", f"--port={daemon.port}") == (0, "outend\n", "err\1\1\1")
        daemon.stop()


def test_entrypoint_logs_so_far_and_a_lost_daemon() -> None:
    with serving("--port", "0", "--", "sh", "-c", "echo up; exec sleep 1000") as daemon:
        assert daemon.process.stdout is not None
        assert daemon.process.stdout.readline() == "up\n"
        assert shown("--no-follow", "--port", str(daemon.port)) == (0, "up\n", "")
        follower = subprocess.Popen(
            [*TOOLBOX, "entrypoint", "logs", "--port", str(daemon.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert follower.stdout is not None
        assert follower.stdout.readline() == "up\n"
        daemon.process.kill()
        assert follower.communicate(timeout=15) == ("", "toolbox: connection lost before the end of the output\n")
        assert follower.returncode == 1


def test_entrypoint_logs_over_a_socket_with_a_token(tmp_path: pathlib.Path) -> None:
    path, token = str(tmp_path / "s"), {"TOOLBOX_TOKEN": "secret"}
    with serving("--unix-socket", path, "--", "echo", "up", env=token) as daemon:
        assert shown("--unix-socket", path, env=token) == (0, "up\n", "")
        status, out, errors = shown("--unix-socket", path)
        assert (status, out) == (1, "")
        assert "requires its token: set TOOLBOX_TOKEN or --token-file" in errors
        daemon.stop()


def test_entrypoint_logs_of_nothing_say_so() -> None:
    with serving("--port", "0") as daemon:
        assert shown("--port", str(daemon.port)) == (
            1,
            "",
            "toolbox: no entrypoint: the daemon was started without a command\n",
        )
        port = str(daemon.port)
        daemon.stop()
    status, _, errors = shown("--port", port)
    assert status == 1
    assert f"no daemon answers at 127.0.0.1:{port}: connection refused" in errors
    assert command("entrypoint").returncode == 2
    assert command("entrypoint", "logs", "--no-folow").returncode == 2


def test_entrypoint_that_ignores_the_end_is_killed_within_the_budget() -> None:
    script = "trap '' TERM; echo $$; while :; do sleep 1000; done"
    with serving("--port", "0", "--", "sh", "-c", script, env={"DAYTONA_TERMINATION_GRACE_PERIOD": "1s"}) as daemon:
        assert daemon.process.stdout is not None
        pid = int(daemon.process.stdout.readline())
        status, _ = daemon.stop()
    assert status == 0
    assert not pathlib.Path(f"/proc/{pid}").exists()
