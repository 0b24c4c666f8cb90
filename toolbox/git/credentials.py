"""Pass the credentials of one request to git in sealed memory (memfd) that only its descendants can open.

Arguments, environment variables and named files would show them to other processes. The credential helper is bound to
scheme, host and port, so that git does not ask it after a redirect to another host. It replaces the user's helpers,
which would store the credentials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
from collections.abc import Iterator

from toolbox.errors import GitAuthFailed
from toolbox.git.redact import secrets_of
from toolbox.git.urls import RemoteUrl
from toolbox.git.validate import credential_part

log = logging.getLogger(__name__)

# User name for a token without one: the large hosts accept any name that is not empty.
TOKEN_USER = "git"  # noqa: S105 - a name
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclasses.dataclass(frozen=True, slots=True)
class HostCredentials:
    """Credentials and TLS policy for one host.

    ``scope`` is scheme, host and port. ``rewrite`` is a configured URL and its replacement without credentials.
    """

    scope: str = ""
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    rewrite: tuple[str, str] | None = dataclasses.field(default=None, repr=False)
    insecure: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the texts to redact."""
        return secrets_of(self.username, self.password) if self.given else ()

    @property
    def given(self) -> bool:
        """Return whether there are credentials for a host."""
        return bool(self.scope and (self.username or self.password))

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Log which host gets credentials, and which host refuses access."""
        # The scope is scheme, host and port: no user name, no path.
        if self.given:
            log.info("credentials sent", extra={"host": self.scope})
        try:
            yield
        except GitAuthFailed:
            log.info("credentials refused", extra={"host": self.scope or "ssh", "given": self.given})
            raise


def credentials_for(
    url: RemoteUrl, username: str | None, password: str | None, *, insecure: bool = False
) -> HostCredentials:
    """Return the credentials of the request, else those in the URL."""
    name, word = credential_part(username or "", "username"), credential_part(password or "", "password")
    if not (name or word):
        name, word = credential_part(url.username, "url"), credential_part(url.password, "url")
    if word and not name:
        name = TOKEN_USER
    rewrite = (url.configured or url.original, url.text) if url.embedded else None
    return HostCredentials(url.scope, name, word, rewrite, insecure)


@dataclasses.dataclass(frozen=True, slots=True)
class CredentialOptions:
    """Options for git, and the descriptors to inherit that they refer to."""

    options: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()


@contextlib.contextmanager
def credential_options(credentials: HostCredentials) -> Iterator[CredentialOptions]:
    """Create the options and descriptors for one git process; the descriptors are closed on exit."""
    with contextlib.ExitStack() as stack:
        options: list[str] = []
        fds: list[int] = []
        if credentials.insecure and credentials.scope:
            options.append(f"http.{credentials.scope}/.sslVerify=false")
        if credentials.given:
            fd = _sealed(f"username={credentials.username}\npassword={credentials.password}\n", stack)
            # An empty value resets the list of helpers configured so far.
            options += ["credential.helper=", f"credential.{credentials.scope}.helper={_helper(fd)}"]
            fds.append(fd)
        if credentials.rewrite is not None:
            fd = _sealed(_rewriting(*credentials.rewrite), stack)
            options.append(f"include.path=/proc/self/fd/{fd}")
            fds.append(fd)
        yield CredentialOptions(tuple(options), tuple(fds))


def _helper(fd: int) -> str:
    script = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done"
    return f'!f() {{ test "$1" = get && {script} </proc/self/fd/{fd}; }}; f'


def _rewriting(secret: str, clean: str) -> str:
    """Return configuration that keeps credentials of a stored URL out of arguments: git passes URLs on as arguments."""
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"')
    return f'[url "{clean}"]\n\tinsteadOf = "{quoted}"\n\tpushInsteadOf = "{quoted}"\n'


def _sealed(text: str, stack: contextlib.ExitStack) -> int:
    """Return a sealed memfd. Unlike a pipe it can be read repeatedly: git and git-lfs ask separately."""
    fd = os.memfd_create("git", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    data = text.encode("utf-8", "surrogateescape")
    if os.pwrite(fd, data, 0) != len(data):
        raise OSError("credentials do not fit into memory")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
