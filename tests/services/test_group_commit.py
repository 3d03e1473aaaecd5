"""Group commit: items that arrive during a commit share the next one, and each gets its own result."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from signalhub.concurrency import DeferredError
from signalhub.domain.errors import SignalHubError
from signalhub.services.group_commit import GroupCommit


class FakeDatabase:
    """A database that records its batches, refuses 13 and can be slow or unavailable."""

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


async def _submit_all(group_commit: GroupCommit[int, int], items: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(group_commit.submit(item) for item in items), return_exceptions=True)


def _codes(answers: Sequence[int | BaseException]) -> list[int | str]:
    return [answer.code if isinstance(answer, SignalHubError) else answer for answer in answers]  # type: ignore[misc]


async def test_single_item_is_committed_at_once() -> None:
    database = FakeDatabase()
    assert await GroupCommit(database.commit).submit(4) == 40
    assert database.batches == [[4]]


async def test_items_added_during_a_commit_share_the_next() -> None:
    database = FakeDatabase()
    group_commit = GroupCommit(database.commit)
    first = asyncio.create_task(group_commit.submit(1))
    await asyncio.sleep(0.002)
    assert await _submit_all(group_commit, range(2, 9)) == [20, 30, 40, 50, 60, 70, 80]
    assert await first == 10
    assert database.batches == [[1], [2, 3, 4, 5, 6, 7, 8]]


async def test_batch_respects_max_batch() -> None:
    database = FakeDatabase()
    await _submit_all(GroupCommit(database.commit, max_batch=3), range(1, 9))
    assert [len(batch) for batch in database.batches] == [3, 3, 2]


async def test_item_gets_its_own_result() -> None:
    answers = await _submit_all(GroupCommit(FakeDatabase().commit), [1, -2, 3])
    assert _codes(answers) == [10, "idempotency_mismatch", 30]


async def test_bad_row_fails_alone() -> None:
    answers = await _submit_all(GroupCommit(FakeDatabase().commit), [*range(1, 13), 13, *range(14, 30)])
    assert _codes(answers) == [*(n * 10 for n in range(1, 13)), "unavailable", *(n * 10 for n in range(14, 30))]


async def test_outage_fails_the_whole_batch_at_once() -> None:
    """Retrying each item would only delay the same error for all."""
    database = FakeDatabase()
    database.trouble = ConnectionRefusedError()
    answers = await _submit_all(GroupCommit(database.commit), range(10))
    assert _codes(answers) == ["unavailable"] * 10
    assert len(database.batches) == 1
    database.trouble = None


async def test_commits_resume_after_outage() -> None:
    database = FakeDatabase()
    database.trouble = ConnectionRefusedError()
    group_commit = GroupCommit(database.commit)
    await _submit_all(group_commit, [1])
    database.trouble = None
    assert await group_commit.submit(2) == 20


async def test_slow_database_is_reported_within_two_seconds() -> None:
    database = FakeDatabase()
    database.delay_s = 30
    group_commit, started_at = GroupCommit(database.commit), monotonic()
    first = asyncio.create_task(_submit_all(group_commit, [1]))
    await asyncio.sleep(0.01)
    answers = [*await first, *await _submit_all(group_commit, [2, 3])]
    assert _codes(answers) == ["unavailable"] * 3
    assert monotonic() - started_at < 2
    assert all(isinstance(answer, SignalHubError) and answer.retry_after_s for answer in answers)


async def test_commit_that_cannot_be_cancelled_does_not_block_the_next() -> None:
    """A cancelled driver may first ask the silent server to cancel the statement."""
    may_leave = asyncio.Event()

    async def commit(batch: Sequence[int]) -> list[int | SignalHubError]:
        if 1 in batch:
            try:
                await asyncio.sleep(30)
            finally:
                await may_leave.wait()
        return list(batch)

    group_commit, started_at = GroupCommit(commit), monotonic()
    assert _codes(await _submit_all(group_commit, [1])) == ["unavailable"]
    assert await group_commit.submit(2) == 2
    assert monotonic() - started_at < 2
    may_leave.set()


async def test_driver_cancelling_itself_does_not_stop_commits() -> None:
    async def commit(batch: Sequence[int]) -> list[int | SignalHubError]:
        if 1 in batch:
            raise asyncio.CancelledError
        return list(batch)

    group_commit = GroupCommit(commit)
    async with asyncio.timeout(5):
        assert _codes(await _submit_all(group_commit, [1])) == ["unavailable"]
        assert await group_commit.submit(2) == 2


async def test_full_queue_rejects_immediately() -> None:
    database = FakeDatabase()
    group_commit = GroupCommit(database.commit, max_pending=5)
    answers = _codes(await _submit_all(group_commit, range(20)))
    assert answers[:5] == [0, 10, 20, 30, 40]
    assert set(answers[5:]) == {"unavailable"}


async def test_item_of_a_cancelled_caller_is_not_stored() -> None:
    database = FakeDatabase()
    group_commit = GroupCommit(database.commit)
    first = asyncio.create_task(group_commit.submit(1))
    await asyncio.sleep(0.002)
    gone = asyncio.create_task(group_commit.submit(2))
    await asyncio.sleep(0.002)
    gone.cancel()
    await first
    assert await group_commit.submit(3) == 30
    assert 2 not in [item for batch in database.batches for item in batch]


async def test_caller_cancelled_during_its_commit_affects_no_other() -> None:
    group_commit = GroupCommit(FakeDatabase().commit)
    tasks = [asyncio.create_task(group_commit.submit(item)) for item in range(3)]
    await asyncio.sleep(0.005)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 20)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


class LockingDatabase(FakeDatabase):
    """A database in which negative items are locked."""

    is_locked = True

    async def commit(self, batch: Sequence[int]) -> list[int | SignalHubError | DeferredError]:  # type: ignore[override]
        self.batches.append(list(batch))
        await asyncio.sleep(self.delay_s)
        return [DeferredError() if item < 0 and self.is_locked else item * 10 for item in batch]


async def test_deferred_item_goes_into_the_next_batch() -> None:
    database = LockingDatabase()
    group_commit: GroupCommit[int, int] = GroupCommit(database.commit)
    locked = asyncio.create_task(group_commit.submit(-1))
    assert await group_commit.submit(2) == 20
    database.is_locked = False
    assert await locked == -10


async def test_deferred_item_is_refused_in_time_and_delays_no_other() -> None:
    database = LockingDatabase()
    group_commit: GroupCommit[int, int] = GroupCommit(database.commit, max_batch=4)
    locked, started_at = [asyncio.create_task(group_commit.submit(-number)) for number in range(1, 9)], monotonic()
    for number in range(10):
        began = monotonic()
        assert await group_commit.submit(number) == number * 10
        assert monotonic() - began < 0.2
    assert _codes(await asyncio.gather(*locked, return_exceptions=True)) == ["unavailable"] * 8
    assert monotonic() - started_at < 2
