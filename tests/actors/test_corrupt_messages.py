"""Messages that no actor could process are dropped at once and delay no other."""

from time import monotonic

import msgspec
import pytest
from redis.asyncio import Redis

from signalhub.jobs import ADVANCE_ACTOR, QUEUE_NAME, SWEEP_ACTOR, build_message, is_valid_message
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp

_UUID = "00000000-0000-7000-8000-000000000000"
_OPTIONS = {"redis_message_id": "1"}


def _alter(**changes: object) -> bytes:
    message = build_message(ADVANCE_ACTOR, [_UUID], **_OPTIONS)
    return msgspec.json.encode(message.asdict() | changes)


CORRUPT_MESSAGES = {
    "unknown_actor": _alter(actor_name="orders.unheard_of"),
    "text_in_place_of_ids": _alter(args=["no-id"]),
    "no_uuid": _alter(args=[["1"]]),
    "surplus_argument": _alter(args=[[_UUID], 1]),
    "no_argument": _alter(args=[]),
    "keyword_argument": _alter(kwargs={"order_ids": None}),
    "sweep_with_argument": _alter(actor_name=SWEEP_ACTOR),
    "no_id_in_redis": _alter(options={}),
    "unknown_option": _alter(options=_OPTIONS | {"eta": 1}),
    "options_null": _alter(options=None),
    "other_queue": _alter(queue_name="other"),
    "no_object": b"[1]",
    "no_json": b"\xff{",
    "empty": b"",
}


@pytest.mark.parametrize("data", CORRUPT_MESSAGES.values(), ids=CORRUPT_MESSAGES)
def test_message_that_no_actor_takes_is_invalid(data: bytes) -> None:
    assert not is_valid_message(data)


def test_messages_of_the_notifier_are_valid() -> None:
    assert is_valid_message(build_message(ADVANCE_ACTOR, [_UUID, _UUID], trace_ids=["a", "b"], **_OPTIONS).encode())
    assert is_valid_message(build_message(ADVANCE_ACTOR, [_UUID], **_OPTIONS).encode())
    assert is_valid_message(build_message(SWEEP_ACTOR, **_OPTIONS).encode())


async def test_corrupt_messages_are_dropped_and_delay_no_order(
    running_service: RunningApp, running_service_account: AccountClient
) -> None:
    redis, keys = running_service.services.redis, await running_service.services.redis_keys.load()
    queue = f"{keys.jobs}:{QUEUE_NAME}"
    async with running_service_account.open_sse() as stream:
        await stream.expect_ready()
        started_at = monotonic()
        for name, data in CORRUPT_MESSAGES.items():
            await redis.hset(f"{queue}.msgs", name, data)
            await redis.rpush(queue, name, f"no such message as {name}")
        await running_service_account.send_signal()
        await stream.read_until("order.closed")
    assert monotonic() - started_at < 1.0
    await wait_until(lambda: _is_empty(redis, queue, keys.jobs))


async def _is_empty(redis: "Redis", queue: str, namespace: str) -> bool:
    """Return whether nothing waits, is in progress or was put aside."""
    pending = [key async for key in redis.scan_iter(f"{namespace}:__acks__.*")]
    return not (await redis.exists(queue, f"{queue}.msgs", f"{queue}.XQ", *pending))
