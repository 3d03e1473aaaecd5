"""Create the broker that the settings name, with the chaos they ask for around it.

Web and worker processes both do this: they must agree on when an order is due.
"""

import asyncio
from importlib.metadata import entry_points

from signalhub.brokers.base import Broker, to_options
from signalhub.brokers.chaos import CALM_PROFILE, ChaosBroker, Sleep, get_chaos_profile
from signalhub.brokers.mock.broker import MockBroker
from signalhub.settings import BrokerSettings, Settings


def create_broker(settings: Settings, *, sleep: Sleep = asyncio.sleep) -> Broker:
    """Create the broker; a chaotic one hangs by `sleep`.

    Raises LookupError or ValueError, with a sentence, for an unknown broker or an invalid chaos profile.
    """
    broker = load_broker(settings.broker)
    chaos = get_chaos_profile(settings.broker.chaos, settings.broker.chaos_profiles)
    return broker if chaos == CALM_PROFILE else ChaosBroker(broker, chaos, settings.broker.seed, sleep=sleep)


def load_broker(settings: BrokerSettings) -> Broker:
    """Create the broker registered under `settings.name` in the entry-point group `signalhub.brokers`.

    The mock takes the settings as they are, any other broker the text options of the documented interface. Raises
    LookupError.
    """
    registered = {point.name: point for point in entry_points(group="signalhub.brokers")}
    if settings.name not in registered:
        raise LookupError(
            f"No broker named {settings.name!r} is installed; there are: {', '.join(sorted(registered))}."
        )
    broker_class = registered[settings.name].load()
    broker: Broker = broker_class(settings if broker_class is MockBroker else to_options(settings))
    return broker
