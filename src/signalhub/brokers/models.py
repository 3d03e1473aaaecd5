"""Deprecated: import from `signalhub.brokers.execution_costs`. Kept for brokers that import the documented name."""

from signalhub.brokers.execution_costs import Commission, Latency, SeededRandom, Slippage

__all__ = ["Commission", "Dice", "Latency", "SeededRandom", "Slippage"]

Dice = SeededRandom
