"""Private and undocumented parts of Dramatiq in use: a new version must be checked against each by hand."""

import inspect
from pathlib import Path

import dramatiq
from dramatiq.asyncio import EventLoopThread
from dramatiq.brokers import redis as redis_brokers
from dramatiq.middleware import AsyncIO

from signalhub import jobs


def test_dramatiq_version_is_the_one_that_was_read() -> None:
    assert dramatiq.__version__ == "2.2.1"


def test_redis_consumer_has_the_parts_that_are_overridden() -> None:
    consumer = inspect.getattr_static(redis_brokers, "_RedisConsumer")
    assert list(inspect.signature(consumer).parameters) == ["broker", "queue_name", "prefetch", "timeout"]
    assert issubclass(jobs.NotifyingRedisConsumer, consumer)
    assert isinstance(inspect.getattr_static(consumer, "outstanding_message_count"), property)
    assert {"message_cache", "prefetch", "timeout"} <= set(consumer.__init__.__code__.co_names)
    assert {"message_cache", "outstanding_message_count", "do_fetch"} <= set(consumer.__next__.__code__.co_names)
    assert callable(consumer.close)


def test_redis_broker_has_the_parts_that_are_overridden() -> None:
    broker = redis_brokers.RedisBroker
    assert isinstance(inspect.getattr_static(broker, "consumer_class"), property)
    assert callable(inspect.getattr_static(broker, "_max_unpack_size"))
    assert "self.client.register_script(script) for name, script" in inspect.getsource(broker.__init__)
    assert broker(url="redis://nowhere", middleware=[]).delay_queues == set()  # type: ignore[no-untyped-call]


def test_messages_are_fetched_and_acknowledged_by_the_parts_that_are_used() -> None:
    assert callable(inspect.getattr_static(redis_brokers.RedisBroker, "_dispatch"))
    consumer = inspect.getattr_static(redis_brokers, "_RedisConsumer")
    assert "self.broker.do_fetch(" in inspect.getsource(consumer.__next__)
    assert 'message.options["redis_message_id"]' in inspect.getsource(consumer.ack)
    script = (Path(redis_brokers.__file__).parent / "redis" / "dispatch.lua").read_text()
    assert 'local acks = namespace .. ":__acks__." .. worker_id' in script
    assert 'local queue_acks = acks .. "." .. queue_name' in script
    assert 'local queue_messages = queue_full_name .. ".msgs"' in script
    assert 'local heartbeats = namespace .. ":__heartbeats__"' in script


def test_event_loop_thread_uses_the_loop_that_was_put_in() -> None:
    assert "loop" in EventLoopThread.run.__code__.co_names
    assert "loop" in EventLoopThread.start.__code__.co_names
    assert "logger" in AsyncIO.__init__.__code__.co_names
    assert "set_event_loop_thread" in AsyncIO.before_worker_boot.__code__.co_names


def test_enqueue_is_one_dispatch_script_call() -> None:
    broker = jobs.CommandRecordingBroker("signalhub:1:jobs")
    message = jobs.build_message(jobs.ADVANCE_ACTOR, ["a"], trace_ids=["t"])
    broker.enqueue(message)
    ((script, keys, arguments),) = broker.take_commands()
    assert b"enqueue" in bytes(script)  # type: ignore[arg-type]
    assert keys == ["signalhub:1:jobs"]
    assert arguments[0] == "enqueue"
    assert arguments[2] == jobs.QUEUE_NAME
    sent = dramatiq.Message.decode(bytes(arguments[-1]))  # type: ignore[arg-type]
    assert sent.args == (["a"],)
    assert sent.options[jobs.TRACE_IDS_OPTION] == ["t"]
