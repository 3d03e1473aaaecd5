"""The formats the grammar reads, one file each. The first adapter that claims a body reads it."""

from typing import Final

from signalhub.grammar.formats import json, pineconnector, text
from signalhub.grammar.formats.base import Format

FORMATS: Final[tuple[Format, ...]] = (
    # JSON. TradersPost first: its nested prices would look to the general one like fields it cannot read.
    json.TRADERSPOST,
    json.JSON,
    # Text. The special forms first, because the native grammar claims everything.
    pineconnector.PINECONNECTOR,
    text.CORNIX,
    text.TEXT,
)
