"""What every broker must keep to, as checks that any implementation runs in its own tests.

    @pytest.mark.parametrize("check", conformance.CHECKS)
    async def test_my_broker_conforms(check):
        await check(lambda: MyBroker({}), conformance.orders("demo"))

Each check makes brokers of its own and leads sample orders through their lives on a virtual clock; it raises Breach
with a sentence. A broker that asks a network is to be made with its test account, or with an answering fake.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from signalhub.brokers.base import Broker, BrokerError
from signalhub.brokers.lives import MOST_STEPS, SECOND, Moment, answer, end_of, life, orders
from signalhub.domain.order import OPEN, Closed, CloseReason, IllegalTransition, Order, Status, apply

__all__ = ["CHECKS", "Breach", "Check", "orders"]

Make = Callable[[], Broker]
Check = Callable[[Make, Sequence[Order]], Awaitable[None]]

_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Breach(AssertionError):  # noqa: N818 - it names what happened
    """A promise of the broker interface that was not kept."""


async def next_due_is_pure(make: Make, samples: Sequence[Order]) -> None:
    """The web process asks, a worker asks, and a worker of tomorrow asks: all must hear the same aware instant."""
    one, other = make(), make()
    for order in samples:
        for moment in await _life(one, order):
            due = one.next_due(moment.order)
            _need(due is None or due.tzinfo is not None, f"next_due gives a naive time: {due}")
            _need(due == one.next_due(moment.order) == other.next_due(moment.order), "next_due answers differently")


async def the_same_question_gets_the_same_answer(make: Make, samples: Sequence[Order]) -> None:
    """A worker dies between the answer and the commit; the next one asks again."""
    one, other = make(), make()
    for order in samples:
        for moment in await _life(one, order):
            again = await answer(other, moment.order, moment.now)
            _need(again == moment.said, f"at {moment.order.status}: {moment.said}, and asked again {again}")


async def what_is_due_moves(make: Make, samples: Sequence[Order]) -> None:
    """An order that is due and stays as it was is due for ever, and a worker spins on it."""
    for order in samples:
        for moment in await _life(make(), order):
            _need(moment.said is not None, f"{moment.order.status} was due at {moment.now} and nothing happened")


async def nothing_happens_before_its_time(make: Make, samples: Sequence[Order]) -> None:
    broker = make()
    for order in samples:
        for moment in await _life(broker, order):
            early = moment.due - SECOND
            said = await answer(broker, moment.order, early)
            _need(said is None, f"{moment.order.status}, due at {moment.due}, did {said} at {early}")


async def moves_are_legal(make: Make, samples: Sequence[Order]) -> None:
    """As the order table has them; `_life` finds what is not."""
    for order in samples:
        for moment in await _life(make(), order):
            _need(moment.after.version > moment.order.version, f"{moment.said} left the order as it was")


async def a_life_comes_to_an_end(make: Make, samples: Sequence[Order]) -> None:
    """Or to a rest: an order may wait for a price that never comes, but then it says so by having no due."""
    broker = make()
    for order in samples:
        last = end_of(order, await _life(broker, order))
        _need(broker.next_due(last) is None, f"still {last.status} after {MOST_STEPS} steps")


async def what_has_ended_stays_so(make: Make, samples: Sequence[Order]) -> None:
    broker = make()
    for order in samples:
        last = end_of(order, await _life(broker, order))
        for status in set(Status) - OPEN:
            ended = replace(last, status=status, next_attempt_at=None)
            _need(broker.next_due(ended) is None, f"an order that is {status} has a due")
            said = await answer(broker, ended, last.updated_at + SECOND)
            _need(said is None, f"an order that is {status} did {said}")


async def time_goes_one_way(make: Make, samples: Sequence[Order]) -> None:
    for order in samples:
        for before, after in pairwise(moment.due for moment in await _life(make(), order)):
            _need(before <= after, f"was due at {before} and then at {after}")


async def a_failed_attempt_waits_for_the_stored_schedule(make: Make, samples: Sequence[Order]) -> None:
    broker = make()
    for order in samples:
        for moment in await _life(broker, order):
            at = moment.now + 60 * SECOND
            due = broker.next_due(replace(moment.order, attempts=1, next_attempt_at=at))
            _need(due is not None and due >= at, f"a failed attempt is due at {due}, and was put off to {at}")


async def failures_have_a_reason(make: Make, samples: Sequence[Order]) -> None:
    """A reason is one word that clients can look at, such as `insufficient_margin`: sentences go to the log."""
    for order in samples:
        for moment in await _life(make(), order):
            if moment.failure is not None:
                _need(_REASON.fullmatch(moment.failure.reason) is not None, f"a reason is {moment.failure.reason!r}")


async def prices_are_decimals(make: Make, samples: Sequence[Order]) -> None:
    for order in samples:
        for moment in await _life(make(), order):
            for price in moment.prices:
                is_price = isinstance(price, Decimal) and price.is_finite() and price > 0
                _need(is_price, f"{price!r} is no price that could be paid")


async def a_position_can_be_closed_by_hand(make: Make, samples: Sequence[Order]) -> None:
    """Not at the first attempt, maybe: a BrokerError is an answer too."""
    broker = make()
    for order in samples:
        held = [moment.after for moment in await _life(broker, order) if moment.after.status is Status.EXECUTED]
        for position in held[:1]:
            _need(await _is_closed(broker, position), f"could not be closed by hand in {MOST_STEPS} seconds")


async def _life(broker: Broker, order: Order) -> list[Moment]:
    try:
        return await life(broker, order)
    except (IllegalTransition, TypeError) as error:
        raise Breach(f"{order.terms.order_type}: {error!r}") from error


async def _is_closed(broker: Broker, position: Order) -> bool:
    for second in range(1, MOST_STEPS):
        now = position.updated_at + second * SECOND
        try:
            move = await broker.close(position, now)
        except BrokerError:
            continue
        _need(isinstance(move, Closed) and move.reason is CloseReason.MANUAL, f"close did {move}")
        return apply(position, move, now).status is Status.CLOSED
    return False


def _need(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion's form
    if not is_so:
        raise Breach(otherwise)


CHECKS: Final[tuple[Check, ...]] = (
    next_due_is_pure,
    the_same_question_gets_the_same_answer,
    what_is_due_moves,
    nothing_happens_before_its_time,
    moves_are_legal,
    a_life_comes_to_an_end,
    what_has_ended_stays_so,
    time_goes_one_way,
    a_failed_attempt_waits_for_the_stored_schedule,
    failures_have_a_reason,
    prices_are_decimals,
    a_position_can_be_closed_by_hand,
)
