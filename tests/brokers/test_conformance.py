"""The brokers of this project conform to the interface, and the checks detect a broker that does not."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from msgspec.structs import replace

from signalhub.brokers import conformance
from signalhub.brokers.conformance import CHECKS, Breach, Check, run_step
from signalhub.brokers.mock.broker import MockBroker
from signalhub.brokers.mock.profiles import build_profiles
from signalhub.brokers.stepper import StepFailure
from signalhub.domain.forced_outcomes import from_stored_text
from signalhub.domain.order import OPEN, Executed, Move, Order, Status
from signalhub.settings import BrokerSettings

SIMULATIONS = ("reject=no_money", "fail=3", "fill_after=2s close_after=3s", "outcome=take_profit", "outcome=stop_loss")


def _mock() -> MockBroker:
    return MockBroker({})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("profile", build_profiles(BrokerSettings()))
async def test_mock_broker_conforms_in_every_profile(profile: str, check: Check) -> None:
    await check(_mock, conformance.orders(profile))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_mock_broker_conforms_with_forced_outcomes(check: Check) -> None:
    samples = conformance.orders("demo")
    await check(
        _mock,
        [replace(order, simulation=from_stored_text(text)) for order, text in zip(samples, SIMULATIONS, strict=False)],
    )


class FaultyBroker(MockBroker):
    """Conform except for one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__({})
        self._fault = fault
        self._counter = count()

    def next_due(self, order: Order) -> datetime | None:
        due = super().next_due(order)
        match self._fault:
            case "changes its mind":
                return due and due + next(self._counter) * timedelta(milliseconds=1)
            case "is naive":
                return due and due.replace(tzinfo=None)
            case "forgets the schedule":
                return super().next_due(replace(order, next_attempt_at=None))
            case "never rests":
                return due or order.updated_at
        return due

    async def step(self, order: Order, now: datetime) -> Move | None:
        if self._fault == "sits still":
            return None
        if self._fault == "is early" and order.status is Status.PENDING:
            return Executed(Decimal(1), "b")
        move = await super().step(order, now) if order.status in OPEN else None
        if isinstance(move, Executed):
            match self._fault:
                case "gives things away":
                    return replace(move, price=Decimal(0))
                case "has a float":
                    return replace(move, price=1.5)
                case "is fickle":
                    return replace(move, price=move.price + next(self._counter))
        return move


@pytest.mark.parametrize(
    "fault",
    [
        "changes its mind", "is naive", "forgets the schedule", "never rests", "sits still", "is early",
        "gives things away", "has a float", "is fickle",
    ],
)  # fmt: skip
async def test_conformance_detects_faulty_brokers(fault: str) -> None:
    faulty = FaultyBroker(fault)

    async def run_all() -> None:
        for check in CHECKS:
            await check(lambda: faulty, conformance.orders("instant"))

    with pytest.raises(Breach):
        await run_all()


async def test_broker_rejection_is_a_valid_report() -> None:
    order = replace(conformance.orders("instant")[0], simulation=from_stored_text("reject=no_money"))
    assert await run_step(_mock(), order, order.created_at) == StepFailure("no_money", permanent=True)
