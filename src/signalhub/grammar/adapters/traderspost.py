"""TradersPost alerts: levels are objects, `{"takeProfit": {"limitPrice": 55.00}, "stopLoss": {"stopPrice": 48.00}}`.

`price` is what the symbol cost when the alert fired. It is kept as the reference of a market order, never as a limit.
"""

from typing import Final

from signalhub.domain.signal import OrderType
from signalhub.grammar.adapter import Format
from signalhub.grammar.adapters.json import JsonReader
from signalhub.grammar.body import Body
from signalhub.grammar.draft import ParsedFields, Spanned
from signalhub.grammar.numbers import Number
from signalhub.grammar.tree import JsonNode

_ABSOLUTE_PRICE_KEYS: Final = frozenset({"limitPrice", "stopPrice", "price"})
_ALERT_PRICE_KEYS: Final = frozenset({"price", "signalprice"})
_DISTANCE_KEYS: Final = frozenset({"percent", "amount", "trailPercent", "trailPrice", "trailAmount", "rel"})


class _TradersPostReader(JsonReader):
    def read(self) -> ParsedFields:
        draft = super().read()
        if draft.entries and not draft.order_types and self.entry_nodes.keys() <= _ALERT_PRICE_KEYS:
            draft.order_types.append(Spanned(OrderType.MARKET, self.tree.start, self.tree.start))
        return draft

    def read_nested_prices(self, node: JsonNode) -> list[Number]:
        found = [
            number for key, member in node.members if key in _ABSOLUTE_PRICE_KEYS for number in self.read_prices(member)
        ]
        for key, member in node.members:
            if key in _DISTANCE_KEYS:
                self.reject_relative_price(member)
        return found


def _is_traderspost(body: Body) -> bool:
    if body.json is None:
        return False
    members = dict(body.json.members)
    return any(key in members and members[key].kind == "object" for key in ("takeProfit", "stopLoss"))


def _parse_traderspost(body: Body) -> ParsedFields:
    return _TradersPostReader(body, body.json or JsonNode("object", 0, 0)).read()


TRADERSPOST = Format("traderspost", _is_traderspost, _parse_traderspost)
