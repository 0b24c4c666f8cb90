"""Listening ports: the kernel's tables, the probe, and both address families."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import AsyncIterator

import pytest

from toolbox.errors import BadRequest
from toolbox.host.ports import Ports, parse_port
from toolbox.host.worker_pool import WorkerPool

TCP4 = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 51223 1 0000000068c75d1e 100
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1560 1 0000000026dc0789 100 0
   2: 0100007F:9C42 0100007F:0BB8 01 00000000:00000000 02:000AAA33 00000000     0        0 50680 2 00000000eb67f8d0 20 4
   3: 0100007F:0BB9 0100007F:0A0A 06 00000000:00000000 03:000AAA33 00000000     0        0 0 3 00000000eb67f8d1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000000000000:1435 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0000
   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0000
   2: 0000000000000000FFFF00000100007F:1F91 0000000000000000FFFF00000100007F:A026 01 00000000:00000000 00:00000000 0000
"""


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def workers() -> AsyncIterator[WorkerPool]:
    workers = WorkerPool("test-ports", 1)
    yield workers
    await workers.close()


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP4)
    (tmp_path / "net" / "tcp6").write_text(TCP6)
    return tmp_path


def listen(family: socket.AddressFamily, host: str) -> socket.socket:
    sock = socket.socket(family)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
    sock.bind((host, 0))
    sock.listen()
    return sock


async def test_tables_of_both_families_give_listeners_once_and_in_order(
    workers: WorkerPool, proc: pathlib.Path
) -> None:
    assert await Ports(workers, proc=str(proc)).listening() == [22, 5173, 8080]


async def test_one_missing_table_does_not_hide_the_other(workers: WorkerPool, proc: pathlib.Path) -> None:
    (proc / "net" / "tcp").unlink()
    assert await Ports(workers, proc=str(proc)).listening() == [22, 5173]


async def test_answer_is_kept_for_half_a_second(workers: WorkerPool, proc: pathlib.Path) -> None:
    clock = Clock()
    ports = Ports(workers, proc=str(proc), clock=clock)
    await ports.listening()
    (proc / "net" / "tcp").write_text("")
    clock.now += 0.5
    assert 8080 in await ports.listening()
    clock.now += 0.01
    assert 8080 not in await ports.listening()


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::"),
    ],
)
async def test_real_listener_is_listed_and_in_use(workers: WorkerPool, family: socket.AddressFamily, host: str) -> None:
    with listen(family, host) as sock:
        port = sock.getsockname()[1]
        ports = Ports(workers)
        assert port in await ports.listening()
        assert await ports.in_use(port)
    assert not await Ports(workers).in_use(port)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_probe_alone_finds_listener_where_the_kernel_has_no_tables(
    workers: WorkerPool, tmp_path: pathlib.Path, family: socket.AddressFamily, host: str
) -> None:
    ports = Ports(workers, proc=str(tmp_path))
    with listen(family, host) as sock:
        port = sock.getsockname()[1]
        assert await ports.in_use(port)
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.recv(1) == b""  # the probe is closed, not leaked
    assert not await ports.in_use(port)
    assert await ports.listening() == []


async def test_new_listener_counts_at_once_despite_the_kept_answer(workers: WorkerPool) -> None:
    clock = Clock()
    ports = Ports(workers, clock=clock)
    await ports.listening()
    with listen(socket.AF_INET, "127.0.0.1") as sock:
        assert await ports.in_use(sock.getsockname()[1])


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("65535", 65535), ("03000", 3000)])
def test_port_text_is_read(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "70000", "abc", "-1", "+1", "1.0", " 80", "80 ", "1e3", "٣", "3000@x"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="port"):
        parse_port(text)
