"""The pure parts of git: URLs, names, redaction, the environment, porcelain, logs, progress."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import pathlib
import subprocess
from typing import Any

import pytest
from hypothesis import given, strategies

from toolbox.errors import BadRequest, GitTransportFailed
from toolbox.git import hardening, validate
from toolbox.git.commits import LogParser, stamp
from toolbox.git.credential_store import store
from toolbox.git.credentials import HostCredentials, credential_options, credentials_for
from toolbox.git.engine.program.status import parse as parse_status
from toolbox.git.progress import Reporter, parse
from toolbox.git.redact import redact, secrets_of
from toolbox.git.urls import parse as parse_url
from toolbox.git.wire import Failure, Progress, RemoteLine, Result


@pytest.mark.parametrize(
    ("url", "text", "scope"),
    [
        ("https://h.com/o/r.git", "https://h.com/o/r.git", "https://h.com"),
        ("https://H.com:8443/o/r", "https://H.com:8443/o/r", "https://h.com:8443"),
        ("http://h.com:80/o", "http://h.com:80/o", "http://h.com"),
        ("https://u:t%40k@h.com/o/r", "https://h.com/o/r", "https://h.com"),
        ("https://[::1]:9/o", "https://[::1]:9/o", "https://[::1]:9"),
        ("github.com/o/r", "https://github.com/o/r", "https://github.com"),
        ("localhost/o/r", "https://localhost/o/r", "https://localhost"),
        ("git@h.com:o/r.git", "git@h.com:o/r.git", ""),
        ("ssh://git@h.com:22/o/r", "ssh://git@h.com:22/o/r", ""),
        ("ssh://git:pw@h.com/o", "ssh://git@h.com/o", ""),
        ("file:///srv/r", "file:///srv/r", ""),
        ("/srv/r", "/srv/r", ""),
        ("../r", "/w/../r", ""),
        ("nothing", "/w/nothing", ""),
    ],
)
def test_urls(url: str, text: str, scope: str) -> None:
    found = parse_url(url, workdir="/w")
    assert (found.text, found.scope) == (text, scope)


@pytest.mark.parametrize(
    "url", ["ext::sh -c x", "fd::3", "-u", "ftp://h/x", "https://", "a\nb", "https://h:x/", "x::y"]
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        parse_url(url, workdir="/w")


def test_credentials_in_a_url_are_used_if_none_are_given() -> None:
    url = parse_url("https://me:t%40k@h.com/o/r")
    assert (url.username, url.password, url.embedded) == ("me", "t@k", True)
    credentials = credentials_for(url, None, None)
    assert (credentials.username, credentials.password, credentials.rewrite) == (
        "me",
        "t@k",
        ("https://me:t%40k@h.com/o/r", "https://h.com/o/r"),
    )
    assert credentials_for(url, "you", "other").username == "you"
    assert credentials_for(parse_url("https://h.com/x"), "", "token").username == "git"
    assert not credentials_for(parse_url("https://h.com/x"), "", "").given
    assert not credentials_for(parse_url("git@h.com:x"), "u", "p").given
    with pytest.raises(BadRequest):
        credentials_for(parse_url("https://h.com/x"), "u", "p\nhost=evil.com")


def test_helper_gives_credentials_to_its_host_only(tmp_path: pathlib.Path) -> None:
    credentials = HostCredentials("https://h.com:8443", "me", 'p"w\\ $x')
    with credential_options(credentials) as way:
        assert all('p"w' not in option for option in way.options)
        options = [part for option in way.options for part in ("-c", option)]

        def fill(host: str) -> str:
            done = subprocess.run(
                ["git", *options, "credential", "fill"],
                input=f"protocol=https\nhost={host}\n\n",
                capture_output=True,
                text=True,
                pass_fds=way.fds,
                env={"PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path), "GIT_ASKPASS": ""},
            )
            return done.stdout

        for _ in range(2):
            assert 'password=p"w\\ $x\n' in fill("h.com:8443")
        assert fill("h.com") == fill("other.com:8443") == ""


def test_redaction_in_every_form() -> None:
    secrets = secrets_of("user", "user:p/w%")
    pair = base64.b64encode(b"user:user:p/w%").decode()
    text = f"user:p/w% user%3Ap%2Fw%25 {pair} https://a:b@h/ https://tok@h/ user"
    assert redact(text, secrets) == "*** *** *** https://***@h/ https://***@h/ ***"
    assert secrets_of("git", "") == (base64.b64encode(b"git:").decode(),)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "a..b",
        "HEAD",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "x.lock",
        "a//b",
        "/a",
        "a/",
        ".a",
        "a/.b",
        "@",
        "a@{b",
        "a\\b",
        "a\n",
    ],
)
def test_names_that_are_no_branches(name: str) -> None:
    with pytest.raises(BadRequest):
        validate.branch(name)
    assert subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True).returncode or name == "@"


@pytest.mark.parametrize("name", ["main", "a/b", "feature-1", "é", "a.b", "a@b", "😀"])
def test_names_that_are_branches(name: str) -> None:
    assert validate.branch(name) == name


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("a.b", True),
        ("a.B c.d", True),
        ("http.https://h/.sslVerify", True),
        ("a", False),
        ("a.", False),
        ("a.1b", False),
        ("a.b\n.c", False),
        ("", False),
    ],
)
def test_configuration_keys(key: str, valid: bool) -> None:
    if valid:
        assert validate.config_key(key) == key
    else:
        with pytest.raises(BadRequest):
            validate.config_key(key)


def test_environment_keeps_the_users_choices_and_nothing_that_leads_astray() -> None:
    given = {
        "GIT_DIR": "/x",
        "GIT_SSL_NO_VERIFY": "",
        "GIT_TRACE_CURL": "/tmp/t",
        "GIT_AUTHOR_NAME": "x",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "x",
        "LANGUAGE": "de",
        "LC_MESSAGES": "de_DE",
        "GIT_CONFIG_GLOBAL": "/g",
        "GIT_SSL_CAINFO": "/ca",
        "https_proxy": "http://p",
        "GIT_HTTP_LOW_SPEED_TIME": "5",
        "HOME": "/home/u",
        "SSH_AUTH_SOCK": "/s",
    }
    found = hardening.environment(given, "/work", None)
    assert (
        not {"GIT_DIR", "GIT_SSL_NO_VERIFY", "GIT_TRACE_CURL", "GIT_AUTHOR_NAME", "GIT_CONFIG_COUNT", "LANGUAGE"}
        & found.keys()
    )
    kept = ("GIT_CONFIG_GLOBAL", "GIT_SSL_CAINFO", "https_proxy", "GIT_HTTP_LOW_SPEED_TIME", "HOME", "SSH_AUTH_SOCK")
    assert {name: found[name] for name in kept} == {name: given[name] for name in kept}
    assert (found["LC_ALL"], found["GIT_TERMINAL_PROMPT"], found["GIT_CEILING_DIRECTORIES"]) == ("C", "0", "/work")


PORCELAIN = (
    b"# branch.oid 1111\0# branch.head main\0# branch.upstream origin/main\0# branch.ab +2 -3\0"
    b"1 .M N... 100644 100644 100644 1 1 a b\0"
    b"2 R. N... 100644 100644 100644 1 1 R100 new\tname\0old name\0"
    b"u UU N... 100644 100644 100644 100644 1 1 1 both\0"
    b"1 D. N... 100644 000000 000000 1 0 gone\0? gone\0? un\xfftracked\n\0"
    b"1 .A N... 000000 000000 100644 0 0 intent\0"
)


def test_porcelain_is_read() -> None:
    found = parse_status(PORCELAIN)
    assert (found.current_branch, found.upstream, found.ahead, found.behind) == ("main", "origin/main", 2, 3)
    assert found.branch_published
    rows = [(file.name, file.extra, file.staging, file.worktree) for file in found.file_status]
    assert rows == [
        ("a b", "", "Unmodified", "Modified"),
        ("both", "", "Updated but unmerged", "Updated but unmerged"),
        ("gone", "", "Deleted", "Untracked"),
        ("intent", "", "Unmodified", "Added"),
        ("new\tname", "old name", "Renamed", "Unmodified"),
        ("un\ufffdtracked\n", "", "Untracked", "Untracked"),
    ]


def test_porcelain_of_a_detached_head() -> None:
    found = parse_status(b"# branch.oid 1\0# branch.head (detached)\0")
    assert (found.current_branch, found.detached, found.upstream, found.branch_published) == ("HEAD", True, "", False)


LOG = b"".join(
    b"%s\0A\0a@b\0%s\0%s\0\0" % (name, moment, text)
    for name, moment, text in (
        (b"1" * 40, b"2024-05-01T10:00:00+02:00", b"one\n\nbody\n"),
        (b"2" * 40, b"2024-05-01T08:00:00+00:00", b""),
        (b"3" * 40, b"2024-05-01T08:00:00-03:30", b"\xff"),
    )
)


@given(strategies.lists(strategies.integers(0, len(LOG)), max_size=8))
def test_any_split_of_a_log_gives_the_same(cuts: list[int]) -> None:
    parser, edges = LogParser(), [0, *sorted(cuts), len(LOG)]
    found = [one for low, high in itertools.pairwise(edges) for one in parser.feed(LOG[low:high])]
    assert [one.message for one in found] == ["one\n\nbody\n", "", "\ufffd"]
    assert [one.timestamp for one in found] == [
        "2024-05-01T10:00:00+02:00",
        "2024-05-01T08:00:00Z",
        "2024-05-01T08:00:00-03:30",
    ]


def test_times_are_in_the_authors_zone() -> None:
    assert stamp(1714550400, 120) == "2024-05-01T10:00:00+02:00"
    assert stamp(1714550400, 0) == "2024-05-01T08:00:00Z"
    assert stamp(1714550400, -570) == "2024-04-30T22:30:00-09:30"
    assert stamp(-1, -30) == "1969-12-31T23:29:59-00:30"
    assert stamp(1714550400, 5000) == "2024-05-01T08:00:00Z"
    assert [stamp(when, 60) for when in (2**62, 10**12, -(2**62))] == ["1970-01-01T00:00:00Z"] * 3


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            "Receiving objects:  44% (34260/77863), 23.45 MiB | 46.89 MiB/s",
            Progress(
                phase="Receiving objects", percent=44, current=34260, total=77863, transferred="23.45 MiB | 46.89 MiB/s"
            ),
        ),
        (
            "remote: Counting objects: 100% (3/3), done.",
            Progress(phase="Counting objects", percent=100, current=3, total=3),
        ),
        ("remote: hello", RemoteLine(line="hello")),
        ("Cloning into 'x'...", None),
    ],
)
def test_progress_is_read(line: str, event: Progress | RemoteLine | None) -> None:
    assert parse(line) == event


async def test_reporter_sends_the_result_last() -> None:
    sent: list[tuple[str, Any]] = []

    async def send(name: str, data: Any) -> None:
        sent.append((name, data))

    async def works(say: Any) -> None:
        for percent in (1, 2, 3, 100, 100):
            say(f"Receiving objects: {percent}% ({percent}/100)")
        say("remote: bye")

    async def fails(say: Any) -> None:
        raise GitTransportFailed("gone")

    await Reporter().run(works, send)
    assert [name for name, _ in sent] == ["progress", "progress", "remote", "result"]
    assert sent[-1] == ("result", Result(status="ok"))
    await Reporter().run(fails, send)
    assert sent[-1] == ("error", Failure(status_code=502, code="GIT_TRANSPORT_FAILED", message="gone"))


async def test_reporter_that_is_cancelled_ends_the_operation() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def works(say: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def send(name: str, data: Any) -> None:
        raise AssertionError(name)

    task = asyncio.create_task(Reporter().run(works, send))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert ended.is_set()


def test_store_replaces_the_entry_of_the_same_user_only(tmp_path: pathlib.Path) -> None:
    file = tmp_path / ".git-credentials"
    for name, word in (("a", "1"), ("b", "2"), ("a", "3:@/")):
        store(str(file), "https", name, word, "h.com:8443")
    assert file.read_text() == "https://a:3%3a%40%2f@h.com%3a8443\nhttps://b:2@h.com%3a8443\n"
    assert file.stat().st_mode & 0o777 == 0o600
    request = "protocol=https\nhost=h.com:8443\nusername=a\n\n"
    command = ["git", "-c", "credential.helper=", "-c", f"credential.helper=store --file {file}", "credential", "fill"]
    assert "password=3:@/" in subprocess.run(command, input=request, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("300", 300), ("0", 60), ("", 60), ("-1", 60), ("1s", 60), ("٣", 60), ("9" * 9, 60)]
)
def test_timeout_of_a_stalled_peer(text: str, seconds: int) -> None:
    assert hardening.stall_seconds({"GIT_HTTP_LOW_SPEED_TIME": text}) == seconds
