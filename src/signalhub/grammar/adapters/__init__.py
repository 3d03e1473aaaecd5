"""The formats the grammar reads, one file each. The first adapter that claims a body reads it."""

from typing import Final

from signalhub.grammar.adapter import Adapter
from signalhub.grammar.adapters import cornix, json, pineconnector, text, traderspost

ADAPTERS: Final[tuple[Adapter, ...]] = (
    # JSON. TradersPost first: its nested prices would look to the general one like fields it cannot read.
    traderspost.ADAPTER,
    json.ADAPTER,
    # Text. The special forms first, because the native grammar claims everything.
    pineconnector.ADAPTER,
    cornix.ADAPTER,
    text.ADAPTER,
)
