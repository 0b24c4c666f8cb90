"""Parse remote URLs: transport, host that may get credentials, text without credentials."""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from toolbox.errors import BadRequest

_HTTP = ("http", "https")
_TRANSPORTS = frozenset({"http", "https", "ssh", "git", "file"})
_PORTS = {"http": 80, "https": 443}
# ``transport::address`` starts a helper program of that name.
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCP = re.compile(r"(?:[^/@]+@)?(?:\[[^]]+\]|[^/:]+):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RemoteUrl(msgspec.Struct, frozen=True):
    """A parsed URL.

    ``text`` is the argument for git, without credentials: arguments of a process are visible to all users.
    ``scheme`` is empty for a path of this machine.
    ``scope`` is scheme, host and port of an HTTP URL, which bounds the credentials; empty for other transports.
    ``configured`` is the text in the configuration, before ``insteadOf`` rules, if it differs from ``original``.
    """

    text: str
    original: str
    scheme: str
    scope: str = ""
    username: str = ""
    password: str = ""
    configured: str = ""

    @property
    def embedded(self) -> bool:
        """Return whether the URL contains credentials."""
        return self.text != self.original and bool(self.username or self.password)


def check(url: str) -> None:
    """Refuse URLs that git would take for an option or a helper program."""
    if url.startswith("-") or _CONTROL.search(url) or not url.strip():
        raise BadRequest("bad request: invalid url")
    helper = _HELPER.match(url)
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if helper or (scheme and scheme not in _TRANSPORTS):
        name = helper[0].rstrip(":") if helper else scheme
        raise BadRequest(f"bad request: transport '{name[:40]}' is not allowed, use https, http, ssh, git or file")


def parse(url: str, *, workdir: str = "/") -> RemoteUrl:
    """Parse and complete a URL. Blocks: only the file system tells a relative path from a host name."""
    check(url)
    if "://" in url:
        return _with_scheme(url)
    path = os.path.join(workdir, url)
    if url.startswith(("/", ".")) or os.path.exists(path):
        return RemoteUrl(path, url, "")
    address = _SCP.match(url)
    if address:
        _check_host(address[0][:-1].rpartition("@")[2])
        return RemoteUrl(url, url, "ssh")
    first = url.partition("/")[0]
    if "." in first or first == "localhost":
        return _with_scheme(f"https://{url}")
    return RemoteUrl(path, url, "")


def _with_scheme(url: str) -> RemoteUrl:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadRequest("bad request: invalid url") from error
    if parts.scheme in ("ssh", "git"):
        _check_host(unquote(host))
    if parts.scheme not in _HTTP:
        return RemoteUrl(_without_password(parts, url), url, parts.scheme)
    if not host:
        raise BadRequest("bad request: url has no host")
    text = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url
    return RemoteUrl(
        text,
        url,
        parts.scheme,
        scope_of(parts.scheme, host, port),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _check_host(host: str) -> None:
    """Refuse a host that ssh would take for an option, and an empty one."""
    if not host:
        raise BadRequest("bad request: url has no host")
    if host.startswith("-"):
        raise BadRequest(f"bad request: invalid host in url: '{host[:100]}'")


def _without_password(parts: SplitResult, url: str) -> str:
    """Drop the password, which ssh cannot use."""
    if not parts.password:
        return url
    return parts._replace(netloc=f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}").geturl()


def scope_of(scheme: str, host: str, port: int | None) -> str:
    """Return the URL prefix that git matches ``credential.<url>.helper`` against."""
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port in (None, _PORTS[scheme]) else f"{scheme}://{name}:{port}"
