"""Names that brokers outside this project may still use work, with a warning."""

import sys
from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import pytest

from signalhub.brokers.execution_costs import SeededRandom
from signalhub.domain.order import Closed, CloseReason, ExecutionStats, Figures


def test_figures_returns_execution_stats() -> None:
    with pytest.deprecated_call(match="ExecutionStats"):
        figures = Figures(
            adverse=Decimal(1), favourable=Decimal(2), pip=Decimal("0.01"), currency="USD", commission=Decimal(3)
        )
    assert figures == ExecutionStats(
        mae=Decimal(1), mfe=Decimal(2), pip_size=Decimal("0.01"), currency="USD", commission=Decimal(3)
    )
    assert Closed(Decimal(1), CloseReason.TIME, figures=figures).figures.mae == 1


def test_models_module_keeps_former_names_and_arguments() -> None:
    sys.modules.pop("signalhub.brokers.models", None)
    with pytest.deprecated_call(match="execution_costs"):
        models = import_module("signalhub.brokers.models")
    dice, random = models.Dice(seed="s", order_id="o", attempt=1), SeededRandom("s", "o", 1)
    assert dice.throw("fill") == random.uniform("fill")
    assert 0 < models.Slippage(Decimal(5)).amount(price=Decimal(100), dice=dice) < Decimal("0.05")
    assert models.Commission(per_unit=Decimal(2)).amount(Decimal(1), Decimal(3)) == 6
    latency = models.Latency.parse("50ms..2s")
    assert latency == models.Latency(least=timedelta(milliseconds=50), most=timedelta(seconds=2))
    assert latency.least <= latency.wait(dice, purpose="arrival") <= latency.most
    assert models.Latency.parse("soon") is None
