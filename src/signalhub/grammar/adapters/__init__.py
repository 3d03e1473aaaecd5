"""The formats the grammar reads, one file each. The first adapter that claims a body reads it."""

from typing import Final

from signalhub.grammar.adapter import Format
from signalhub.grammar.adapters import cornix, json, pineconnector, text, traderspost

FORMATS: Final[tuple[Format, ...]] = (
    # JSON. TradersPost first: its nested prices would look to the general one like fields it cannot read.
    traderspost.TRADERSPOST,
    json.JSON,
    # Text. The special forms first, because the native grammar claims everything.
    pineconnector.PINECONNECTOR,
    cornix.CORNIX,
    text.TEXT,
)
