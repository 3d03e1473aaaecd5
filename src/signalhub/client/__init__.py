"""Client for Python programs: send signals, list orders, follow the event log.

    async with Client("http://127.0.0.1:8000", "shk_…") as client:
        await client.send("BUY EURUSD @ 1.0860 SL 1.0850 TP 1.0890", idempotency_key="alert-17")
        async for item in client.events(after=0, types=["order.*"]):
            match item:
                case Event(): ...   # exactly once, in order; the client reconnects and resumes by itself
                case Reset(): ...   # the log was replaced: load the orders again
                case Gap(): ...     # these events are no longer kept

A loop that is left early is closed with `contextlib.aclosing`, as any async generator.
"""

from signalhub.client.client import Client
from signalhub.client.connections import Item
from signalhub.client.errors import ClientError, Refused, Unreachable
from signalhub.protocol import Accepted, Event, Gap, Reset

__all__ = ["Accepted", "Client", "ClientError", "Event", "Gap", "Item", "Refused", "Reset", "Unreachable"]
