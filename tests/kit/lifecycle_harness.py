"""Ingest and a worker's lifecycle with a scripted broker, on the database of a running app."""

from typing import Any

from signalhub.brokers.base import Broker
from signalhub.domain.events import Event
from signalhub.domain.retry import RetryPolicy
from signalhub.services.ingest import Ingest
from signalhub.services.lifecycle import Lifecycle
from signalhub.services.order_commands import OrderCommands
from signalhub.services.signal_records import OrderDefaults
from tests.kit import signal_texts
from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.running_app import RunningApp
from tests.kit.scripted_broker import ScriptedBroker, ScriptedOutcome
from tests.kit.submission_factory import make_submission


class LifecycleHarness:
    """`broker` replaces the scripted one."""

    def __init__(
        self,
        app: RunningApp,
        account: AccountClient,
        script: tuple[ScriptedOutcome, ...] = (),
        *,
        broker: Broker | None = None,
        lease_s: float = 0.5,
    ) -> None:
        self.account, self.scripted_broker = account, ScriptedBroker(*script)
        engine, used_broker = app.services.engine, broker or self.scripted_broker
        self.ingest = Ingest(engine, used_broker, lambda *_: None, order_defaults=OrderDefaults("instant"))
        self.commands = OrderCommands(engine, used_broker, lambda *_: None)
        self.lifecycle = Lifecycle(engine, used_broker, RetryPolicy(3, 0.02, 0.04), lease_s=lease_s)

    async def accept(self, text: str = signal_texts.BUY) -> str:
        return (await self.ingest.accept(make_submission(self.account.id, text))).order_id

    async def advance(self, *order_ids: str) -> list[Event]:
        """Return the events of the next step, after waiting until one is due."""

        async def step() -> list[Event] | None:
            return await self.lifecycle.advance(order_ids)

        return await wait_until(step) or []

    async def run(self) -> tuple[list[str], Any]:
        """Accept a signal and advance its order to its end. Return the types of its events, and the order."""
        return await self.end(await self.accept())

    async def end(self, order_id: str) -> tuple[list[str], Any]:
        """Advance an order to its end. Return the types of its events, and the order."""
        for _ in range(20):
            order = await self.account.get_order(order_id)
            if order["status"] not in {"pending", "executed"}:
                break
            await self.advance(order_id)
        events = await self.account.get(f"/api/v1/orders/{order_id}/events")
        return [event["type"] for event in events["items"]], order
