"""The interface of a broker.

It answers when an order next needs it, and what happens to the order now. The event log, the retry schedule and the
fence against a repeated step belong to the lifecycle, so a broker has no state of its own.
"""

from datetime import datetime
from typing import Protocol

from signalhub.domain.order import Move, Order


class BrokerError(Exception):
    """The broker could not do it. `permanent` decides: refuse the order, or try again on the stored schedule."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason, self.permanent = reason, permanent


Report = Move | tuple[Move, ...] | None
"""One move, several in the order in which they became true, or none. What the order has done already does no harm."""


class Broker(Protocol):
    """A broker may be asked about the same order and version twice, and must then answer the same."""

    def next_due(self, order: Order) -> datetime | None:
        """Return the instant `order` next needs `step`; None when nothing more will happen by itself. Pure."""

    async def step(self, order: Order, now: datetime) -> Report:
        """Return what happens to `order` at `now`; None for nothing yet. Raises BrokerError. May use the network."""

    async def close(self, order: Order, now: datetime) -> Move:
        """Close an executed order at market. Raises BrokerError."""
