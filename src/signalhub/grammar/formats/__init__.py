"""The formats that the grammar reads, one module each. The first format that matches a body parses it."""

from typing import Final

from signalhub.grammar.body import Format
from signalhub.grammar.formats import json, pineconnector, text

# The order is the order of matching.
FORMATS: Final[tuple[Format, ...]] = (
    # JSON. TradersPost first: the general reader would refuse its nested prices.
    json.TRADERSPOST,
    json.JSON,
    # Text. The special forms first, because the native grammar matches every text.
    pineconnector.PINECONNECTOR,
    text.CORNIX,
    text.TEXT,
)
