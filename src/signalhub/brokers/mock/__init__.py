"""The mock broker: fills and closes orders on a seeded price path."""

from signalhub.brokers.mock.broker import MockBroker

__all__ = ["MockBroker"]
