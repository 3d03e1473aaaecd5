"""Only the moves of TRANSITIONS change an order, and each increments its version."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from signalhub.brokers.stepper import apply_report
from signalhub.domain.order import (
    OPEN,
    TRANSITIONS,
    Cancelled,
    Closed,
    CloseReason,
    Executed,
    ExecutionStats,
    Expired,
    IllegalTransition,
    Move,
    Order,
    PartiallyClosed,
    Rejected,
    Retried,
    Status,
    apply,
    split_quantity,
)
from signalhub.domain.signal import Side
from tests.kit.order_factory import EURUSD_LIMIT_BUY, NOON, make_order, seconds_after_noon

prices = st.decimals("0.0001", "99999", places=4)
quantities = st.decimals("-1", "4", places=1)
moves: st.SearchStrategy[Move] = st.one_of(
    st.builds(Retried, st.text(max_size=9), st.just(seconds_after_noon(9))),
    st.builds(Executed, prices, st.just("b-1")),
    st.builds(PartiallyClosed, prices, quantities, st.integers(0, 5)),
    st.builds(Closed, prices, st.sampled_from(CloseReason)),
    st.builds(Rejected, st.text(max_size=9), st.booleans()),
    st.builds(Cancelled),
    st.builds(Expired),
)
STATUS_AFTER_MOVE = {
    Executed: Status.EXECUTED, PartiallyClosed: Status.EXECUTED, Closed: Status.CLOSED, Rejected: Status.REJECTED,
    Cancelled: Status.CANCELLED, Expired: Status.EXPIRED,
}  # fmt: skip
QUANTITY: Final = Decimal(3)


def _is_legal(order: Order, move: Move) -> bool:
    """Check the table and further rules: one fill and no rejection after it; a part is the next and leaves a rest."""
    if (order.status, STATUS_AFTER_MOVE.get(type(move), order.status)) not in TRANSITIONS:
        return False
    match move:
        case Executed():
            return order.fill_price is None
        case Rejected():
            return order.fill_price is None or move.is_given_up
        case PartiallyClosed():
            closed = sum(part.quantity for part in order.closes)
            is_next = move.part == len(order.closes) + 1
            return order.fill_price is not None and is_next and 0 < move.quantity < QUANTITY - closed
        case _:
            return True


class OrderStateMachine(RuleBasedStateMachine):
    """Any moves in any order, repeated or not: legal ones are made once, the others change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.order, self.now, self.legal_moves = make_order(terms=replace(EURUSD_LIMIT_BUY, quantity=QUANTITY)), NOON, 0
        self.applied_moves: list[Move] = []

    @rule(move=moves, seconds=st.integers(0, 1000))
    def apply_move(self, move: Move, seconds: int) -> None:
        before, self.now = self.order, self.now + timedelta(seconds=seconds)
        if not _is_legal(before, move):
            with pytest.raises(IllegalTransition):
                apply(before, move, self.now)
            return
        self.order = apply(before, move, self.now)
        self.legal_moves += 1
        self.applied_moves.append(move)
        assert self.order.status is STATUS_AFTER_MOVE.get(type(move), before.status)
        assert self.order.updated_at == self.now
        assert before.version == self.order.version - 1

    @rule(price=prices, share=st.integers(1, 9))
    def close_next_part(self, price: Decimal, share: int) -> None:
        """Cover moves that random choice would hardly make."""
        part = PartiallyClosed(price, self.order.remaining_quantity * share / 10, len(self.order.closes) + 1)
        self.apply_move(part, 1)

    @precondition(lambda self: self.applied_moves)
    @rule(data=st.data())
    def repeat_report(self, data: st.DataObject) -> None:
        """Repeat an old report. Another failure is another attempt, so a failure may be repeated."""
        move = data.draw(st.sampled_from(self.applied_moves))
        if not isinstance(move, Retried):
            assert _apply_or_keep(self.order, move, self.now) is self.order

    @invariant()
    def each_legal_move_increments_version(self) -> None:
        assert self.order.version == 1 + self.legal_moves

    @invariant()
    def only_filled_orders_have_fill_and_only_closed_have_pnl(self) -> None:
        is_filled = any(isinstance(move, Executed) for move in self.applied_moves)
        assert (self.order.fill_price is not None) is is_filled
        assert is_filled or self.order.status not in {Status.EXECUTED, Status.CLOSED}
        assert (self.order.pnl is not None) is (self.order.status is Status.CLOSED)

    @invariant()
    def quantities_add_up(self) -> None:
        is_filled = self.order.fill_price is not None
        assert self.order.filled_quantity == (QUANTITY if is_filled else 0)
        assert (
            sum(part.quantity for part in self.order.closes) + self.order.remaining_quantity
            == self.order.filled_quantity
        )
        assert all(part.quantity > 0 for part in self.order.closes)
        # A position that was given up is still in the market, as far as anybody knows.
        assert (self.order.remaining_quantity == 0) is (not is_filled or self.order.status is Status.CLOSED)

    @invariant()
    def terms_never_change(self) -> None:
        assert self.order.terms == replace(EURUSD_LIMIT_BUY, quantity=QUANTITY)
        assert self.order.created_at == NOON

    @invariant()
    def ended_orders_have_no_next_attempt(self) -> None:
        if self.order.status not in OPEN:
            assert self.order.next_attempt_at is None


