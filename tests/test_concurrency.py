"""A wait that ends, whether or not there was anything to wait for."""

import asyncio

import pytest

from signalhub.concurrency import timeout_if_pending


async def _answer(*waits_s: float) -> str:
    for wait_s in waits_s:
        await asyncio.sleep(wait_s)
    return "answer"


@pytest.mark.parametrize("waits_s", [(), (0,), (0.001,), (0.001, 0, 0.001)])
async def test_the_answer_comes_however_often_it_waits(waits_s: tuple[float, ...]) -> None:
    assert await timeout_if_pending(1, _answer(*waits_s)) == "answer"
    assert await timeout_if_pending(None, _answer(*waits_s)) == "answer"


@pytest.mark.parametrize("waits_s", [(9,), (0.001, 9), (0, 9)])
async def test_timeout_applies_to_any_await(waits_s: tuple[float, ...]) -> None:
    with pytest.raises(TimeoutError):
        await timeout_if_pending(0.02, _answer(*waits_s))


async def test_an_error_is_raised_as_it_is() -> None:
    async def stumble(wait_s: float | None) -> None:
        if wait_s is not None:
            await asyncio.sleep(wait_s)
        raise LookupError

    for wait_s in (None, 0, 0.001):
        with pytest.raises(LookupError):
            await timeout_if_pending(1, stumble(wait_s))


async def test_who_is_cancelled_may_tidy_up_and_even_answer() -> None:
    heard = []

    async def stubborn() -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            heard.append("tidied")
            raise
        return "never"

    with pytest.raises(TimeoutError):
        await timeout_if_pending(0.01, stubborn())
    assert heard == ["tidied"]


async def test_a_cancellation_from_outside_goes_through() -> None:
    asking = asyncio.create_task(timeout_if_pending(9, _answer(9)))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
