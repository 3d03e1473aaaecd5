"""Slippage, latency and commission: against the account, in the result, the same for whoever asks; or not at all."""

from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import pytest
from msgspec.structs import replace

from signalhub.brokers import factory
from signalhub.brokers.conformance import CHECKS, Check, final_order, orders, simulate_order
from signalhub.brokers.mock.broker import MockBroker
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.order import Closed, CloseReason, Executed, Order, Status
from signalhub.domain.signal import OrderType, Side, Signal
from signalhub.settings import SettingsError, from_env
from tests.kit.order_factory import EURUSD_LIMIT_BUY, NOON, make_id, make_order
from tests.kit.setting_changes import make_settings

ALL_COSTS: Final = {
    "slippage_bp": "5", "market_latency": "50ms..2s", "commission_bp": "0.5", "commission_per_unit": "0.00001"
}  # fmt: skip
WITH_SLIPPAGE: Final = {"slippage_bp": "5"}
SELL: Final = replace(EURUSD_LIMIT_BUY, side=Side.SELL, stop_loss=Decimal("1.0870"), take_profits=(Decimal("1.0830"),))
UNREACHABLE_LEVELS: Final = {"stop_loss": Decimal("0.5"), "take_profits": (Decimal("1.6"),)}


def _make_order(number: int, terms: Signal = EURUSD_LIMIT_BUY, **changes: Any) -> Order:  # noqa: ANN401 - fields of Order
    created_at = NOON + number * timedelta(hours=7)
    placed = {"profile": "market", "created_at": created_at, "updated_at": created_at}
    return make_order(id=make_id(number), terms=terms, **(placed | changes))


async def _next_move(order: Order, **options: str) -> Any:  # noqa: ANN401 - a move that has a price
    broker = MockBroker(options)
    due = broker.next_due(order)
    assert due is not None
    return await broker.step(order, due)


async def _filled(order: Order, **options: str) -> Order:
    return next(step.order_after for step in await simulate_order(MockBroker(options), order))


async def _final_orders(profile: str, **options: str) -> list[Order]:
    return [final_order(order, await simulate_order(MockBroker(options), order)) for order in orders(profile)]


def _closes_text(order: Order) -> str:
    """Render the closes as the digest was made: renamed classes and fields must not change it."""
    parts = [
        f"Part(price={part.price!r}, quantity={part.quantity!r}, reason={part.reason!r}, at={part.at!r})"
        for part in order.closes
    ]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


async def test_default_costs_match_golden_digest() -> None:
    digest = sha256()
    for profile in ("demo", "market", "instant"):
        for end in await _final_orders(profile):
            closes = _closes_text(end)
            digest.update(f"{end.status} {end.fill_price} {end.filled_at} {closes} {end.pnl} {end.pips}\n".encode())
            assert end.commission is None
    assert digest.hexdigest() == "06cdce3d6acb0036acfca58faa64f7bb16b9ff489207747827a5aac7f4e82364"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_mock_broker_conforms_with_all_costs(check: Check) -> None:
    await check(lambda: MockBroker(ALL_COSTS), orders("market"))


@pytest.mark.parametrize("type_", [OrderType.MARKET, OrderType.STOP])
@pytest.mark.parametrize("terms", [EURUSD_LIMIT_BUY, SELL], ids=["buy", "sell"])
async def test_market_entries_slip_against_the_trader(terms: Signal, type_: OrderType) -> None:
    slips = []
    for number in range(30):
        order = _make_order(number, replace(terms, order_type=type_))
        slipped, usual = await _next_move(order, **WITH_SLIPPAGE), await _next_move(order)
        assert slipped.at == usual.at
        slips.append((slipped.price - usual.price) * terms.side.sign)
    assert all(0 <= slip <= Decimal("0.0006") for slip in slips)
    assert len(set(slips)) > 20


@pytest.mark.parametrize("terms", [EURUSD_LIMIT_BUY, SELL], ids=["buy", "sell"])
async def test_stop_losses_slip_and_take_profits_do_not(terms: Signal) -> None:
    slips: dict[CloseReason, list[Decimal]] = {CloseReason.STOP_LOSS: [], CloseReason.TAKE_PROFIT: []}
    for number in range(30):
        order = await _filled(_make_order(number, terms))
        assert order == await _filled(_make_order(number, terms), **WITH_SLIPPAGE)
        slipped, usual = await _next_move(order, **WITH_SLIPPAGE), await _next_move(order)
        slips[usual.reason].append((usual.price - slipped.price) * terms.side.sign)
    assert min(slips[CloseReason.STOP_LOSS]) >= 0 < max(slips[CloseReason.STOP_LOSS]) <= Decimal("0.0006")
    assert set(slips[CloseReason.TAKE_PROFIT]) == {0}


async def test_time_and_manual_closes_slip() -> None:
    order = await _filled(_make_order(1, replace(EURUSD_LIMIT_BUY, **UNREACHABLE_LEVELS)))
    slipped, usual = (
        await _next_move(order, market_close_s="60", **WITH_SLIPPAGE),
        await _next_move(order, market_close_s="60"),
    )
    assert slipped.reason is CloseReason.TIME
    assert slipped.price < usual.price
    by_hand = [await MockBroker(options).close(order, order.updated_at) for options in (WITH_SLIPPAGE, {})]
    prices = [move.price for move in by_hand if isinstance(move, Closed)]
    assert prices[0] < prices[1]


