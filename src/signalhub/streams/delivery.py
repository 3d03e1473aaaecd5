"""From a cursor to a transport: at once where it can be, by the stream's own task where that has to wait."""

from collections.abc import Callable, Sequence

from signalhub.streams.audience import AsgiSend, Connection
from signalhub.streams.channel import EventEncoder, OutgoingMessage


class ConnectionWriter:
    """`send` is the transport's, `dress` makes of events what it sends; `told` is the place the reader knows of."""

    def __init__(self, connection: Connection, send: AsgiSend, encode: EventEncoder) -> None:
        self._connection, self._send, self._encode = connection, send, encode
        self.subscription = connection.subscription
        self.sent_seq = self.subscription.seq
        self.subscription.try_deliver = self._try_deliver

    async def run(self, heartbeat_s: float, build_heartbeat: Callable[[], OutgoingMessage] | None) -> None:
        """Until the subscription ends. `heartbeat` is what to say after so much silence, if anything."""
        while self.subscription.end_reason is None:
            found = await self.subscription.read(heartbeat_s)
            if found:
                await self.write(self._encode(found, self.subscription.epoch))
            elif build_heartbeat is not None and self.subscription.end_reason is None:
                await self.write([build_heartbeat()])

    async def write(self, messages: Sequence[OutgoingMessage]) -> None:
        await self._connection.send(self._send, messages)
        self.sent_seq = self.subscription.seq

    def _try_deliver(self) -> bool:
        """Pass on all that is new without waiting for anything. False: that cannot be, and nothing was passed on."""
        if not self._connection.is_writable:
            return False
        parcels = self.subscription.encode_available(self._encode)
        if parcels is None:
            return False
        if parcels:
            self._connection.start_write(self._send, parcels)
            self.sent_seq = self.subscription.seq
        return True
