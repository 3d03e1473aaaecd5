"""JSON alerts, as TradingView users write them: no common schema, so a table of the keys they choose.

Keys are compared without case, `_` and `-`. Numbers keep the digits they are written with.


TradersPost alerts: levels are objects, `{"takeProfit": {"limitPrice": 55.00}, "stopLoss": {"stopPrice": 48.00}}`.

`price` is what the symbol cost when the alert fired. It is kept as the reference of a market order, never as a limit.
"""

import re
from collections.abc import Callable
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.body import Body
from signalhub.grammar.formats.base import Format
from signalhub.grammar.json_tree import JsonNode
from signalhub.grammar.numbers import Number, interpret_number, parse_exact
from signalhub.grammar.parsed_fields import EntryRange, ParsedFields, Spanned
from signalhub.grammar.source_text import CONTROL_CHARS, clean_text

FIELD_BY_KEY: Final[dict[str, str]] = {
    key: field
    for field, keys in {
        "side": "action side signal direction",
        "symbol": "symbol ticker asset instrument pair",
        "order_type": "ordertype type",
        # In this order: the first one given is the entry.
        "entry": "entry entryprice limitprice price signalprice",
        "stop_loss": "sl stoploss slprice stoplossprice",
        "take_profit": "tp takeprofit tpprice takeprofitprice takeprofits targets",
        "quantity": "quantity qty lots lot",
        "client_id": "id clientid",
        "simulate": "sim simulate",
    }.items()
    for key in keys.split()
}
_ENTRY_KEYS: Final = ("entry", "entryprice", "limitprice", "price", "signalprice")
_NUMBERED_TAKE_PROFIT_KEY: Final = re.compile(r"(?:tp|takeprofit|target)[0-9]{1,2}(?:price)?", re.ASCII)
_RELATIVE_PRICE_KEY: Final = re.compile(
    r"(?:sl|tp|stoploss|takeprofit|entry)[0-9]*(?:pips|percent|pct|points|ticks|amount|offset|distance|rr)", re.ASCII
)
_SIDES: Final = {"buy": Side.BUY, "long": Side.BUY, "sell": Side.SELL, "short": Side.SELL}
_ORDER_TYPES: Final = {"limit": OrderType.LIMIT, "stop": OrderType.STOP, "market": OrderType.MARKET}
_MANAGEMENT_ACTIONS: Final = frozenset(
    {"close", "exit", "cancel", "flat", "closelong", "closeshort", "closeall", "modify"}
)


