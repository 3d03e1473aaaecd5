"""Whoever arrives while a commit is running goes into the next one; and each gets its own answer."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from signalhub.domain.errors import SignalHubError
from signalhub.services.group_commit import GroupCommit


class Store:
    """A database that remembers its batches, refuses 13 and can be made slow or be lost."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.delay_s = 0.01
        self.trouble: Exception | None = None

    async def commit(self, batch: Sequence[int]) -> list[int | SignalHubError]:
        self.batches.append(list(batch))
        await asyncio.sleep(self.delay_s)
        if self.trouble is not None:
            raise self.trouble
        if 13 in batch:
            raise ValueError("13 cannot be stored")
        return [SignalHubError("idempotency_mismatch") if item < 0 else item * 10 for item in batch]


async def _answers(door: GroupCommit[int, int], items: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(door.submit(item) for item in items), return_exceptions=True)


def _codes(answers: Sequence[int | BaseException]) -> list[int | str]:
    return [answer.code if isinstance(answer, SignalHubError) else answer for answer in answers]  # type: ignore[misc]


async def test_an_item_alone_waits_for_nobody() -> None:
    store = Store()
    assert await GroupCommit(store.commit).submit(4) == 40
    assert store.batches == [[4]]


async def test_those_who_arrive_during_a_commit_share_the_next() -> None:
    store = Store()
    door = GroupCommit(store.commit)
    first = asyncio.create_task(door.submit(1))
    await asyncio.sleep(0.002)
    assert await _answers(door, range(2, 9)) == [20, 30, 40, 50, 60, 70, 80]
    assert await first == 10
    assert store.batches == [[1], [2, 3, 4, 5, 6, 7, 8]]


async def test_batch_respects_max_batch() -> None:
    store = Store()
    await _answers(GroupCommit(store.commit, max_batch=3), range(1, 9))
    assert [len(batch) for batch in store.batches] == [3, 3, 2]


async def test_each_gets_its_own_answer() -> None:
    answers = await _answers(GroupCommit(Store().commit), [1, -2, 3])
    assert _codes(answers) == [10, "idempotency_mismatch", 30]


async def test_one_that_cannot_be_stored_fails_alone() -> None:
    answers = await _answers(GroupCommit(Store().commit), [*range(1, 13), 13, *range(14, 30)])
    assert _codes(answers) == [*(n * 10 for n in range(1, 13)), "unavailable", *(n * 10 for n in range(14, 30))]


async def test_an_outage_is_told_to_all_at_once() -> None:
    """Trying each by itself would only make everybody wait for the same refusal."""
    store = Store()
    store.trouble = ConnectionRefusedError()
    answers = await _answers(GroupCommit(store.commit), range(10))
    assert _codes(answers) == ["unavailable"] * 10
    assert len(store.batches) == 1
    store.trouble = None


async def test_commits_resume_after_outage() -> None:
    store = Store()
    store.trouble = ConnectionRefusedError()
    door = GroupCommit(store.commit)
    await _answers(door, [1])
    store.trouble = None
    assert await door.submit(2) == 20


async def test_a_slow_database_is_told_within_two_seconds() -> None:
    store = Store()
    store.delay_s = 30
    door, began = GroupCommit(store.commit), monotonic()
    first = asyncio.create_task(_answers(door, [1]))
    await asyncio.sleep(0.01)
    answers = [*await first, *await _answers(door, [2, 3])]
    assert _codes(answers) == ["unavailable"] * 3
    assert monotonic() - began < 2
    assert all(isinstance(one, SignalHubError) and one.retry_after_s for one in answers)


async def test_a_commit_that_will_not_be_stopped_holds_up_nobody_else() -> None:
    """A driver that was told to leave may ask the silent server first whether it may."""
    may_leave = asyncio.Event()

    async def commit(batch: Sequence[int]) -> list[int | SignalHubError]:
        if 1 in batch:
            try:
                await asyncio.sleep(30)
            finally:
                await may_leave.wait()
        return list(batch)

    door, began = GroupCommit(commit), monotonic()
    assert _codes(await _answers(door, [1])) == ["unavailable"]
    assert await door.submit(2) == 2
    assert monotonic() - began < 2
    may_leave.set()


async def test_driver_cancelling_itself_does_not_stop_commits() -> None:
    async def commit(batch: Sequence[int]) -> list[int | SignalHubError]:
        if 1 in batch:
            raise asyncio.CancelledError
        return list(batch)

    door = GroupCommit(commit)
    async with asyncio.timeout(5):
        assert _codes(await _answers(door, [1])) == ["unavailable"]
        assert await door.submit(2) == 2


async def test_full_queue_rejects_immediately() -> None:
    store = Store()
    door = GroupCommit(store.commit, max_pending=5)
    answers = _codes(await _answers(door, range(20)))
    assert answers[:5] == [0, 10, 20, 30, 40]
    assert set(answers[5:]) == {"unavailable"}


async def test_one_whose_caller_has_gone_is_not_stored() -> None:
    store = Store()
    door = GroupCommit(store.commit)
    first = asyncio.create_task(door.submit(1))
    await asyncio.sleep(0.002)
    gone = asyncio.create_task(door.submit(2))
    await asyncio.sleep(0.002)
    gone.cancel()
    await first
    assert await door.submit(3) == 30
    assert 2 not in [item for batch in store.batches for item in batch]


async def test_one_that_goes_during_its_commit_harms_nobody_else() -> None:
    door = GroupCommit(Store().commit)
    tasks = [asyncio.create_task(door.submit(item)) for item in range(3)]
    await asyncio.sleep(0.005)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 20)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
