"""The text options of a broker: what a broker found by entry point is made with, in place of typed settings."""

from collections.abc import Mapping
from typing import Final

from signalhub.settings import ENV_PREFIX, BrokerSettings, from_env

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
    """Return the options that `docs/adding-a-broker.md` promises."""
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
