"""Profile `market`: entries wait for their price, levels close the position, and the path says at what price."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from msgspec.structs import replace

from signalhub.brokers.conformance import final_order, simulate_order
from signalhub.brokers.mock.broker import MockBroker
from signalhub.brokers.mock.instrument_specs import get_instrument_spec
from signalhub.brokers.mock.prices import MarketClock, anchor_price_path
from signalhub.brokers.stepper import OrderStep
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.order import Closed, CloseReason, Order, Status
from signalhub.domain.signal import OrderType, Side, Signal
from tests.kit.order_factory import NOON, make_id, make_order

TARGETS: Final = (Decimal("1.0870"), Decimal("1.0880"), Decimal("1.0890"))
LATENCY: Final = timedelta(milliseconds=200)
LIMIT: Final = Signal(
    side=Side.BUY,
    symbol="EURUSD",
    order_type=OrderType.LIMIT,
    entry=Decimal("1.0860"),
    stop_loss=Decimal("1.0850"),
    take_profits=TARGETS,
)
TERMS_BY_NAME: Final = {
    "limit": LIMIT,
    "market": replace(LIMIT, order_type=OrderType.MARKET, entry=None),
    "stop": replace(LIMIT, order_type=OrderType.STOP),
    "zone": replace(LIMIT, entry=Decimal("1.0856"), entry_high=Decimal("1.0862")),
    "selling limit": replace(
        LIMIT, side=Side.SELL, stop_loss=Decimal("1.0870"), take_profits=(Decimal("1.0840"), Decimal("1.0850"))
    ),
    "selling stop": replace(
        LIMIT, side=Side.SELL, order_type=OrderType.STOP, stop_loss=Decimal("1.0870"),
        take_profits=(Decimal("1.0850"), Decimal("1.0840")),
    ),
}  # fmt: skip


def _make_order(terms: Signal, number: int = 0, **changes: Any) -> Order:  # noqa: ANN401 - fields of Order
    created_at = NOON + number * timedelta(hours=7)
    made: dict[str, Any] = {
        "id": make_id(number),
        "profile": "market",
        "created_at": created_at,
        "updated_at": created_at,
    }
    return make_order(terms=terms, **(made | changes))


async def _simulate(order: Order, **options: str) -> tuple[Order, list[OrderStep]]:
    steps = await simulate_order(MockBroker(options), order)
    return final_order(order, steps), steps


async def _simulate_many(terms: Signal, count: int = 40) -> list[tuple[Order, list[OrderStep]]]:
    return [await _simulate(_make_order(terms, number)) for number in range(count)]


@pytest.mark.parametrize("kind", TERMS_BY_NAME)
async def test_quantities_and_pnl_add_up(kind: str) -> None:
    for order, _ in await _simulate_many(TERMS_BY_NAME[kind], 20):
        assert order.status is Status.CLOSED
        assert order.fill_price is not None
        assert order.filled_at is not None
        assert order.pnl is not None
        sign = order.terms.side.sign
        assert sum(part.quantity for part in order.closes) == order.terms.quantity
        assert sum((part.price - order.fill_price) * part.quantity * sign for part in order.closes) == order.pnl
        times = [order.created_at, order.filled_at, *(part.at for part in order.closes)]
        assert times == sorted(times)
        assert order.mae is not None
        assert order.mfe is not None
        gains = [Decimal(0), *((part.price - order.fill_price) * sign for part in order.closes)]
        assert -order.mae <= min(gains)
        assert max(gains) <= order.mfe
        assert (order.pnl_currency, order.pips) == ("USD", (order.pnl * 10_000).quantize(Decimal("0.1")))


async def test_closes_match_random_walk_odds() -> None:
    """Levels at one, two and three times the risk: each is reached about as often as chance has it."""
    ends = Counter((len(order.closes), order.close_reason) for order, _ in await _simulate_many(LIMIT, 120))
    assert {reason for _, reason in ends} == {CloseReason.STOP_LOSS, CloseReason.TAKE_PROFIT}
    assert 45 <= ends[1, CloseReason.STOP_LOSS] <= 85
    assert 8 <= ends[3, CloseReason.TAKE_PROFIT] <= 40
    assert ends[2, CloseReason.STOP_LOSS] > 0


async def test_take_profits_close_equal_parts_nearest_first() -> None:
    for order, steps in await _simulate_many(replace(LIMIT, take_profits=TARGETS[::-1], quantity=Decimal(1))):
        reached = [part for part in order.closes if part.reason is CloseReason.TAKE_PROFIT]
        assert [part.price for part in reached] == list(TARGETS[: len(reached)])
        assert [str(part.quantity) for part in order.closes[:-1]] == ["0.3333"] * (len(order.closes) - 1)
        assert [step.order_after.status for step in steps[1:-1]] == [Status.EXECUTED] * (len(order.closes) - 1)


async def test_limit_order_fills_at_its_price() -> None:
    waits = []
    for order, steps in await _simulate_many(LIMIT):
        assert order.fill_price == Decimal("1.0860")
        assert order.filled_at == steps[0].due
        waits.append(steps[0].due - order.created_at)
    assert min(waits) > LATENCY
    assert max(waits) > timedelta(minutes=1)


async def test_entry_range_fills_at_nearer_edge() -> None:
    assert {order.fill_price for order, _ in await _simulate_many(TERMS_BY_NAME["zone"], 5)} == {Decimal("1.0862")}


async def test_market_order_pays_spread_after_latency() -> None:
    order, (fill, *_) = await _simulate(_make_order(TERMS_BY_NAME["market"]))
    assert fill.due == NOON + LATENCY
    market, clock = get_instrument_spec("EURUSD").build_market("signalhub", Decimal("1.0850")), MarketClock()
    middle = anchor_price_path(market, Decimal("1.0860"), clock.to_market_us(NOON)).quote(clock.to_market_us(fill.due))
    assert order.fill_price == middle.ask


@pytest.mark.parametrize(("kind", "sign"), [("stop", 1), ("selling stop", -1)])
async def test_stop_entry_fills_at_its_price_or_worse(kind: str, sign: int) -> None:
    fills = [order.fill_price for order, _ in await _simulate_many(TERMS_BY_NAME[kind], 60)]
    assert all(fill is not None and (fill - Decimal("1.0860")) * sign >= 0 for fill in fills)
    assert len(set(fills)) > 1


async def test_stop_loss_fills_at_worse_price_beyond_the_level() -> None:
    """The faster the market, the further it is from the stop once the broker has acted."""
    stopped = []
    for number in range(30):
        order, _ = await _simulate(_make_order(LIMIT, number), market_speed="3000")
        if order.close_reason is CloseReason.STOP_LOSS:
            stopped.append(order)
    assert len(stopped) > 5
    prices = [order.close_price or Decimal(0) for order in stopped]
    assert all(price <= Decimal("1.0850") for price in prices)
    assert min(prices) < Decimal("1.0849")
    assert all(order.r_multiple is not None and order.r_multiple < 0 for order in stopped if len(order.closes) == 1)


async def test_stop_loss_inside_spread_closes_immediately() -> None:
    order, _ = await _simulate(_make_order(replace(LIMIT, stop_loss=Decimal("1.08598"))))
    assert order.close_reason is CloseReason.STOP_LOSS
    assert order.filled_at is not None
    assert order.closed_at == order.filled_at + LATENCY
    assert order.close_price is not None
    assert order.close_price < Decimal("1.08598")


async def test_untouched_entry_expires() -> None:
    until = NOON + timedelta(milliseconds=300)
    order, (step,) = await _simulate(_make_order(LIMIT, expires_at=until))
    assert (order.status, step.due) == (Status.EXPIRED, until)
    assert order.remaining_quantity == 0


async def test_untouched_position_closes_by_time() -> None:
    terms = replace(TERMS_BY_NAME["market"], stop_loss=Decimal("0.5"), take_profits=(Decimal("1.6"),))
    order, _ = await _simulate(_make_order(terms), market_close_s="3600")
    assert (order.close_reason, order.closed_at) == (CloseReason.TIME, (order.filled_at or NOON) + timedelta(hours=1))
    assert order.mae is not None
    assert order.mfe is not None
    assert order.mae > 0
    assert order.mfe >= 0


@pytest.mark.parametrize("profile", ["demo", "market"])
async def test_step_result_is_independent_of_worker_delay(profile: str) -> None:
    broker, order = MockBroker({}), _make_order(LIMIT, profile=profile)
    filled = next(
        step.order_after for step in await simulate_order(broker, order) if step.order_after.fill_price is not None
    )
    due = broker.next_due(filled)
    assert due is not None
    assert await broker.step(filled, due) == await broker.step(filled, due + timedelta(days=3))


async def test_failed_close_attempt_waits_and_keeps_its_price() -> None:
    broker, order = MockBroker({}), _make_order(LIMIT)
    filled = next(step.order_after for step in await simulate_order(broker, order))
    due = broker.next_due(filled)
    assert due is not None
    later = replace(filled, attempts=2, next_attempt_at=due + timedelta(seconds=9))
    assert broker.next_due(later) == due + timedelta(seconds=9)
    now: datetime = due + timedelta(seconds=9)
    first, second = await broker.step(filled, now), await broker.step(later, now)
    assert type(first) is type(second)


@pytest.mark.parametrize("profile", ["demo", "market", "instant"])
async def test_forced_take_profit_closes_at_all_targets(profile: str) -> None:
    order, _ = await _simulate(_make_order(LIMIT, profile=profile, simulation=from_stored_text("outcome=take_profit")))
    assert [part.price for part in order.closes] == list(TARGETS)
    assert order.close_reason is CloseReason.TAKE_PROFIT


async def test_forced_wait_overrides_the_market() -> None:
    order, (fill, *_) = await _simulate(_make_order(LIMIT, simulation=from_stored_text("fill_after=3s close_after=4s")))
    assert fill.due == order.filled_at == NOON + timedelta(seconds=3)
    assert order.closed_at == NOON + timedelta(seconds=7)
    assert order.close_reason is CloseReason.TIME


async def test_manual_close_uses_market_price() -> None:
    broker, order = MockBroker({}), _make_order(LIMIT)
    filled = next(step.order_after for step in await simulate_order(broker, order))
    assert filled.filled_at is not None
    move = await broker.close(filled, filled.filled_at)
    assert isinstance(move, Closed)
    assert move.price == pytest.approx(
        Decimal("1.0860") * (1 - get_instrument_spec("EURUSD").spread), abs=Decimal("0.00002")
    )
