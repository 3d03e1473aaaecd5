"""The table of legal moves is the specification: nothing outside it happens, and each move counts one version."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from signalhub.domain.order import (
    OPEN,
    TRANSITIONS,
    Cancelled,
    Closed,
    CloseReason,
    Executed,
    Expired,
    IllegalTransition,
    Move,
    Order,
    Rejected,
    Retried,
    Status,
    apply,
)
from signalhub.domain.signal import Side
from tests.kit.orders import NOON, TERMS, an_order, later

prices = st.decimals("0.0001", "99999", places=4)
moves: st.SearchStrategy[Move] = st.one_of(
    st.builds(Retried, st.text(max_size=9), st.just(later(9))),
    st.builds(Executed, prices, st.just("b-1")),
    st.builds(Closed, prices, st.sampled_from(CloseReason)),
    st.builds(Rejected, st.text(max_size=9)),
    st.builds(Cancelled),
    st.builds(Expired),
)
LEADS_TO = {
    Executed: Status.EXECUTED, Closed: Status.CLOSED, Rejected: Status.REJECTED, Cancelled: Status.CANCELLED,
    Expired: Status.EXPIRED,
}  # fmt: skip


class Life(RuleBasedStateMachine):
    """Any moves in any order: the legal ones happen, the others change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.order, self.at, self.legal = an_order(), NOON, 0

    @rule(move=moves, seconds=st.integers(0, 1000))
    def try_to_move(self, move: Move, seconds: int) -> None:
        before, self.at = self.order, self.at + timedelta(seconds=seconds)
        target = LEADS_TO.get(type(move), before.status)
        if (before.status, target) not in TRANSITIONS:
            with pytest.raises(IllegalTransition):
                apply(before, move, self.at)
            return
        self.order = apply(before, move, self.at)
        self.legal += 1
        assert self.order.status is target
        assert self.order.updated_at == self.at
        assert before.version == self.order.version - 1

    @invariant()
    def every_legal_move_is_one_version(self) -> None:
        assert self.order.version == 1 + self.legal

    @invariant()
    def only_a_filled_order_has_a_fill_and_only_a_closed_one_a_result(self) -> None:
        is_filled = self.order.status in {Status.EXECUTED, Status.CLOSED}
        assert (self.order.fill_price is not None) is is_filled
        assert (self.order.pnl is not None) is (self.order.status is Status.CLOSED)

    @invariant()
    def what_was_agreed_never_changes(self) -> None:
        assert self.order.terms is TERMS
        assert self.order.created_at == NOON

    @invariant()
    def only_a_retry_waits(self) -> None:
        if self.order.status not in OPEN:
            assert self.order.next_attempt_at is None


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestLife = Life.TestCase


def test_the_table_is_the_one_that_traders_know() -> None:
    pending, executed = "pending", "executed"
    assert {(str(one), str(other)) for one, other in TRANSITIONS} == {
        (pending, pending), (pending, executed), (pending, "rejected"), (pending, "cancelled"), (pending, "expired"),
        (executed, executed), (executed, "closed"),
    }  # fmt: skip


@pytest.mark.parametrize("end", [Status.CLOSED, Status.REJECTED, Status.CANCELLED, Status.EXPIRED])
@pytest.mark.parametrize(
    "move", [Retried("x", NOON), Executed(Decimal(1), "b"), Closed(Decimal(1), CloseReason.TIME), Rejected("x"),
             Cancelled(), Expired()]
)  # fmt: skip
def test_an_end_is_an_end(end: Status, move: Move) -> None:
    with pytest.raises(IllegalTransition) as caught:
        apply(an_order(status=end), move, NOON)
    assert str(end) in str(caught.value)


def _closed(price: str, **terms: Any) -> Order:  # noqa: ANN401 - fields of a signal
    order = an_order(terms=replace(TERMS, **terms))
    filled = apply(order, Executed(Decimal("1.0860"), "b"), later(5))
    return apply(filled, Closed(Decimal(price), CloseReason.TIME), later(15))


def test_a_buy_earns_what_the_price_rises() -> None:
    order = _closed("1.0890")
    assert (order.pnl, order.r_multiple) == (Decimal("0.0030"), Decimal("3.0000"))
    assert (order.filled_at, order.closed_at) == (later(5), later(15))


def test_a_sell_earns_what_the_price_falls() -> None:
    order = _closed("1.0870", side=Side.SELL, stop_loss=Decimal("1.0880"), quantity=Decimal("0.5"))
    assert (order.pnl, order.r_multiple) == (Decimal("-0.00050"), Decimal("-0.5000"))


def test_without_risk_there_is_no_ratio() -> None:
    assert _closed("1.0890", stop_loss=Decimal("1.0860")).r_multiple is None


@given(prices, prices, prices)
def test_the_result_is_exact_decimal_arithmetic(fill: Decimal, close: Decimal, quantity: Decimal) -> None:
    order = an_order(terms=replace(TERMS, quantity=quantity))
    filled = apply(order, Executed(fill, "b"), NOON.astimezone(UTC))
    assert apply(filled, Closed(close, CloseReason.TIME), datetime.now(UTC)).pnl == (close - fill) * quantity
