"""JSON alerts, as TradingView users write them: no common schema, so a table of the keys they choose.

Keys are compared without case, `_` and `-`. Numbers keep the digits they are written with.
"""

import re
from collections.abc import Callable
from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.body import Body
from signalhub.grammar.characters import CONTROL, cleaned
from signalhub.grammar.draft import Draft, Found, Range
from signalhub.grammar.numbers import Number, exact, readings
from signalhub.grammar.tree import Node

KEYS: Final[dict[str, str]] = {
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
_NUMBERED: Final = re.compile(r"(?:tp|takeprofit|target)[0-9]{1,2}(?:price)?", re.ASCII)
_RELATIVE: Final = re.compile(
    r"(?:sl|tp|stoploss|takeprofit|entry)[0-9]*(?:pips|percent|pct|points|ticks|amount|offset|distance|rr)", re.ASCII
)
_SIDES: Final = {"buy": Side.BUY, "long": Side.BUY, "sell": Side.SELL, "short": Side.SELL}
_TYPES: Final = {"limit": OrderType.LIMIT, "stop": OrderType.STOP, "market": OrderType.MARKET}
_MANAGING: Final = frozenset({"close", "exit", "cancel", "flat", "closelong", "closeshort", "closeall", "modify"})


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")


class Reader:
    """Members of one object on their way into a draft. A dialect overrides what it says differently."""

    def __init__(self, body: Body, tree: Node) -> None:
        self.draft = Draft(body.text)
        self.tree = tree
        self.entries: dict[str, Node] = {}

    def read(self) -> Draft:
        for key, node in self.tree.members:
            if node.kind == "literal" and node.text == "null":
                continue
            self._member(key, _plain(key), node)
        self._entry()
        self._nothing_of_a_signal()
        return self.draft

    def _member(self, key: str, name: str, node: Node) -> None:
        field = "take_profit" if _NUMBERED.fullmatch(name) else KEYS.get(name)
        if field == "entry":
            self.entries[name] = node
        elif field is not None:
            _FIELDS[field](self, node)
        elif _RELATIVE.fullmatch(name):
            self.relative(node)
        else:
            reason = f'"{key}" is no field of a signal.'
            self.draft.ignored.append(Found(reason, node.key[0], node.end))

    def _text(self, node: Node) -> str | None:
        """The text of a field that must be one."""
        if node.kind == "string" and not CONTROL.search(node.text):
            return cleaned(node.text).strip()
        code = "control_char" if node.kind == "string" else "unsupported_json"
        self.draft.fault(code, "Write this as a plain text.", node.start, node.end)
        return None

    def side(self, node: Node) -> None:
        text = (self._text(node) or "").lower()
        if text in _SIDES:
            self.draft.sides.append(Found(_SIDES[text], node.start, node.end))
        elif text in _MANAGING:
            hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
            self.draft.dismiss("management", hint, node.start, node.end)
        elif text:
            self.draft.ignored.append(Found("This is neither buy nor sell.", node.start, node.end))

    def symbol(self, node: Node) -> None:
        text = self._text(node)
        name = symbols.single(text, node.start + 1) if text else None
        if name is not None:
            self.draft.names.append(name)
        elif text is not None:
            hint = "Write the symbol in letters and digits only, like EURUSD."
            self.draft.fault("no_symbol", hint, node.start, node.end)

    def order_type(self, node: Node) -> None:
        text = (self._text(node) or "").lower()
        if text in _TYPES:
            self.draft.order_types.append(Found(_TYPES[text], node.start, node.end))
        elif text in _SIDES:
            self.side(node)
        elif text:
            self.draft.fault("unsupported_json", "Write limit, stop or market.", node.start, node.end)

    def stop_loss(self, node: Node) -> None:
        self.draft.stops += self.prices(node)

    def take_profit(self, node: Node) -> None:
        self.draft.targets += self.prices(node)

    def _entry(self) -> None:
        """The first of the keys that is given; the others, such as the price at alert time, change nothing."""
        given = [self.entries[key] for key in _ENTRY_KEYS if key in self.entries]
        for node in given[1:]:
            self.draft.ignored.append(Found("Another field gives the entry.", node.key[0], node.end))
        if not given:
            return
        numbers = self.prices(given[0])
        if len(numbers) > 2:  # noqa: PLR2004
            self.draft.fault("bad_entry", "Write one entry price or two ends.", given[0].start, given[0].end)
        elif numbers:
            self.draft.entries.append(Range(*numbers))

    def prices(self, node: Node) -> list[Number]:
        if node.kind == "array":
            return [number for item in node.items for number in self.prices(item)]
        if node.kind == "object":
            return self.nested(node)
        number = self._number(node)
        return [] if number is None else [number]

    def nested(self, node: Node) -> list[Number]:
        """A price inside an object: which key holds it is the dialect's business."""
        self.draft.fault("unsupported_json", "Write the price itself, like 1.0850.", node.start, node.end)
        return []

    def _number(self, node: Node) -> Number | None:
        start = node.start + (node.kind == "string")
        text = cleaned(node.text).strip().removeprefix("$")
        value = exact(text)
        number = Number(text, start, start + len(node.text), value, readings(text) if value is None else ())
        if node.text.rstrip().lower().endswith(("%", "pips", "pip")):
            self.relative(node)
        elif number.value or number.readings:
            return number
        else:
            hint = "Write a price as digits with a point, like 1.0850: no sign, letters or exponent."
            self.draft.fault("bad_price", hint, node.start, node.end)
        return None

    def relative(self, node: Node) -> None:
        hint = "Write the price itself, like 1.0850: pips and percent need a quote."
        self.draft.fault("relative_price", hint, node.start, node.end)

    def quantity(self, node: Node) -> None:
        value = exact(node.text.strip()) if node.kind in ("number", "string") else None
        if value:
            self.draft.quantities.append(Number(node.text.strip(), node.start, node.end, value))
        else:
            self.draft.fault("bad_quantity", "Write the quantity as a number above 0.", node.start, node.end)

    def client_id(self, node: Node) -> None:
        if node.kind in ("string", "number") and node.text:
            self.draft.client_ids.append(Found(node.text, node.start, node.end))

    def simulate(self, node: Node) -> None:
        text = self._text(node)
        if text:
            self.draft.simulations.append(Found(text, node.start, node.end))

    def _nothing_of_a_signal(self) -> None:
        draft = self.draft
        if not (draft.sides or draft.names or draft.levels or draft.problems or draft.order_types):
            known = any(_plain(key) in KEYS for key, _ in self.tree.members)
            if not known:
                draft.dismiss("missing_signal", 'Send {"signal": "BUY EURUSD SL 1.0850 TP 1.0890"} or its fields.')


_FIELDS: Final[dict[str, Callable[[Reader, Node], None]]] = {
    "side": Reader.side,
    "symbol": Reader.symbol,
    "order_type": Reader.order_type,
    "stop_loss": Reader.stop_loss,
    "take_profit": Reader.take_profit,
    "quantity": Reader.quantity,
    "client_id": Reader.client_id,
    "simulate": Reader.simulate,
}


def _claims(body: Body) -> bool:
    return body.tree is not None


def _read(body: Body) -> Draft:
    return Reader(body, body.tree or Node("object", 0, 0)).read()


ADAPTER = Adapter("json", _claims, _read)
