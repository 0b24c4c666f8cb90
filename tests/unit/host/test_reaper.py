from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from toolbox.host import reaper

ROOT = pathlib.Path(__file__).parents[3]
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


needs_namespace = pytest.mark.skipif(not can_unshare(), reason="pid namespaces are not allowed here")


def python(script: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    code = "import os, signal, sys, time\nfrom toolbox.host import reaper\n" + textwrap.dedent(script)
    return subprocess.run(
        [*prefix, sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False, cwd=ROOT
    )


def test_status_is_what_a_shell_reports() -> None:
    assert reaper.exit_code(3 << 8) == 3
    assert reaper.exit_code(signal.SIGKILL) == 137


def test_nothing_happens_unless_this_is_pid_1() -> None:
    before = os.getpid()
    reaper.become_init_if_pid1()
    assert os.getpid() == before


@needs_namespace
@pytest.mark.parametrize(("end", "code"), [("os._exit(5)", 5), ("os.kill(os.getpid(), 9)", 137), ("sys.exit(0)", 0)])
def test_init_ends_with_the_status_of_the_daemon(end: str, code: int) -> None:
    done = python(f"reaper.become_init_if_pid1()\nprint(os.getpid(), os.getppid(), flush=True)\n{end}", *UNSHARE)
    assert done.stdout == "2 1\n"
    assert done.returncode == code


@needs_namespace
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_init_passes_signals_on(number: signal.Signals) -> None:
    done = python(
        f"""
        reaper.become_init_if_pid1()
        signal.signal({int(number)}, lambda n, f: (print("got", n, flush=True), os._exit(7)))
        os.kill(1, {int(number)})
        time.sleep(10)
        """,
        *UNSHARE,
    )
    assert (done.stdout, done.returncode) == (f"got {int(number)}\n", 7)


@needs_namespace
def test_init_reaps_orphans_and_the_daemon_keeps_its_own_statuses() -> None:
    done = python(
        """
        reaper.become_init_if_pid1()
        import subprocess
        codes = [subprocess.run(["sh", "-c", f"sleep 0.01 & exit {n}"]).returncode for n in range(50)]
        assert codes == list(range(50)), codes
        time.sleep(0.5)
        zombies = [p for p in os.listdir("/proc") if p.isdigit() and " Z " in open(f"/proc/{p}/stat").read()]
        print(zombies)
        """,
        *UNSHARE,
    )
    assert done.stdout == "[]\n", done.stderr


@needs_namespace
def test_daemon_starts_with_default_signals() -> None:
    done = python(
        """
        reaper.become_init_if_pid1()
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        """,
        *UNSHARE,
    )
    assert done.stdout == "set() True\n"


def test_subreaper_inherits_orphans() -> None:
    done = python("""
        assert reaper.set_subreaper()
        orphan = "sh -c 'sleep 0.3; ps -o ppid= -p $$' & exit"
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", orphan], os.environ)
        os.waitpid(pid, 0)
        print(os.getpid(), os.waitpid(-1, 0)[0] > 0)
    """)
    mine, other, reaped = done.stdout.split()
    assert mine == other
    assert reaped == "True"


def test_ignored_signals_are_default_in_children() -> None:
    done = python("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reaper.default_signals()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        import subprocess
        print(subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True).stdout.split()[1])
    """)
    # The C library keeps signals 32 and 33 to itself: what a parent did with them cannot be undone.
    assert not [number for number in signal.valid_signals() if int(done.stdout, 16) >> (number - 1) & 1]
