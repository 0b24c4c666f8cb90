from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from toolbox.runs.pool import Pool


class Factory:
    """Make numbered items, a batch at a time, and write down what is retired."""

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.made = 0
        self.retired: list[int] = []
        self.dead: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.changed = asyncio.Condition()

    async def create(self) -> list[int]:
        self.entered.set()
        await self.gate.wait()
        async with self.changed:
            self.made += self.batch
            self.changed.notify_all()
        return list(range(self.made - self.batch, self.made))

    async def retire(self, item: int) -> None:
        self.retired.append(item)

    async def until_made(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.made >= count)


@pytest.fixture
async def pools() -> AsyncIterator[Callable[..., Pool[int]]]:
    made: list[Pool[int]] = []

    def make(factory: Factory, **options: Any) -> Pool[int]:
        pool = Pool("number", factory.create, factory.retire, lambda item: item not in factory.dead, **options)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        await pool.close()


async def test_take_creates_and_the_next_ones_are_made_in_the_background(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory()
    pool = pools(factory, keep=2)
    assert await pool.take() == 0
    await factory.until_made(3)
    await asyncio.sleep(0)
    assert len(pool) == 2
    assert factory.made == 3  # no more than are kept
    factory.gate.clear()
    assert await pool.take() == 1  # a ready one is not waited for
    factory.gate.set()


async def test_prepare_has_a_batch_ready(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory(batch=3)
    pool = pools(factory, keep=2)
    pool.prepare()
    pool.prepare()
    await factory.until_made(3)
    assert [await pool.take() for _ in range(3)] == [0, 1, 2]


async def test_refill_waits_for_the_delay_but_a_taker_does_not(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory(batch=2)
    pool = pools(factory, keep=2, delay=1000.0)
    assert [await pool.take() for _ in range(2)] == [0, 1]
    for _ in range(5):
        await asyncio.sleep(0)
    assert factory.made == 2
    assert await pool.take() == 2
    pool.prepare()
    await factory.until_made(6)


async def test_concurrent_takers_get_different_items_and_creations_do_not_overlap(
    pools: Callable[..., Pool[int]],
) -> None:
    factory = Factory(batch=3)
    pool = pools(factory)
    assert sorted(await asyncio.gather(*(pool.take() for _ in range(8)))) == list(range(8))  # type: ignore[type-var]


async def test_cancelled_taker_leaves_the_item_to_others(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory()
    factory.gate.clear()
    pool = pools(factory)
    first, second = (asyncio.create_task(pool.take()) for _ in range(2))
    await factory.entered.wait()
    first.cancel()
    factory.gate.set()
    assert await second == 0


async def test_dead_items_are_retired_at_the_next_take(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory(batch=3)
    pool = pools(factory)
    assert await pool.take() == 0
    factory.dead.add(1)
    assert await pool.take() == 2
    await pool.close()
    assert 1 in factory.retired
    assert not {0, 2} & set(factory.retired)


async def test_renew_retires_what_is_ready_and_what_is_being_made(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory()
    pool = pools(factory)
    assert await pool.take() == 0
    await factory.until_made(2)
    await asyncio.sleep(0)
    pool.renew()
    factory.gate.clear()
    taking = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.renew()
    factory.gate.set()
    assert await taking == 3
    await pool.close()
    assert {1, 2} <= set(factory.retired)


async def test_nothing_made_or_an_error_reaches_the_taker(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory(batch=0)
    assert await pools(factory).take() is None

    async def fail() -> list[int]:
        raise OSError("no memory")

    broken = Pool("kernel", fail, factory.retire, lambda _: True)
    with pytest.raises(OSError, match="no memory"):
        await broken.take()
    await broken.close()


async def test_close_waits_for_a_creation_and_retires_everything(pools: Callable[..., Pool[int]]) -> None:
    factory = Factory()
    factory.gate.clear()
    pool = pools(factory, keep=3)
    pool.prepare()
    await factory.entered.wait()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    assert not closing.done()
    factory.gate.set()
    await closing
    assert factory.retired == [0]
    assert await pool.take() is None