def _normalize_key(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")


class JsonReader:
    """Members of one object on their way into a draft. A dialect overrides what it says differently."""

    def __init__(self, body: Body, tree: JsonNode) -> None:
        self.fields = ParsedFields(body.source)
        self.tree = tree
        self.entry_nodes: dict[str, JsonNode] = {}

    def read(self) -> ParsedFields:
        for key, node in self.tree.members:
            if node.kind == "literal" and node.text == "null":
                continue
            self._read_member(key, _normalize_key(key), node)
        self._read_entry()
        self._reject_non_signal()
        return self.fields

    def _read_member(self, key: str, normalized_key: str, node: JsonNode) -> None:
        field = (
            "take_profit" if _NUMBERED_TAKE_PROFIT_KEY.fullmatch(normalized_key) else FIELD_BY_KEY.get(normalized_key)
        )
        if field == "entry":
            self.entry_nodes[normalized_key] = node
        elif field is not None:
            _FIELD_READERS[field](self, node)
        elif _RELATIVE_PRICE_KEY.fullmatch(normalized_key):
            self.reject_relative_price(node)
        else:
            reason = f'"{key}" is no field of a signal.'
            self.fields.ignored.append(Spanned(reason, node.key_span[0], node.end))

    def _read_text(self, node: JsonNode) -> str | None:
        """The text of a field that must be one."""
        if node.kind == "string" and not CONTROL_CHARS.search(node.text):
            return clean_text(node.text).strip()
        code: GrammarErrorCode = "control_char" if node.kind == "string" else "unsupported_json"
        self.fields.add_problem(code, "Write this as a plain text.", node.start, node.end)
        return None

    def read_side(self, node: JsonNode) -> None:
        text = (self._read_text(node) or "").lower()
        if text in _SIDES:
            self.fields.sides.append(Spanned(_SIDES[text], node.start, node.end))
        elif text in _MANAGEMENT_ACTIONS:
            hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
            self.fields.reject("management", hint, node.start, node.end)
        elif text:
            self.fields.ignored.append(Spanned("This is neither buy nor sell.", node.start, node.end))

    def read_symbol(self, node: JsonNode) -> None:
        text = self._read_text(node)
        name = symbols.parse_symbol(text, node.start + 1) if text else None
        if name is not None:
            self.fields.symbols.append(name)
        elif text is not None:
            hint = "Write the symbol in letters and digits only, like EURUSD."
            self.fields.add_problem("no_symbol", hint, node.start, node.end)

    def read_order_type(self, node: JsonNode) -> None:
        text = (self._read_text(node) or "").lower()
        if text in _ORDER_TYPES:
            self.fields.order_types.append(Spanned(_ORDER_TYPES[text], node.start, node.end))
        elif text in _SIDES:
            self.read_side(node)
        elif text:
            self.fields.add_problem("unsupported_json", "Write limit, stop or market.", node.start, node.end)

    def read_stop_loss(self, node: JsonNode) -> None:
        self.fields.stop_losses += self.read_prices(node)

    def read_take_profit(self, node: JsonNode) -> None:
        self.fields.take_profits += self.read_prices(node)

    def _read_entry(self) -> None:
        """The first of the keys that is given; the others, such as the price at alert time, change nothing."""
        given = [self.entry_nodes[key] for key in _ENTRY_KEYS if key in self.entry_nodes]
        for node in given[1:]:
            self.fields.ignored.append(Spanned("Another field gives the entry.", node.key_span[0], node.end))
        if not given:
            return
        numbers = self.read_prices(given[0])
        if len(numbers) > 2:  # noqa: PLR2004
            self.fields.add_problem("bad_entry", "Write one entry price or two ends.", given[0].start, given[0].end)
        elif numbers:
            self.fields.entries.append(EntryRange(*numbers))

    def read_prices(self, node: JsonNode) -> list[Number]:
        if node.kind == "array":
            return [number for item in node.items for number in self.read_prices(item)]
        if node.kind == "object":
            return self.read_nested_prices(node)
        number = self._read_number(node)
        return [] if number is None else [number]

    def read_nested_prices(self, node: JsonNode) -> list[Number]:
        """A price inside an object: which key holds it is the dialect's business."""
        self.fields.add_problem("unsupported_json", "Write the price itself, like 1.0850.", node.start, node.end)
        return []

    def _read_number(self, node: JsonNode) -> Number | None:
        start = node.start + (node.kind == "string")
        text = clean_text(node.text).strip().removeprefix("$")
        value = parse_exact(text)
        number = Number(text, start, start + len(node.text), value, interpret_number(text) if value is None else ())
        if node.text.rstrip().lower().endswith(("%", "pips", "pip")):
            self.reject_relative_price(node)
        elif number.value or number.interpretations:
            return number
        else:
            hint = "Write a price as digits with a point, like 1.0850: no sign, letters or exponent."
            self.fields.add_problem("bad_price", hint, node.start, node.end)
        return None

    def reject_relative_price(self, node: JsonNode) -> None:
        hint = "Write the price itself, like 1.0850: pips and percent need a quote."
        self.fields.add_problem("relative_price", hint, node.start, node.end)

    def read_quantity(self, node: JsonNode) -> None:
        value = parse_exact(node.text.strip()) if node.kind in ("number", "string") else None
        if value:
            self.fields.quantities.append(Number(node.text.strip(), node.start, node.end, value))
        else:
            self.fields.add_problem("bad_quantity", "Write the quantity as a number above 0.", node.start, node.end)

    def read_client_id(self, node: JsonNode) -> None:
        if node.kind in ("string", "number") and node.text:
            self.fields.client_ids.append(Spanned(node.text, node.start, node.end))

    def read_simulation(self, node: JsonNode) -> None:
        text = self._read_text(node)
        if text:
            self.fields.simulations.append(Spanned(text, node.start, node.end))

    def _reject_non_signal(self) -> None:
        draft = self.fields
        if not (draft.sides or draft.symbols or draft.levels or draft.problems or draft.order_types):
            known = any(_normalize_key(key) in FIELD_BY_KEY for key, _ in self.tree.members)
            if not known:
                draft.reject("missing_signal", 'Send {"signal": "BUY EURUSD SL 1.0850 TP 1.0890"} or its fields.')


_FIELD_READERS: Final[dict[str, Callable[[JsonReader, JsonNode], None]]] = {
    "side": JsonReader.read_side,
    "symbol": JsonReader.read_symbol,
    "order_type": JsonReader.read_order_type,
    "stop_loss": JsonReader.read_stop_loss,
    "take_profit": JsonReader.read_take_profit,
    "quantity": JsonReader.read_quantity,
    "client_id": JsonReader.read_client_id,
    "simulate": JsonReader.read_simulation,
}


def _is_json(body: Body) -> bool:
    return body.json is not None


def _parse_json(body: Body) -> ParsedFields:
    return JsonReader(body, body.json or JsonNode("object", 0, 0)).read()


JSON = Format("json", _is_json, _parse_json)


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
