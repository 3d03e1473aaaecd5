"""PineConnector lines: `LicenseID,buy,EURUSD,sl_price=1.0800,tp_price=1.0950`.

Only `..._price` is a price. `sl=`, `tp=` and `price=` mean pips, percent or prices depending on a switch at the
receiver, so they are refused rather than guessed.
"""

import re
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.body import Body
from signalhub.grammar.formats.base import Format
from signalhub.grammar.numbers import Number, parse_exact
from signalhub.grammar.parsed_fields import EntryRange, ParsedFields, Spanned

_SIDES: Final = {
    "buy": Side.BUY,
    "long": Side.BUY,
    "bull": Side.BUY,
    "sell": Side.SELL,
    "short": Side.SELL,
    "bear": Side.SELL,
}
_ORDER_TYPES: Final = {"limit": OrderType.LIMIT, "stop": OrderType.STOP}
_COMMANDS: Final = {
    side + kind: (value, order_type)
    for side, value in _SIDES.items()
    for kind, order_type in (("", None), *_ORDER_TYPES.items())
}
_MANAGEMENT_COMMANDS: Final = ("close", "exit", "cancel", "newsltp", "eaoff", "eaon", "launch", "tpsl")
_PRICE_KEYS: Final = frozenset({"entry_price", "sl_price", "tp_price"})
_RELATIVE_PRICE_KEY: Final = re.compile(r"(?:sl|tp|entry)(?:[0-9]|_pips|_pct|_points)?|price", re.ASCII)
_QUANTITY_KEYS: Final = frozenset({"vol_lots", "lots", "quantity", "qty"})


def _split_pieces(body: Body) -> list[tuple[str, int]]:
    """The comma-separated pieces of the first line that says anything, each with its place."""
    clean = body.source.clean
    start = len(clean) - len(clean.lstrip(" \t\r\n"))
    found = []
    for field in re.split("[\r\n]", clean[start:], maxsplit=1)[0].split(","):
        piece = field.strip(" \t")
        found.append((piece, start + field.find(piece)))
        start += len(field) + 1
    return found


def _is_pineconnector(body: Body) -> bool:
    if body.json is not None or "," not in body.source.clean:
        return False
    pieces = _split_pieces(body)
    if len(pieces) == 1 or " " in pieces[0][0] or any(parse_exact(symbol) for symbol, _ in pieces[2:3]):
        return False
    command = pieces[1][0].lower()
    return command in _COMMANDS or command.startswith(_MANAGEMENT_COMMANDS)


def _parse_pineconnector(body: Body) -> ParsedFields:
    draft = ParsedFields(body.source)
    pieces = _split_pieces(body)
    command, start = pieces[1]
    if command.lower() not in _COMMANDS:
        hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
        draft.reject("management", hint, start, start + len(command))
        return draft
    side, order_type = _COMMANDS[command.lower()]
    draft.sides.append(Spanned(side, start, start + len(command)))
    if order_type is not None:
        draft.order_types.append(Spanned(order_type, start, start + len(command)))
    draft.notes.append(Spanned(pieces[0][0], pieces[0][1], pieces[0][1] + len(pieces[0][0])))
    _read_symbol(draft, pieces)
    for piece, place in (field for field in pieces[3:] if field[0]):
        _read_pair(draft, piece, place)
    return draft


def _read_symbol(draft: ParsedFields, pieces: list[tuple[str, int]]) -> None:
    if len(pieces) < 3 or not pieces[2][0]:  # noqa: PLR2004
        return
    written, start = pieces[2]
    name = symbols.parse_symbol(written, start)
    if name is None:
        draft.add_problem("no_symbol", "Write the symbol as the third field.", start, start + len(written))
    else:
        draft.symbols.append(name)


def _read_pair(fields: ParsedFields, piece: str, start: int) -> None:
    key, _, value = piece.partition("=")
    key, end = key.strip().lower(), start + len(piece)
    place = start + piece.find("=") + 1
    number = Number(value, place, end, parse_exact(value))
    if key in _PRICE_KEYS or key in _QUANTITY_KEYS:
        _add_number(fields, key, number)
    elif _RELATIVE_PRICE_KEY.fullmatch(key):
        fields.add_problem("relative_price", f"Write {key[:2]}_price= with the price itself.", start, end)
    else:
        fields.notes.append(Spanned(piece, start, end))


def _add_number(fields: ParsedFields, key: str, number: Number) -> None:
    if not number.value:
        code: GrammarErrorCode = "bad_quantity" if key in _QUANTITY_KEYS else "bad_price"
        fields.add_problem(code, f"Write {key}= with a number above 0.", number.start, number.end)
    elif key in _QUANTITY_KEYS:
        fields.quantities.append(number)
    elif key == "entry_price":
        fields.entries.append(EntryRange(number))
    else:
        (fields.stop_losses if key == "sl_price" else fields.take_profits).append(number)


PINECONNECTOR = Format("pineconnector", _is_pineconnector, _parse_pineconnector)
