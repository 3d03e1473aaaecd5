"""The interface of a broker, and the text options that one found by entry point is made with.

It answers when an order next needs it, and what happens to the order now. The event log, the retry schedule and the
fence against a repeated step belong to the lifecycle, so a broker has no state of its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from signalhub.domain.order import Move, Order
from signalhub.settings import ENV_PREFIX, BrokerSettings, from_env


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


_OPTION_NAMES: Final = (
    "seed",
    "demo_fill_s",
    "demo_close_s",
    "market_close_s",
    "market_speed",
    "market_latency",
    "slippage_bp",
    "commission_bp",
    "commission_per_unit",
)


def to_options(settings: BrokerSettings) -> dict[str, str]:
    """Return the options that `docs/adding-a-broker.md` promises, in place of the typed settings."""
    return {name: str(getattr(settings, name)) for name in _OPTION_NAMES}


def from_options(options: Mapping[str, str]) -> BrokerSettings:
    """Read options as their environment variables would be read; others are ignored. Raises SettingsError."""
    variables = {"seed": "BROKER_SEED"}
    return from_env(
        {
            ENV_PREFIX + variables.get(name, name.upper()): text
            for name, text in options.items()
            if name in _OPTION_NAMES
        }
    ).broker
