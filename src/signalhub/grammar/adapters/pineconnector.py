"""PineConnector lines: `LicenseID,buy,EURUSD,sl_price=1.0800,tp_price=1.0950`.

Only `..._price` is a price. `sl=`, `tp=` and `price=` mean pips, percent or prices depending on a switch at the
receiver, so they are refused rather than guessed.
"""

import re
from typing import Final

from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.body import Body
from signalhub.grammar.draft import Draft, Found, Range
from signalhub.grammar.numbers import Number, exact

_SIDES: Final = {
    "buy": Side.BUY,
    "long": Side.BUY,
    "bull": Side.BUY,
    "sell": Side.SELL,
    "short": Side.SELL,
    "bear": Side.SELL,
}
_TYPES: Final = {"limit": OrderType.LIMIT, "stop": OrderType.STOP}
_ORDERS: Final = {
    side + kind: (value, order_type)
    for side, value in _SIDES.items()
    for kind, order_type in (("", None), *_TYPES.items())
}
_MANAGING: Final = ("close", "exit", "cancel", "newsltp", "eaoff", "eaon", "launch", "tpsl")
_LEVELS: Final = frozenset({"entry_price", "sl_price", "tp_price"})
_RELATIVE: Final = re.compile(r"(?:sl|tp|entry)(?:[0-9]|_pips|_pct|_points)?|price", re.ASCII)
_QUANTITIES: Final = frozenset({"vol_lots", "lots", "quantity", "qty"})


def _fields(body: Body) -> list[tuple[str, int]]:
    """The comma-separated pieces of the first line that says anything, each with its place."""
    clean = body.text.clean
    start = len(clean) - len(clean.lstrip(" \t\r\n"))
    found = []
    for field in re.split("[\r\n]", clean[start:], maxsplit=1)[0].split(","):
        piece = field.strip(" \t")
        found.append((piece, start + field.find(piece)))
        start += len(field) + 1
    return found


def _claims(body: Body) -> bool:
    if body.tree is not None or "," not in body.text.clean:
        return False
    fields = _fields(body)
    if len(fields) == 1 or " " in fields[0][0] or any(exact(symbol) for symbol, _ in fields[2:3]):
        return False
    command = fields[1][0].lower()
    return command in _ORDERS or command.startswith(_MANAGING)


def _read(body: Body) -> Draft:
    draft = Draft(body.text)
    fields = _fields(body)
    command, start = fields[1]
    if command.lower() not in _ORDERS:
        hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
        draft.dismiss("management", hint, start, start + len(command))
        return draft
    side, order_type = _ORDERS[command.lower()]
    draft.sides.append(Found(side, start, start + len(command)))
    if order_type is not None:
        draft.order_types.append(Found(order_type, start, start + len(command)))
    draft.notes.append(Found(fields[0][0], fields[0][1], fields[0][1] + len(fields[0][0])))
    _symbol(draft, fields)
    for piece, place in (field for field in fields[3:] if field[0]):
        _pair(draft, piece, place)
    return draft


def _symbol(draft: Draft, fields: list[tuple[str, int]]) -> None:
    if len(fields) < 3 or not fields[2][0]:  # noqa: PLR2004
        return
    written, start = fields[2]
    name = symbols.single(written, start)
    if name is None:
        draft.fault("no_symbol", "Write the symbol as the third field.", start, start + len(written))
    else:
        draft.names.append(name)


def _pair(draft: Draft, piece: str, start: int) -> None:
    key, _, value = piece.partition("=")
    key, end = key.strip().lower(), start + len(piece)
    place = start + piece.find("=") + 1
    number = Number(value, place, end, exact(value))
    if key in _LEVELS or key in _QUANTITIES:
        _level(draft, key, number)
    elif _RELATIVE.fullmatch(key):
        draft.fault("relative_price", f"Write {key[:2]}_price= with the price itself.", start, end)
    else:
        draft.notes.append(Found(piece, start, end))


def _level(draft: Draft, key: str, number: Number) -> None:
    if not number.value:
        code = "bad_quantity" if key in _QUANTITIES else "bad_price"
        draft.fault(code, f"Write {key}= with a number above 0.", number.start, number.end)
    elif key in _QUANTITIES:
        draft.quantities.append(number)
    elif key == "entry_price":
        draft.entries.append(Range(number))
    else:
        (draft.stops if key == "sl_price" else draft.targets).append(number)


ADAPTER = Adapter("pineconnector", _claims, _read)
