"""Every setting, read once from the environment and the command line; the only reader of ``os.environ``.

This module is imported before the socket listens, so it imports almost nothing.
"""

from __future__ import annotations

import os
import socket

from toolbox import parsers

# Not typing.TYPE_CHECKING: that import costs 4 ms before the port accepts. Type checkers know the bare name too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Settings of the daemon itself: removed from the environment of every process started for the user.
PRIVATE_PREFIX = "TOOLBOX_"


class SettingsError(Exception):
    """Report all errors of the command line at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Setting:
    """One row of the table: attribute, environment variable, help text, parser, default, flag."""

    __slots__ = ("default", "env", "flag", "help", "name", "parse", "secret", "short", "switch")

    def __init__(
        self,
        name: str,
        env: str,
        help: str,  # noqa: A002 - the field's usual name
        parse: Callable[[str], object] = str,
        default: str = "",
        *,
        flag: bool = False,
        short: str = "",
        secret: bool = False,
    ) -> None:
        self.name = name
        self.env = env
        self.help = help
        self.parse = parse
        self.default = default
        self.flag = f"--{name.replace('_', '-')}" if flag else ""
        self.short = short
        self.secret = secret
        self.switch = parse is parsers.boolean


SETTINGS = (
    Setting("host", "TOOLBOX_HOST", "address to listen on", default="127.0.0.1", flag=True),
    Setting("port", "TOOLBOX_PORT", "TCP port; 0 picks a free one", parsers.port, "2280", flag=True, short="-p"),
    Setting("unix_socket", "TOOLBOX_UNIX_SOCKET", "path of a Unix socket to listen on instead", flag=True),
    Setting("token", "TOOLBOX_TOKEN", "token required from every request", secret=True),
    Setting("token_file", "TOOLBOX_TOKEN_FILE", "file to read the token from", flag=True),
    Setting(
        "insecure_no_auth",
        "TOOLBOX_INSECURE_NO_AUTH",
        "serve without a token on an address that other machines can reach; only if the network restricts access",
        parsers.boolean,
        "false",
        flag=True,
    ),
    Setting("signing_key", "TOOLBOX_SIGNING_KEY", "key for signed file URLs; empty disables them", secret=True),
    Setting(
        "allowed_hosts",
        "TOOLBOX_ALLOWED_HOSTS",
        "host names accepted without a token, in addition to loopback",
        parsers.names,
    ),
    Setting(
        "allowed_origins", "TOOLBOX_ALLOWED_ORIGINS", "web origins allowed to call from a browser (CORS)", parsers.names
    ),
    Setting("workdir", "TOOLBOX_WORKDIR", "base directory of relative paths; default: current directory", flag=True),
    Setting(
        "state_dir", "TOOLBOX_STATE_DIR", "state directory; default: ~/.daytona, or below /tmp if that is not writable"
    ),
    Setting(
        "shell", "TOOLBOX_SHELL", "shell for commands; default: the first that is installed of zsh, bash, SHELL, sh"
    ),
    Setting(
        "max_output_bytes",
        "TOOLBOX_MAX_OUTPUT_BYTES",
        "output limit of one exec response, in bytes; head and tail are kept",
        parsers.at_least(parsers.integer, 1024),
        str(16 * 1024 * 1024),
    ),
    Setting(
        "command_memory",
        "TOOLBOX_COMMAND_MEMORY_BYTES",
        "memory limit of one command, session, terminal or code run with its process tree, in bytes; 0: none",
        parsers.at_least(parsers.integer, 0),
        "0",
    ),
    Setting(
        "command_pids",
        "TOOLBOX_COMMAND_PIDS",
        "limit of processes and threads of one command, session, terminal or code run; 0: none",
        parsers.at_least(parsers.integer, 0),
        "0",
    ),
    Setting(
        "command_cpus",
        "TOOLBOX_COMMAND_CPUS",
        "processors of one command, session, terminal or code run, also in `nproc`; 0: all",
        parsers.at_least(parsers.number, 0),
        "0",
    ),
    Setting(
        "oom_score",
        "TOOLBOX_COMMAND_OOM_SCORE",
        "added to the oom_score_adj of user processes, so that the kernel kills them before the daemon",
        parsers.between(0, 1000),
        "100",
    ),
    Setting("version", "TOOLBOX_VERSION", "protocol version reported by /version", default="0.226.1"),
    Setting("sandbox_id", "DAYTONA_SANDBOX_ID", "id of this sandbox, also a path prefix; default: host name"),
    Setting("sandbox_snapshot", "DAYTONA_SANDBOX_SNAPSHOT", "telemetry attribute"),
    Setting("organization_id", "DAYTONA_ORGANIZATION_ID", "telemetry attribute"),
    Setting("region_id", "DAYTONA_REGION_ID", "telemetry attribute"),
    Setting("sandbox_user", "DAYTONA_SANDBOX_USER", "user name the image asks for; informational"),
    Setting(
        "home_as_workdir",
        "DAYTONA_USER_HOME_AS_WORKDIR",
        "use the home directory as working directory",
        parsers.boolean,
        "false",
    ),
    Setting(
        "log_level",
        "LOG_LEVEL",
        "minimum level of log lines: debug, info, warn, error",
        parsers.log_level,
        "info",
    ),
    Setting(
        "log_file",
        "DAYTONA_DAEMON_LOG_FILE_PATH",
        "log file; empty: standard error only",
        default="/tmp/daytona-daemon.log",  # noqa: S108 - the path existing images and scripts know
    ),
    Setting(
        "log_max_mb",
        "DAYTONA_DAEMON_LOG_MAX_SIZE_MB",
        "size at which the log file is rotated, MB",
        parsers.at_least(parsers.integer, 1),
        "100",
    ),
    Setting(
        "log_backups",
        "DAYTONA_DAEMON_LOG_MAX_BACKUPS",
        "number of rotated log files to keep",
        parsers.at_least(parsers.integer, 1),
        "5",
    ),
    Setting(
        "log_age_days",
        "DAYTONA_DAEMON_LOG_MAX_AGE_DAYS",
        "days to keep rotated log files",
        parsers.at_least(parsers.integer, 1),
        "14",
    ),
    Setting("log_compress", "DAYTONA_DAEMON_LOG_COMPRESS", "compress rotated log files", parsers.boolean, "true"),
    Setting("otel_endpoint", "DAYTONA_OTEL_ENDPOINT", "OTLP/HTTP base URL; empty disables telemetry"),
    Setting("otel_labels", "DAYTONA_SANDBOX_OTEL_EXTRA_LABELS", "resource attributes to add, k=v,k=v", parsers.labels),
    Setting(
        "grace_period",
        "DAYTONA_TERMINATION_GRACE_PERIOD",
        "time between SIGTERM and SIGKILL",
        parsers.at_least(parsers.duration, 1.0),
        "5s",
    ),
    Setting(
        "check_interval",
        "DAYTONA_TERMINATION_CHECK_INTERVAL",
        "ignored, accepted for compatibility: process exits are events, not polled",
        parsers.at_least(parsers.duration, 0.001),
        "100ms",
    ),
    Setting(
        "recordings_dir", "DAYTONA_RECORDINGS_DIR", "directory of screen recordings; default: ~/.daytona/recordings"
    ),
    Setting("environment", "ENVIRONMENT", "'production' hides /docs and /swagger"),
)


class Settings:
    """All values, read-only."""

    host: str
    port: int
    unix_socket: str
    token: str
    token_file: str
    insecure_no_auth: bool
    signing_key: str
    allowed_hosts: frozenset[str]
    allowed_origins: frozenset[str]
    workdir: str
    state_dir: str
    shell: str
    max_output_bytes: int
    command_memory: int
    command_pids: int
    command_cpus: float
    oom_score: int
    version: str
    sandbox_id: str
    sandbox_snapshot: str
    organization_id: str
    region_id: str
    sandbox_user: str
    home_as_workdir: bool
    log_level: str
    log_file: str
    log_max_mb: int
    log_backups: int
    log_age_days: int
    log_compress: bool
    otel_endpoint: str
    otel_labels: dict[str, str]
    grace_period: float
    check_interval: float
    recordings_dir: str
    environment: str
    entrypoint: tuple[str, ...]
    switches: frozenset[str]
    home: str
    child_env: dict[str, str]
    colour: bool
    sources: dict[str, str]
    warnings: tuple[str, ...]
    unknown: tuple[str, ...]

    def __init__(self, values: dict[str, object]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are read-only: {name}")

    @property
    def exposed(self) -> bool:
        """Tell whether other machines can connect to the listener."""
        return not self.unix_socket and not _is_loopback(self.host)


def warnings_of(settings: Settings) -> list[str]:
    """Return a line for each variable that is malformed or unknown; imports what suggests names only if needed."""
    if not settings.unknown:
        return list(settings.warnings)
    from toolbox.suggestions import unknown_variables

    return [*settings.warnings, *unknown_variables(settings.unknown, [setting.env for setting in SETTINGS])]


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and host.count(".") == 3)


def read(environ: dict[str, str], argv: list[str], switches: tuple[str, ...] = ()) -> Settings:
    """Build the settings: flags override the environment, which overrides defaults.

    ``switches`` are options without a value that a command has beside the settings. For a malformed environment
    variable the default is used and ``warnings`` gets a line; a malformed flag raises ``SettingsError``.
    """
    flags, rest, problems = _flags(argv, switches)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    warnings: list[str] = []
    for setting in SETTINGS:
        values[setting.name], sources[setting.name] = _value(setting, flags, environ, problems, warnings)
    if problems:
        raise SettingsError(problems)
    values["home"] = environ.get("HOME", "")
    values["child_env"] = {key: value for key, value in environ.items() if not key.startswith(PRIVATE_PREFIX)}
    # https://no-color.org: any value but the empty one. A terminal without escape sequences has no TERM, or "dumb".
    values["colour"] = not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    values["sandbox_id"] = values["sandbox_id"] or socket.gethostname() or "local"
    values["switches"] = frozenset(switches) & flags.keys()
    values["unknown"] = _unknown(environ)
    return Settings({**values, "entrypoint": tuple(rest), "sources": sources, "warnings": tuple(warnings)})


def _unknown(environ: dict[str, str]) -> tuple[str, ...]:
    """Return the variables that look like settings of the daemon but are none."""
    known = {setting.env for setting in SETTINGS}
    return tuple(sorted(name for name in environ if name.upper().startswith(PRIVATE_PREFIX) and name not in known))


def _value(
    setting: Setting, flags: dict[str, str], environ: dict[str, str], problems: list[str], warnings: list[str]
) -> tuple[object, str]:
    parse = setting.parse
    if setting.name in flags:
        try:
            return parse(flags[setting.name]), "flag"
        except ValueError as error:
            problems.append(f"{setting.flag}: {error}, got {flags[setting.name]!r:.80}")
            return None, "flag"
    if setting.env in environ:
        try:
            return parse(environ[setting.env]), "environment"
        except ValueError as error:
            using = setting.default or "the default"
            warnings.append(f"{setting.env}: {error}, got {environ[setting.env]!r:.80}; using {using}")
    return parse(setting.default), "default"


def _flags(argv: list[str], switches: tuple[str, ...]) -> tuple[dict[str, str], list[str], list[str]]:
    """Split the command line into flags, the command after ``--``, and problems."""
    known = {name: setting for setting in SETTINGS for name in (setting.flag, setting.short) if name}
    found: dict[str, str] = {}
    problems: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if word[:2] in known and word[2:].isdigit():  # -p80
            name, equals, value = word[:2], "=", word[2:]
        setting = known.get(name)
        if setting and not setting.switch and not equals and rest and not rest[0].startswith("--"):
            equals, value = "=", rest.pop(0)
        problem = _problem(name, setting, equals, switches, [*known, *switches])
        if problem:
            problems.append(problem)
            if not setting and name.startswith("-") and rest and not rest[0].startswith("-"):
                rest.pop(0)  # most likely its value
        else:
            found[setting.name if setting else name] = value if equals else "true"
    return found, rest, problems


def _problem(name: str, setting: Setting | None, equals: str, switches: tuple[str, ...], known: list[str]) -> str:
    if setting:
        return "" if equals or setting.switch else f"{name}: needs a value"
    if name in switches:
        return f"{name}: takes no value" if equals else ""
    from toolbox.suggestions import unexpected

    hint = "" if switches or name.startswith("-") else "; a command to run comes after --"
    return unexpected(name, [*known, "--help", "--version"]) + hint


def from_process(argv: list[str], switches: tuple[str, ...] = ()) -> Settings:
    """Read the environment of this process, then remove the credentials from it: children must not inherit them."""
    environ = dict(os.environ)
    settings = read(environ, argv, switches)
    for name in ("TOOLBOX_TOKEN", "TOOLBOX_SIGNING_KEY"):
        if name in environ:
            _scrub(name)
    return settings


def token_in(path: str) -> str:
    """Return the content of the token file; raise ``SettingsError`` if it is unreadable or empty."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 8 ms here
            token = file.read().strip()
    except UnicodeDecodeError as error:
        raise SettingsError([f"--token-file {path}: not UTF-8 text"]) from error
    except OSError as error:
        raise SettingsError([f"--token-file {path}: {(error.strerror or 'cannot be read').lower()}"]) from error
    if not token:
        raise SettingsError([f"--token-file {path}: file is empty"])
    return token


def _scrub(name: str) -> None:
    """Overwrite the value in the initial environment block, which ``/proc/<pid>/environ`` shows, then unset it."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(os.fsencode(name))
    if address:
        ctypes.memset(address, ord("*"), len(os.fsencode(os.environ[name])))
    del os.environ[name]


def redacted(setting: Setting, value: object) -> str:
    """Format a value for display; of a secret only whether it is set."""
    if setting.secret:
        return "(set)" if value else ""
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
