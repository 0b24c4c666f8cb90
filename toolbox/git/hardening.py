"""Environment and options of git that disable hooks, prompts, and variables that redirect it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from toolbox.host.users import UserIdentity

# Variables that move the repository, trace, prompt, page or edit; identities are set per commit.
_DROPPED = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|INDEX_VERSION|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|COMMON_DIR"
    r"|CEILING_DIRECTORIES|CONFIG.*|TRACE.*|CURL_VERBOSE|ASKPASS|EXTERNAL_DIFF|DIFF_OPTS|PAGER|EDITOR"
    r"|SEQUENCE_EDITOR|AUTHOR_.*|COMMITTER_.*|(?:LITERAL|GLOB|NOGLOB|ICASE)_PATHSPECS|PREFIX|TEMPLATE_DIR"
    r"|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE|NO_REPLACE_OBJECTS|QUARANTINE_PATH|PUSH_OPTION.*|ATTR_.*"
    r"|DEFAULT_HASH|REDIRECT_.*|PROTOCOL_FROM_USER|ALLOW_PROTOCOL|SSL_NO_VERIFY)"
    r"|SSH_ASKPASS|LANGUAGE|LANG|LC_.*"
)
# The user may choose the files of global and system configuration.
_KEPT = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"})
_SET = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_EDITOR": "true",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_MERGE_AUTOEDIT": "no",
}
# Seconds below 1,000 bytes per second after which a transfer is aborted; the user's variables override it.
STALL_SECONDS = 60
# A day in seconds has five digits; longer texts are not taken for a number of seconds.
_DIGITS = 6
_STALL = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": str(STALL_SECONDS)}
SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

OPTIONS = (
    "core.hooksPath=/dev/null",  # --no-verify alone still runs several hooks
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    "core.quotePath=false",
)


def environment(variables: Mapping[str, str], ceiling: str, user: UserIdentity | None) -> dict[str, str]:
    """Return the environment of git; ``ceiling`` is the folder at which the search for a repository ends."""
    kept = {name: value for name, value in variables.items() if name in _KEPT or not _DROPPED.fullmatch(name)}
    identity = user.variables if user is not None else {}
    return {**_STALL, **kept, **_SET, **identity, "GIT_CEILING_DIRECTORIES": ceiling}


def stall_seconds(variables: Mapping[str, str]) -> int:
    """Return the timeout for a stalled peer, for libgit2, which does not read the variable."""
    text = variables["GIT_HTTP_LOW_SPEED_TIME"]
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else 0
    return seconds or STALL_SECONDS


def arguments(binary: str, options: tuple[str, ...]) -> list[str | bytes]:
    """Return the start of a command line, with the hardening options."""
    argv: list[str | bytes] = [binary]
    for option in (*OPTIONS, *options):
        argv += ["-c", option]
    return argv
