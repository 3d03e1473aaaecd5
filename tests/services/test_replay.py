"""Replay of recorded signals on a virtual clock, with the same result each time."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from signalhub.services import offline_replay as replaying
from signalhub.services.offline_replay import DEFAULT_START_AT, RecordedSignal, ReplayResult, read_recording, replay
from tests.kit import signal_texts
from tests.kit.setting_changes import make_settings

INSTANT = make_settings(broker_profile="instant")
RECORDED = [
    RecordedSignal(signal_texts.make_buy_text(number), DEFAULT_START_AT + timedelta(minutes=number))
    for number in range(60)
]


@pytest.mark.parametrize("profile", ["demo", "market", "instant"])
def test_same_recording_gives_the_same_digest(profile: str) -> None:
    settings = make_settings(broker_profile=profile)
    first, again = replay(RECORDED, settings), replay(RECORDED, settings)
    assert first == again
    assert sum(first.orders.values()) == 60


def test_long_recording_is_split_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replay(RECORDED, INSTANT)
    monkeypatch.setattr(replaying, "_SIGNALS_PER_CHUNK", 40)
    assert replay(RECORDED, INSTANT) == whole


def test_other_seed_gives_another_digest(hostile: ReplayResult) -> None:
    other = replay(RECORDED, make_settings(broker_profile="instant", chaos="hostile", broker_seed="other"))
    assert other.digest != hostile.digest


@pytest.fixture
def hostile() -> ReplayResult:
    return replay(RECORDED, make_settings(broker_profile="instant", chaos="hostile"))


def test_chaos_retries_and_rejects_orders(hostile: ReplayResult) -> None:
    assert hostile.retries > 10
    assert hostile.orders["rejected"] > 0
    assert hostile.orders["closed"] + hostile.orders["rejected"] == 60


def test_refused_texts_are_counted_and_forced_outcomes_happen() -> None:
    forced = [
        RecordedSignal(f"{signal_texts.BUY}\n#sim outcome={outcome}", DEFAULT_START_AT)
        for outcome in ("take_profit", "stop_loss", "take_profit")
    ]
    outcome = replay([*forced, RecordedSignal("hello", DEFAULT_START_AT)], INSTANT)
    done = outcome.performance
    assert (outcome.signals, outcome.refused, done.closed, done.wins) == (4, 1, 3, 2)
    assert (done.total, done.drawdown, done.profit_factor) == (Decimal(5), Decimal(1), Decimal(6))


def _texts(recorded: list[RecordedSignal]) -> list[tuple[str, datetime]]:
    return [(one.text, one.received_at) for one in recorded]


def test_json_lines_are_sorted_by_time() -> None:
    lines = [
        {"text": "b", "at": "2026-03-01T12:00:00Z"},
        {"text": "a", "at": "2026-02-01T12:00:00"},
    ]
    recorded = read_recording("\n".join(map(json.dumps, lines)).encode())
    assert _texts(recorded) == [
        ("a", datetime(2026, 2, 1, 12, tzinfo=UTC)),
        ("b", datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ]


def test_plain_texts_are_separated_by_empty_lines() -> None:
    recorded = read_recording(f"{signal_texts.BUY}\n\n{signal_texts.SELL}\r\n\r\nhello\n".encode())
    assert [one.text.split()[0] for one in recorded] == ["BUY", "SELL", "hello"]
    assert [one.received_at - DEFAULT_START_AT for one in recorded] == [
        timedelta(minutes=number) for number in range(3)
    ]


def test_history_page_is_read() -> None:
    page = {"items": [{"raw": "b", "received_at": "2026-03-01T12:00:00Z", "accepted": True}], "next_cursor": None}
    assert _texts(read_recording(json.dumps(page).encode())) == [("b", datetime(2026, 3, 1, 12, tzinfo=UTC))]


def test_invalid_line_is_named() -> None:
    with pytest.raises(ValueError, match="Line 2 is to be"):
        read_recording(b'{"text": "a"}\n{"txt": "b"}')
