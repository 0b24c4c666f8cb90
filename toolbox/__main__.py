"""The ``toolbox`` command: bind the socket, then import the rest.

From then on the kernel queues a client that connects, instead of refusing it while the daemon imports its modules.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys

from toolbox import settings as settings_module
from toolbox.host import reaper

COMMANDS = ("serve", "config", "openapi", "version", "doctor", "entrypoint")


def main() -> int:
    """Run a command and return the exit status."""
    argv = sys.argv[1:]
    # Installed as "daytona", the name of the reference daemon, all arguments are the entrypoint command, as there.
    # "entrypoint logs" is the exception, because the reference daemon has that command too.
    as_daytona = os.path.basename(sys.argv[0]) == "daytona" and argv[:2] != ["entrypoint", "logs"]  # noqa: PTH119 - pathlib costs 8 ms here
    if as_daytona and argv and not argv[0].startswith("-"):
        argv = ["--", *argv]
    command, rest = (argv[0], argv[1:]) if argv and argv[0] in COMMANDS else ("serve", argv)
    try:
        if argv and command != argv[0] and not argv[0].startswith("-") and argv[0] != "help":
            from toolbox import usage

            raise settings_module.SettingsError([usage.unknown_command(argv[0])])
        asked = _asked(argv)
        if asked:
            return _answer(asked, argv)
        if command == "serve":
            return _serve(rest)
        from toolbox import cli

        return cli.run(command, rest)
    except settings_module.SettingsError as error:
        sys.stderr.write("".join(f"toolbox: {problem}\n" for problem in error.problems))
        return 2


def _asked(argv: list[str]) -> str:
    """Return ``help`` or ``version`` if an option before ``--`` asks for it."""
    ours = argv[: argv.index("--")] if "--" in argv else argv
    if ours[:1] == ["help"] or {"-h", "--help"} & set(ours):
        return "help"
    return "version" if {"-V", "--version"} & set(ours) else ""


def _answer(asked: str, argv: list[str]) -> int:
    from toolbox import cli, usage

    if asked == "version":
        return cli.run("version", [])
    named = [word for word in argv[1:2] if argv[0] == "help" and not word.startswith("-")] or argv[:1]
    if named[0] not in usage.COMMANDS:
        if argv[0] == "help":
            raise settings_module.SettingsError([usage.unknown_command(named[0])])
        named = []
    whole = not named or named[0] == "help"
    sys.stdout.write(usage.general() if whole else usage.of(named[0]))
    return 0


def _serve(argv: list[str]) -> int:
    settings = settings_module.from_process(argv)
    _check_workdir(settings)
    _survive_user_signals()
    reaper.become_init_if_pid1()
    reaper.set_subreaper()
    try:
        listener = bind(settings)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
        from toolbox import port_owner

        sys.stderr.write(f"toolbox: {port_owner.cannot_listen(settings, error)}\n")
        return 1
    port = settings.unix_socket or listener.getsockname()[1]
    # Scripts wait for this line of the reference daemon; "socket" is ours, for a Unix socket.
    print(f"Starting toolbox server on {'socket' if settings.unix_socket else 'port'} {port}", flush=True)  # noqa: T201

    from toolbox import daemon

    status = daemon.run(settings, listener)
    _abandon_broken_streams()
    return status


def _abandon_broken_streams() -> None:
    """Drop streams whose reader is gone, such as a closed terminal: flushing them at exit would make the status 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, None)


def _survive_user_signals() -> None:
    """Do nothing on signals that end a process by default and that nothing here uses.

    A handler, not SIG_IGN: commands would inherit that. Set first, so that there is no moment without it.
    """
    timers = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO)
    real_time = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    for number in (signal.SIGUSR1, signal.SIGUSR2, *timers, *real_time):
        signal.signal(number, lambda *_: None)


def _check_workdir(settings: settings_module.Settings) -> None:
    """Raise ``SettingsError`` if the base of relative paths is no directory that can be entered."""
    if not settings.workdir and settings.home_as_workdir:
        return
    source = settings.sources["workdir"]
    name = {"flag": "--workdir", "environment": "TOOLBOX_WORKDIR"}.get(source, "current directory")
    try:
        path = settings.workdir or os.getcwd()  # noqa: PTH109 - pathlib costs 8 ms here
        os.stat(f"{path}/.")  # noqa: PTH116 - as above; "/." fails for a file and for a directory without x
    except OSError as error:
        reason = (error.strerror or "cannot be used").lower()
        raise settings_module.SettingsError([f"{name}: {settings.workdir or 'removed'}: {reason}"]) from error


def bind(settings: settings_module.Settings) -> socket.socket:
    """Return a listening socket."""
    if settings.unix_socket:
        return _bind_unix(settings.unix_socket)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=512)


def _bind_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        # chmod after bind would leave a moment in which any user can connect.
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket without a listener; one in use stays, and the bind fails."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            # A regular file refuses too; it is not ours to remove, and the bind fails.
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)  # noqa: PTH108 - pathlib costs 8 ms here
        except FileNotFoundError:
            return


if __name__ == "__main__":
    sys.exit(main())
