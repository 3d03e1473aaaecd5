"""Decimal arithmetic that never rounds what a signal may hold.

Python's own context keeps 28 digits. A price and a quantity may have as many each, so their product, or a part of a
split quantity, would be rounded in it, and `quantize` would raise.
"""

from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from functools import wraps
from typing import Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MAX_VALUE: Final = Decimal(10) ** 12
"""The largest price and the largest quantity of a signal."""

EXACT: Final = Context(prec=100)
"""A gain has up to 31 digits (13 before the point), a part of a quantity 34, and the sum of twenty such products 67; a
commission multiplies by the digits of its rate, too."""


def use_exact_decimals(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function whose arithmetic runs in the context EXACT."""

    @wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return run
