"""TradersPost alerts: levels are objects, `{"takeProfit": {"limitPrice": 55.00}, "stopLoss": {"stopPrice": 48.00}}`.

`price` is what the symbol cost when the alert fired. It is kept as the reference of a market order, never as a limit.
"""

from typing import Final

from signalhub.domain.signal import OrderType
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.adapters.json import Reader
from signalhub.grammar.body import Body
from signalhub.grammar.draft import Draft, Found
from signalhub.grammar.numbers import Number
from signalhub.grammar.tree import Node

_ABSOLUTE: Final = frozenset({"limitPrice", "stopPrice", "price"})
_QUOTES: Final = frozenset({"price", "signalprice"})
_DISTANCES: Final = frozenset({"percent", "amount", "trailPercent", "trailPrice", "trailAmount", "rel"})


class _Reader(Reader):
    def read(self) -> Draft:
        draft = super().read()
        if draft.entries and not draft.order_types and self.entries.keys() <= _QUOTES:
            draft.order_types.append(Found(OrderType.MARKET, self.tree.start, self.tree.start))
        return draft

    def nested(self, node: Node) -> list[Number]:
        found = [number for key, member in node.members if key in _ABSOLUTE for number in self.prices(member)]
        for key, member in node.members:
            if key in _DISTANCES:
                self.relative(member)
        return found


def _claims(body: Body) -> bool:
    if body.tree is None:
        return False
    members = dict(body.tree.members)
    return any(key in members and members[key].kind == "object" for key in ("takeProfit", "stopLoss"))


def _read(body: Body) -> Draft:
    return _Reader(body, body.tree or Node("object", 0, 0)).read()


ADAPTER = Adapter("traderspost", _claims, _read)
