from __future__ import annotations

import pathlib

import pytest

from toolbox.host.oom import OutOfMemory

V2 = "sys/memory.events"
NESTED = "sys/system/box/memory.events"
V1 = "sys/memory/box/memory.oom_control"
MACHINE = "proc/vmstat"


class Tree:
    """A captured tree of counters."""

    def __init__(self, root: pathlib.Path, membership: str) -> None:
        self.root = root
        self.put("proc/self/cgroup", membership)
        self.watch = OutOfMemory(cgroup=str(root / "sys"), proc=str(root / "proc"))

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    def count(self, name: str, kills: int) -> None:
        self.put(name, f"low 0\nhigh 0\nmax 7\noom 1\noom_kill {kills}\noom_group_kill 0\n")


@pytest.mark.parametrize(
    ("membership", "file"),
    [("0::/\n", V2), ("0::/system/box\n", NESTED), ("4:memory:/box\n0::/\n", V1), ("0::/\n", MACHINE), ("", MACHINE)],
)
def test_each_victim_is_taken_once(tmp_path: pathlib.Path, membership: str, file: str) -> None:
    tree = Tree(tmp_path, membership)
    tree.count(file, 3)
    tree.watch.prime()
    assert not tree.watch.take()
    tree.count(file, 5)
    assert [tree.watch.take() for _ in range(3)] == [True, True, False]


def test_count_of_the_container_wins_over_that_of_the_machine(tmp_path: pathlib.Path) -> None:
    tree = Tree(tmp_path, "0::/\n")
    tree.count(V2, 0)
    tree.count(MACHINE, 0)
    tree.watch.prime()
    tree.count(MACHINE, 9)
    assert not tree.watch.take()


def test_one_victim_in_two_counts_is_one(tmp_path: pathlib.Path) -> None:
    tree = Tree(tmp_path, "4:memory:/box\n")
    tree.count(V1, 0)
    tree.count(MACHINE, 0)
    tree.watch.prime()
    tree.count(V1, 1)
    tree.count(MACHINE, 1)
    assert [tree.watch.take() for _ in range(2)] == [True, False]


def test_without_any_count_nothing_is_a_victim(tmp_path: pathlib.Path) -> None:
    tree = Tree(tmp_path, "")
    assert not tree.watch.take()
    tree.watch.prime()
    assert not tree.watch.take()
