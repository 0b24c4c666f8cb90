"""The ``toolbox`` command: bind the socket, then import the rest.

From then on the kernel queues a client that connects, instead of refusing it while the daemon imports its modules.
"""

from __future__ import annotations

import os
import socket
import sys

from toolbox import settings as settings_module
from toolbox.host import reaper

COMMANDS = ("serve", "config", "openapi", "version", "doctor", "entrypoint")
USAGE = f"""usage: toolbox [{"|".join(COMMANDS)}] [options] [-- command [argument ...]]

  serve     run the daemon (default); a command after the options runs as the entrypoint session
  config    show every setting with its value and source (secrets redacted)
  openapi   print the OpenAPI document
  doctor    check the programs, modules and limits of this machine; print fixes
  version   print the version
  entrypoint logs [--no-follow]
            print the output of the entrypoint of the running daemon

options of serve, config and entrypoint logs:
"""


def main() -> int:
    """Run a command and return the exit status."""
    argv = sys.argv[1:]
    if set(argv[:1]) & {"-h", "--help", "help"}:
        sys.stdout.write(USAGE + _options())
        return 0
    # Installed as "daytona", the name of the reference daemon, all arguments are the entrypoint command, as there.
    # "entrypoint logs" is the exception, because the reference daemon has that command too.
    as_daytona = os.path.basename(sys.argv[0]) == "daytona" and argv[:2] != ["entrypoint", "logs"]  # noqa: PTH119 - pathlib costs 8 ms here
    command = argv[0] if argv and not argv[0].startswith("-") and not as_daytona else "serve"
    rest = argv[1:] if argv[:1] == [command] and not as_daytona else argv
    if command not in COMMANDS:
        sys.stderr.write(f"toolbox: unknown command {command!r}\n{USAGE}{_options()}")
        return 2
    try:
        if command == "serve":
            return _serve(rest)
        from toolbox import cli

        return cli.run(command, rest)
    except settings_module.SettingsError as error:
        sys.stderr.write("".join(f"toolbox: {problem}\n" for problem in error.problems))
        return 2


def _options() -> str:
    rows = [(s.flag + ("" if s.switch else " VALUE"), s.help, s.env) for s in settings_module.SETTINGS if s.flag]
    return "".join(f"  {flag:22} {text} ({env})\n" for flag, text, env in rows)


def _serve(argv: list[str]) -> int:
    settings = settings_module.from_process(argv)
    reaper.become_init_if_pid1()
    reaper.set_subreaper()
    try:
        listener = bind(settings)
    except OSError as error:
        where = settings.unix_socket or f"{settings.host}:{settings.port}"
        sys.stderr.write(f"toolbox: cannot listen on {where}: {(error.strerror or str(error)).lower()}\n")
        return 1
    port = settings.unix_socket or listener.getsockname()[1]
    # Scripts wait for this line of the reference daemon; "socket" is ours, for a Unix socket.
    print(f"Starting toolbox server on {'socket' if settings.unix_socket else 'port'} {port}", flush=True)  # noqa: T201

    from toolbox import daemon

    return daemon.run(settings, listener)


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
            os.unlink(path)  # noqa: PTH108 - pathlib costs 8 ms here
        except FileNotFoundError:
            return


if __name__ == "__main__":
    sys.exit(main())
