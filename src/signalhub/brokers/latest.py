"""What was found for the order that was asked about last.

An order is asked about several times in a row - when is it due, what happens then, how did it go - and by then never
again: one answer is all that is worth keeping.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from signalhub.domain.order import Order

Result = TypeVar("Result")


class LastCallCache(Generic[Result]):
    """`find` must be pure: the same order, the same answer."""

    def __init__(self, compute: Callable[[Order], Result]) -> None:
        self._compute = compute
        self._last: tuple[Order, Result] | None = None

    def __call__(self, order: Order) -> Result:
        last = self._last
        if last is None or last[0] is not order:
            last = self._last = order, self._compute(order)
        return last[1]
