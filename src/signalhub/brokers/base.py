"""What SignalHub asks of a broker.

Two questions: when does this order next need you, and what happens to it now. Everything else - the log, the retry
schedule, the fences against doing a step twice - is the lifecycle's business, so that a broker can stay small.
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
        """The instant `order` next needs `step`; None when nothing more will happen by itself. Pure."""

    async def step(self, order: Order, now: datetime) -> Report:
        """What happens to `order`, due at `now`; None when nothing yet. Raises BrokerError. May use the network."""

    async def close(self, order: Order, now: datetime) -> Move:
        """Close an executed order at market. Raises BrokerError."""
