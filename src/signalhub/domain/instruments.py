"""The table of known instruments, with the band of prices that each can have.

The data is `instruments.toml`, read once at import. A name outside the table is still a valid symbol, without a band.
"""

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from itertools import permutations
from typing import Any, Final

import msgspec


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """A known symbol. Prices outside `min_price` to `max_price` are implausible; `digits` are its usual decimals."""

    name: str
    min_price: Decimal = Decimal(0)
    max_price: Decimal = Decimal("Infinity")
    digits: int = 5

    def is_plausible_price(self, price: Decimal) -> bool:
        return self.min_price <= price <= self.max_price


def _build_pairs(currencies: dict[str, list[str]]) -> Iterator[Instrument]:
    # The band of a pair follows from the values in USD: lowest base over highest quote, and the reverse.
    for (base, base_usd), (quote, quote_usd) in permutations(currencies.items(), 2):
        low, high = Decimal(base_usd[0]) / Decimal(quote_usd[1]), Decimal(base_usd[1]) / Decimal(quote_usd[0])
        yield Instrument(base + quote, low, high, 3 if quote == "JPY" else 5)


def _build_coin_pairs(crypto: dict[str, Any]) -> Iterator[Instrument]:
    dollars = frozenset(crypto["dollars"])  # quotes worth a dollar, the only ones in which a band is valid
    for coin in {*crypto["coins"].split(), *crypto["bands"]}:
        band = crypto["bands"].get(coin)
        for quote in crypto["quotes"]:
            low, high = map(Decimal, band) if band and quote in dollars else (Decimal(0), Decimal("Infinity"))
            if coin != quote:
                yield Instrument(coin + quote, low, high, 8)


def _build_listed(rows: dict[str, dict[str, Any]]) -> Iterator[Instrument]:
    for name, row in rows.items():
        low, high = map(Decimal, row.get("band", ("0", "Infinity")))
        yield Instrument(name, low, high, row["digits"])


_DATA: Final = tomllib.loads(files("signalhub.domain").joinpath("instruments.toml").read_text("utf-8"))

CURRENCIES: Final = frozenset(_DATA["currencies"])
COINS: Final = frozenset(_DATA["crypto"]["coins"].split()) | frozenset(_DATA["crypto"]["bands"])
METALS: Final = frozenset({"XAU", "XAG", "XPT", "XPD"})
QUOTE_CURRENCIES: Final = CURRENCIES | frozenset(_DATA["crypto"]["quotes"])

# Later sources replace earlier ones: a listed row may narrow the derived band of a pair.
INSTRUMENTS: Final[dict[str, Instrument]] = {
    instrument.name: instrument
    for source in (
        _build_coin_pairs(_DATA["crypto"]),
        _build_pairs(_DATA["currencies"]),
        _build_listed(_DATA["instruments"]),
    )
    for instrument in source
}

# Keys are what a sender may write, in capitals.
INSTRUMENTS_BY_NAME: Final[dict[str, Instrument]] = INSTRUMENTS | {
    alias: INSTRUMENTS[name] for alias, name in _DATA["aliases"].items()
}


def to_canonical_name(text: str) -> str:
    """Return the name of the instrument that `text` is a name or an alias of, such as XAUUSD for gold."""
    name = text.upper()
    instrument = INSTRUMENTS_BY_NAME.get(name)
    return name if instrument is None else instrument.name


def find_transposed_name(name: str) -> str | None:
    """Return the known name that differs from `name` in two swapped neighbours: XAUUSD for XUAUSD."""
    swapped = (name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(len(name) - 1))
    return next((other for other in swapped if other != name and other in INSTRUMENTS), None)
