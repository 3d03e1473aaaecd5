"""The broker that the settings ask for, with as much chaos around it as they ask for.

Web and worker processes both come here: they must agree on when an order is due.
"""

import asyncio

from signalhub.brokers import base
from signalhub.brokers.base import Broker
from signalhub.brokers.chaos import CALM_PROFILE, ChaosBroker, Sleep, get_chaos_profile
from signalhub.settings import Settings


def create_broker(settings: Settings, *, sleep: Sleep = asyncio.sleep) -> Broker:
    """`sleep` is how a chaotic one hangs.

    Raises LookupError or ValueError, with a sentence, for a broker or a chaos profile that there is not.
    """
    found = base.load_broker(settings.broker, settings.broker_options)
    disturbance = get_chaos_profile(settings.chaos, settings.chaos_profiles)
    return found if disturbance == CALM_PROFILE else ChaosBroker(found, disturbance, settings.broker_seed, sleep=sleep)
