"""Screens of terminals, and waits for their content."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.terminal_client import Served, connected, new, serve

Session = aiohttp.ClientSession


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as component:
        yield component


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def screen(api: Session, name: str) -> Any:
    async with api.get(f"/process/pty/{name}/screen") as got:
        assert got.status == 200
        return await got.json()


async def wait(api: Session, name: str, **body: Any) -> Any:
    async with api.post(f"/process/pty/{name}/wait", json=body) as got:
        return {**await got.json(), "status": got.status}


QUIET = "PS1=; stty -echo; "


async def test_screen(api: Session) -> None:
    async with connected(api, new("s", cols=40, rows=6)) as tty:
        await tty.type(QUIET + "printf '\\033[2J\\033[3;5Hhi\\033]2;my title\\007'; echo; echo do''ne\n")
        await tty.until("done\r\n")
        seen = await screen(api, "s")
    offset = seen.pop("offset")
    assert offset > 0
    assert seen == {
        "text": "\n\n    hi\ndone",
        "cursor": {"row": 4, "col": 0, "hidden": False},
        "title": "my title",
        "cols": 40,
        "rows": 6,
        "alternate": False,
        "active": True,
    }


async def test_later_screen_draws_only_new_output(api: Session) -> None:
    async with connected(api, new("on", cols=30, rows=5)) as tty:
        await tty.type(QUIET + "printf '\\033[2J\\033[H'; echo o''ne\n")
        await tty.until("one\r\n")
        assert (await screen(api, "on"))["text"] == "one"
        async with api.post("/process/pty/on/resize", json={"cols": 50, "rows": 4}) as done:
            assert done.status == 200
        await tty.type("echo t''wo\n")
        await tty.until("two\r\n")
        seen = await screen(api, "on")
        assert (seen["text"], seen["cols"], seen["rows"]) == ("one\ntwo", 50, 4)


async def test_screen_after_much_output_shows_its_end(api: Session) -> None:
    async with connected(api, new("flood")) as tty:
        await tty.type(QUIET + "seq 500000; echo o''ver\n")
        await tty.until("over\r\n")
        assert (await screen(api, "flood"))["text"] == "\n".join([*map(str, range(499979, 500001)), "over"])


async def test_screen_of_an_unknown_and_of_a_lazy_terminal(api: Session) -> None:
    async with api.get("/process/pty/nobody/screen") as got:
        assert got.status == 404
    async with api.post("/process/pty", json={"id": "lazy", "lazyStart": True, "cols": 33}) as made:
        assert made.status == 201
    seen = await screen(api, "lazy")
    assert (seen["text"], seen["cols"], seen["active"]) == ("", 33, False)


async def test_drawing_does_not_hold_up_others(api: Session) -> None:
    async with connected(api, new("busy")) as tty:
        await tty.type(QUIET + "seq 200000; echo o''ver\n")
        await tty.until("over\r\n")
        drawing = asyncio.create_task(screen(api, "busy"))
        turns = 0
        while not drawing.done():
            async with api.get("/process/pty/busy") as got:
                assert got.status == 200
            turns += 1
        assert (await drawing)["text"].endswith("over")
    # Drawing takes about half a second; on the loop there would be one turn.
    assert turns >= 5


async def test_wait_for_text_on_the_screen(api: Session) -> None:
    async with connected(api, new("w")) as tty:
        await tty.type(QUIET + "echo re''ady; read x; printf 'wai\\033[31mted'\n")
        await tty.until("ready")
        waiting = asyncio.create_task(wait(api, "w", text="waited"))
        await tty.type("\n")
        answer = await waiting
        assert (answer["reason"], answer["matched"]) == ("match", "waited")
        assert "waited" in answer["screen"]["text"]
        # Text on the screen matches without new output.
        assert (await wait(api, "w", regex=r"^wa\w+d$", timeoutMs=0))["matched"] == "waited"


async def test_wait_for_text_that_has_scrolled_away(api: Session) -> None:
    async with connected(api, new("w")) as tty:
        await tty.type(QUIET + "echo re''ady; read x; echo nee''dle; seq 100\n")
        await tty.until("ready")
        waiting = asyncio.create_task(wait(api, "w", text="needle", on="output"))
        async with api.get("/process/pty/w") as got:
            since = (await got.json())["offset"]
        await tty.type("\n")
        await tty.until("100\r\n")
        assert (await wait(api, "w", text="needle", on="output", since=since))["reason"] == "match"
        assert (await wait(api, "w", text="needle", timeoutMs=0))["reason"] == "timeout"
        assert (await waiting)["reason"] in {"match", "timeout"}


async def test_wait_until_output_stops(api: Session) -> None:
    async with connected(api, new("q")) as tty:
        await tty.type(QUIET + "for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done\n")
        await tty.until("1\r\n")
        answer = await wait(api, "q", quietMs=1500)
        assert answer["reason"] == "quiet"
        assert answer["screen"]["text"].endswith("5\n6")
        assert (await wait(api, "q"))["reason"] == "quiet"


async def test_wait_ends_at_exit_and_at_the_timeout(api: Session) -> None:
    async with connected(api, new("e")) as tty:
        assert (await wait(api, "e", text="never", timeoutMs=50))["reason"] == "timeout"
        waiting = asyncio.create_task(wait(api, "e", text="never"))
        await tty.type("echo last wo''rds; exit\n")
        await tty.end()
        answer = await waiting
        assert answer["reason"] == "exited"
        assert "last words" in answer["screen"]["text"]


async def test_invalid_wait_is_refused(api: Session) -> None:
    async with connected(api, new("bad")):
        assert "regex" in (await wait(api, "bad", regex="("))["message"]
        assert (await wait(api, "bad", text=""))["status"] == 400
        assert (await wait(api, "bad", timeoutMs=-1))["status"] == 400
    assert (await wait(api, "nobody", text="x"))["status"] == 404


async def test_wait_ends_when_the_client_disconnects(api: Session, served: Served) -> None:
    async with connected(api, new("gone")):
        with pytest.raises(TimeoutError):
            await api.post("/process/pty/gone/wait", json={"text": "x"}, timeout=aiohttp.ClientTimeout(total=0.2))
    await served.server.drain(60)  # more than a test may take
