"""PineConnector lines: `LicenseID,buy,EURUSD,sl_price=1.0800,tp_price=1.0950`.

Only `..._price` is a price. `sl=`, `tp=` and `price=` mean pips, percent or prices, depending on a setting of the
receiver, so they are refused.
"""

import re
from typing import Final

from signalhub.domain.errors import GrammarErrorCode
from signalhub.domain.signal import OrderType, Side
from signalhub.grammar import symbols
from signalhub.grammar.body import Body, Format
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
# With and without order type: `buy`, `buylimit`, `buystop`, ...
_COMMANDS: Final = {
    side + kind: (value, order_type)
    for side, value in _SIDES.items()
    for kind, order_type in (("", None), *_ORDER_TYPES.items())
}
_MANAGEMENT_COMMANDS: Final = ("close", "exit", "cancel", "newsltp", "eaoff", "eaon", "launch", "tpsl")
_PRICE_KEYS: Final = frozenset({"entry_price", "sl_price", "tp_price"})
_RELATIVE_PRICE_KEY: Final = re.compile(r"(?:sl|tp|entry)(?:[0-9]|_pips|_pct|_points)?|price", re.ASCII)
_QUANTITY_KEYS: Final = frozenset({"vol_lots", "lots", "quantity", "qty"})


def split_pieces(body: Body) -> list[tuple[str, int]]:
    """Split the first line that is not blank at its commas; return each piece with its start."""
    clean = body.source.clean
    start = len(clean) - len(clean.lstrip(" \t\r\n"))
    pieces = []
    for piece in re.split("[\r\n]", clean[start:], maxsplit=1)[0].split(","):
        stripped = piece.strip(" \t")
        pieces.append((stripped, start + piece.find(stripped)))
        start += len(piece) + 1
    return pieces


def is_pineconnector(body: Body) -> bool:
    if body.json is not None or "," not in body.source.clean:
        return False
    pieces = split_pieces(body)
    # A blank in the first piece or a number for a symbol: this is a sentence or a list of prices.
    if len(pieces) == 1 or " " in pieces[0][0] or any(parse_exact(symbol) for symbol, _ in pieces[2:3]):
        return False
    command = pieces[1][0].lower()
    return command in _COMMANDS or command.startswith(_MANAGEMENT_COMMANDS)


def parse_pineconnector(body: Body) -> ParsedFields:
    fields = ParsedFields(body.source)
    (license_id, license_start), (command, start), *arguments = split_pieces(body)
    end = start + len(command)
    if command.lower() not in _COMMANDS:
        hint = "This changes an open trade. Orders are closed or cancelled on the order itself."
        fields.reject("management", hint, start, end)
        return fields
    side, order_type = _COMMANDS[command.lower()]
    fields.sides.append(Spanned(side, start, end))
    if order_type is not None:
        fields.order_types.append(Spanned(order_type, start, end))
    fields.notes.append(Spanned(license_id, license_start, license_start + len(license_id)))
    if arguments and arguments[0][0]:
        written, start = arguments[0]
        symbol = symbols.parse_symbol(written, start)
        if symbol is None:
            fields.add_problem("no_symbol", "Write the symbol as the third field.", start, start + len(written))
        else:
            fields.symbols.append(symbol)
    for piece, piece_start in arguments[1:]:
        if piece:
            _read_pair(fields, piece, piece_start)
    return fields


def _read_pair(fields: ParsedFields, piece: str, start: int) -> None:
    key, _, value = piece.partition("=")
    key, end = key.strip().lower(), start + len(piece)
    if key in _PRICE_KEYS or key in _QUANTITY_KEYS:
        value_start = start + piece.find("=") + 1
        _add_number(fields, key, Number(value, value_start, end, parse_exact(value)))
    elif _RELATIVE_PRICE_KEY.fullmatch(key):
        fields.add_problem("relative_price", f"Write {key[:2]}_price= with the price itself.", start, end)
    else:
        # Other keys, such as `comment=`, configure the receiver and do not change the order.
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


PINECONNECTOR: Final = Format("pineconnector", is_pineconnector, parse_pineconnector)
