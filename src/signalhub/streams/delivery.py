"""From a cursor to a transport: at once where it can be, by the stream's own task where that has to wait."""

from collections.abc import Callable, Sequence

from signalhub.streams.audience import Outlet, Send
from signalhub.streams.channel import Dress, Parcel


class Delivery:
    """`send` is the transport's, `dress` makes of events what it sends; `told` is the place the reader knows of."""

    def __init__(self, outlet: Outlet, send: Send, dress: Dress) -> None:
        self._outlet, self._send, self._dress = outlet, send, dress
        self.subscription = outlet.subscription
        self.told = self.subscription.seq
        self.subscription.take = self._take

    async def run(self, heartbeat_s: float, heartbeat: Callable[[], Parcel] | None) -> None:
        """Until the subscription ends. `heartbeat` is what to say after so much silence, if anything."""
        while self.subscription.ended is None:
            found = await self.subscription.next(heartbeat_s)
            if found:
                await self.write(self._dress(found, self.subscription.epoch))
            elif heartbeat is not None and self.subscription.ended is None:
                await self.write([heartbeat()])

    async def write(self, parcels: Sequence[Parcel]) -> None:
        await self._outlet.send(self._send, parcels)
        self.told = self.subscription.seq

    def _take(self) -> bool:
        """Pass on all that is new without waiting for anything. False: that cannot be, and nothing was passed on."""
        if not self._outlet.is_free:
            return False
        parcels = self.subscription.at_hand(self._dress)
        if parcels is None:
            return False
        if parcels:
            self._outlet.begin(self._send, parcels)
            self.told = self.subscription.seq
        return True