def _apply_or_keep(order: Order, move: Move, now: datetime) -> Order:
    """Apply a report, or return the order unchanged where no move is legal."""
    try:
        return apply_report(order, move, now).order
    except IllegalTransition:
        return order


OrderStateMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestOrderStateMachine = OrderStateMachine.TestCase


def test_transition_table_is_unchanged() -> None:
    pending, executed = "pending", "executed"
    assert {(str(one), str(other)) for one, other in TRANSITIONS} == {
        (pending, pending), (pending, executed), (pending, "rejected"), (pending, "cancelled"), (pending, "expired"),
        (executed, executed), (executed, "closed"), (executed, "rejected"),
    }  # fmt: skip


@pytest.mark.parametrize("end", [Status.CLOSED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED])
@pytest.mark.parametrize(
    "move", [Retried("x", NOON), Executed(Decimal(1), "b"), Closed(Decimal(1), CloseReason.TIME), Rejected("x"),
             Rejected("x", is_given_up=True), Cancelled(), Expired(), PartiallyClosed(Decimal(1), Decimal("0.1"), 1)]
)  # fmt: skip
def test_ended_order_rejects_every_move(end: Status, move: Move) -> None:
    with pytest.raises(IllegalTransition) as caught:
        apply(make_order(status=end), move, NOON)
    assert str(end) in str(caught.value)


def _closed(price: str, **terms: Any) -> Order:  # noqa: ANN401 - fields of a signal
    order = make_order(terms=replace(EURUSD_LIMIT_BUY, **terms))
    filled = apply(order, Executed(Decimal("1.0860"), "b"), seconds_after_noon(5))
    return apply(filled, Closed(Decimal(price), CloseReason.TIME), seconds_after_noon(15))


def test_buy_order_profits_from_rising_price() -> None:
    order = _closed("1.0890")
    assert (order.pnl, order.r_multiple) == (Decimal("0.0030"), Decimal("3.0000"))
    assert (order.filled_at, order.closed_at) == (seconds_after_noon(5), seconds_after_noon(15))


def test_sell_order_profits_from_falling_price() -> None:
    order = _closed("1.0870", side=Side.SELL, stop_loss=Decimal("1.0880"), quantity=Decimal("0.5"))
    assert (order.pnl, order.r_multiple) == (Decimal("-0.00050"), Decimal("-0.5000"))


def test_partial_closes_add_up_to_pnl() -> None:
    order = apply(
        make_order(terms=replace(EURUSD_LIMIT_BUY, quantity=Decimal(3))),
        Executed(Decimal("1.0860"), "b"),
        seconds_after_noon(5),
    )
    order = apply(
        order, PartiallyClosed(Decimal("1.0870"), Decimal(1), 1, at=seconds_after_noon(7)), seconds_after_noon(8)
    )
    assert (order.status, order.remaining_quantity, order.closes[0].at) == (
        Status.EXECUTED,
        Decimal(2),
        seconds_after_noon(7),
    )
    assert order.pnl is None
    figures = ExecutionStats(mae=Decimal("0.0005"), mfe=Decimal("0.0020"), pip_size=Decimal("0.0001"), currency="USD")
    order = apply(order, Closed(Decimal("1.0850"), CloseReason.STOP_LOSS, figures=figures), seconds_after_noon(9))
    assert (order.pnl, order.pnl_currency, order.close_price) == (Decimal("-0.0010"), "USD", Decimal("1.0850"))
    assert (order.pips, order.r_multiple) == (Decimal("-3.3"), Decimal("-0.3333"))
    assert (order.mae, order.mfe) == (figures.mae, figures.mfe)


def test_fill_time_is_clamped_to_report_time() -> None:
    order = apply(make_order(), Executed(Decimal("1.0860"), "b", seconds_after_noon(60)), seconds_after_noon(5))
    assert order.filled_at == seconds_after_noon(5)
    assert apply(
        make_order(), Executed(Decimal("1.0860"), "b", seconds_after_noon(3)), seconds_after_noon(5)
    ).filled_at == seconds_after_noon(3)


@given(st.decimals("0.00000001", "100000", places=8), st.integers(1, 40))
def test_split_quantity_adds_up_exactly(quantity: Decimal, count: int) -> None:
    parts = split_quantity(quantity, count)
    assert sum(parts) == quantity
    assert len(set(parts[:-1])) <= 1
    assert all(0 < part <= parts[-1] for part in parts)


def test_split_quantity_has_no_trailing_zeros() -> None:
    assert [str(part) for part in split_quantity(Decimal(1), 3)] == ["0.3333", "0.3333", "0.3334"]
    assert [str(part) for part in split_quantity(Decimal("0.01"), 2)] == ["0.005", "0.005"]
    assert [str(part) for part in split_quantity(Decimal(300), 3)] == ["100", "100", "100"]


def test_r_multiple_is_none_without_risk() -> None:
    assert _closed("1.0890", stop_loss=Decimal("1.0860")).r_multiple is None


@given(prices, prices, prices)
def test_pnl_is_exact_decimal_arithmetic(fill: Decimal, close: Decimal, quantity: Decimal) -> None:
    order = make_order(terms=replace(EURUSD_LIMIT_BUY, quantity=quantity))
    filled = apply(order, Executed(fill, "b"), NOON.astimezone(UTC))
    assert apply(filled, Closed(close, CloseReason.TIME), datetime.now(UTC)).pnl == (close - fill) * quantity
