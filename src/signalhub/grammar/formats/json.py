"""JSON alerts. TradingView users share no schema, so a table lists the keys that they choose.

Keys are compared without case, `_`, `-` and blanks. Numbers keep their digits.

In TradersPost alerts levels are objects: `{"takeProfit": {"limitPrice": 55.00}, "stopLoss": {"stopPrice": 48.00}}`.
Their `price` is the market price at the time of the alert: the reference of a market order, never a limit.
"""

import re
from collections.abc import Callable
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.body import Body, Format
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

# Of TradersPost.
_ABSOLUTE_PRICE_KEYS: Final = frozenset({"limitPrice", "stopPrice", "price"})
_ALERT_PRICE_KEYS: Final = frozenset({"price", "signalprice"})
_DISTANCE_KEYS: Final = frozenset({"percent", "amount", "trailPercent", "trailPrice", "trailAmount", "rel"})


def normalize_key(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")


class JsonReader:
    """Read the members of one object into `ParsedFields`. A dialect overrides the methods in which it differs."""

    def __init__(self, body: Body, tree: JsonNode) -> None:
        self.fields = ParsedFields(body.source)
        self.tree = tree
        self.entry_nodes: dict[str, JsonNode] = {}

    def read(self) -> ParsedFields:
        for key, node in self.tree.members:
            if node.kind != "literal" or node.text != "null":  # null counts as not given
                self.read_member(key, normalize_key(key), node)
        self.read_entry()
        fields = self.fields
        has_signal = fields.sides or fields.symbols or fields.levels or fields.problems or fields.order_types
        if not has_signal and not any(normalize_key(key) in FIELD_BY_KEY for key, _ in self.tree.members):
            fields.reject("missing_signal", 'Send {"signal": "BUY EURUSD SL 1.0850 TP 1.0890"} or its fields.')
        return fields

    def read_member(self, key: str, normalized_key: str, node: JsonNode) -> None:
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

    def read_text(self, node: JsonNode) -> str | None:
        """Return the cleaned text of a string without control characters; report any other value."""
        if node.kind == "string" and not CONTROL_CHARS.search(node.text):
            return clean_text(node.text).strip()
        code: GrammarErrorCode = "control_char" if node.kind == "string" else "unsupported_json"
        self.fields.add_problem(code, "Write this as a plain text.", node.start, node.end)
        return None

    def read_side(self, node: JsonNode) -> None:
        text = (self.read_text(node) or "").lower()
        if text in _SIDES:
            self.fields.sides.append(Spanned(_SIDES[text], node.start, node.end))
        elif text in _MANAGEMENT_ACTIONS:
            hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
            self.fields.reject("management", hint, node.start, node.end)
        elif text:
            self.fields.ignored.append(Spanned("This is neither buy nor sell.", node.start, node.end))

    def read_symbol(self, node: JsonNode) -> None:
        text = self.read_text(node)
        name = symbols.parse_symbol(text, node.start + 1) if text else None
        if name is not None:
            self.fields.symbols.append(name)
        elif text is not None:
            hint = "Write the symbol in letters and digits only, like EURUSD."
            self.fields.add_problem("no_symbol", hint, node.start, node.end)

    def read_order_type(self, node: JsonNode) -> None:
        text = (self.read_text(node) or "").lower()
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

    def read_entry(self) -> None:
        """Read the entry from the first key that is given; ignore the others, such as the price at alert time."""
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
        number = self.read_number(node)
        return [] if number is None else [number]

    def read_nested_prices(self, node: JsonNode) -> list[Number]:
        """Report a price inside an object, because only a dialect defines the key that holds it."""
        self.fields.add_problem("unsupported_json", "Write the price itself, like 1.0850.", node.start, node.end)
        return []

    def read_number(self, node: JsonNode) -> Number | None:
        # In a string the digits begin after the quotation mark.
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
        text = self.read_text(node)
        if text:
            self.fields.simulations.append(Spanned(text, node.start, node.end))


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


class TradersPostReader(JsonReader):
    def read(self) -> ParsedFields:
        fields = super().read()
        # An entry from the price of the alert makes a market order, unless the sender names another type.
        if fields.entries and not fields.order_types and self.entry_nodes.keys() <= _ALERT_PRICE_KEYS:
            fields.order_types.append(Spanned(OrderType.MARKET, self.tree.start, self.tree.start))
        return fields

    def read_nested_prices(self, node: JsonNode) -> list[Number]:
        numbers: list[Number] = []
        for key, member in node.members:
            if key in _ABSOLUTE_PRICE_KEYS:
                numbers += self.read_prices(member)
        # Distances after prices: the first problem is reported as the main one.
        for key, member in node.members:
            if key in _DISTANCE_KEYS:
                self.reject_relative_price(member)
        return numbers


def is_traderspost(body: Body) -> bool:
    if body.json is None:
        return False
    members = dict(body.json.members)
    return any(key in members and members[key].kind == "object" for key in ("takeProfit", "stopLoss"))


_EMPTY_OBJECT: Final = JsonNode("object", 0, 0)

JSON: Final = Format(
    "json", lambda body: body.json is not None, lambda body: JsonReader(body, body.json or _EMPTY_OBJECT).read()
)
TRADERSPOST: Final = Format(
    "traderspost", is_traderspost, lambda body: TradersPostReader(body, body.json or _EMPTY_OBJECT).read()
)