@pytest.mark.parametrize("type_", [OrderType.MARKET, OrderType.STOP])
async def test_slippage_does_not_move_the_market(type_: OrderType) -> None:
    """The market does not follow a fill that slipped: closed at once, it is closed for no more than without."""
    for number in range(20):
        placed, prices = _make_order(number, replace(EURUSD_LIMIT_BUY, order_type=type_, **UNREACHABLE_LEVELS)), []
        for options in ({"slippage_bp": "50"}, {}):
            order = await _filled(placed, **options)
            move = await MockBroker(options).close(order, order.updated_at)
            assert isinstance(move, Closed)
            prices.append(move.price)
        assert prices[0] <= prices[1] + Decimal("0.00001")


async def test_slippage_is_deterministic_per_attempt() -> None:
    order = _make_order(3, replace(EURUSD_LIMIT_BUY, order_type=OrderType.MARKET))
    first, again = await _next_move(order, **WITH_SLIPPAGE), await _next_move(order, **WITH_SLIPPAGE)
    assert isinstance(first, Executed)
    assert first == again
    assert first.price != (await _next_move(replace(order, attempts=1), **WITH_SLIPPAGE)).price
    assert first.price != (await _next_move(order, seed="signalhub", slippage_bp="6")).price


async def test_instant_profile_has_no_slippage_or_latency() -> None:
    assert await _final_orders("instant", slippage_bp="50", market_latency="5s") == await _final_orders("instant")


@pytest.mark.parametrize("type_", OrderType)
async def test_forced_outcomes_do_not_slip(type_: OrderType) -> None:
    order = _make_order(
        4, replace(EURUSD_LIMIT_BUY, order_type=type_), simulation=from_stored_text("outcome=stop_loss")
    )
    end = final_order(order, await simulate_order(MockBroker(WITH_SLIPPAGE), order))
    assert end.close_price == EURUSD_LIMIT_BUY.stop_loss


async def test_latency_is_within_range_and_per_attempt() -> None:
    placed = [_make_order(number, replace(EURUSD_LIMIT_BUY, order_type=OrderType.MARKET)) for number in range(50)]
    broker, second_broker = (MockBroker({"market_latency": "50ms..2s"}) for _ in range(2))
    waits = [(broker.next_due(order) or NOON) - order.created_at for order in placed]
    assert timedelta(milliseconds=50) <= min(waits) < max(waits) <= timedelta(seconds=2)
    assert len(set(waits)) == 50
    assert waits == [(second_broker.next_due(order) or NOON) - order.created_at for order in placed]
    assert broker.next_due(replace(placed[0], attempts=1)) != broker.next_due(placed[0])


async def test_commission_covers_fill_and_closes_and_reduces_pnl() -> None:
    terms = replace(EURUSD_LIMIT_BUY, quantity=Decimal(2), take_profits=(Decimal("1.0870"), Decimal("1.0880")))
    order = _make_order(5, terms, profile="instant", simulation=from_stored_text("outcome=take_profit"))
    end = final_order(
        order, await simulate_order(MockBroker({"commission_bp": "10", "commission_per_unit": "0.5"}), order)
    )
    assert end.commission == Decimal("2.00") + Decimal("0.0021720") + Decimal("0.0010870") + Decimal("0.0010880")
    assert end.pnl == Decimal("0.0030") - end.commission
    free = final_order(order, await simulate_order(MockBroker({}), order))
    assert (end.pips, end.r_multiple, end.mae) == (free.pips, free.r_multiple, free.mae)


async def test_quantities_and_pnl_add_up_with_all_costs() -> None:
    ends = [*await _final_orders("market", **ALL_COSTS), *await _final_orders("demo", **ALL_COSTS)]
    assert {end.status for end in ends} == {Status.CLOSED}
    for end in ends:
        assert end.fill_price is not None
        assert end.commission is not None
        sides = [(end.fill_price, end.terms.quantity), *((part.price, part.quantity) for part in end.closes)]
        traded = sum(price * quantity for price, quantity in sides)
        gains = sum((part.price - end.fill_price) * part.quantity * end.terms.side.sign for part in end.closes)
        assert sum(part.quantity for part in end.closes) == end.terms.quantity
        assert end.commission == traded * Decimal("0.00005") + end.terms.quantity * Decimal("0.00002")
        assert end.pnl == gains - end.commission


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SLIPPAGE_BP", "-1"), ("SLIPPAGE_BP", "NaN"), ("COMMISSION_BP", "1001"), ("COMMISSION_PER_UNIT", "Infinity"),
        ("COMMISSION_BP", "much"), ("MARKET_LATENCY", "soon"), ("MARKET_LATENCY", "2s..1s"),
    ],
)  # fmt: skip
def test_invalid_cost_setting_error_names_the_variable(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"SIGNALHUB_{name} is '{text}': "):
        factory.create_broker(from_env({f"SIGNALHUB_{name}": text}))


def test_settings_reach_the_broker() -> None:
    settings = make_settings(slippage_bp=Decimal("2.5"), market_latency="1s", commission_bp=Decimal(1))
    assert MockBroker(settings.broker).next_due(
        _make_order(6, replace(EURUSD_LIMIT_BUY, order_type=OrderType.MARKET))
    ) == (NOON + 6 * timedelta(hours=7) + timedelta(seconds=1))
