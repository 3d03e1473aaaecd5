"""Parse the text of a signal. Pure, total (any bytes give a result) and linear in the length of the text.

`parse` returns a signal or the problems that refuse the text. `explain` reports everything the parser read.
`to_canonical_text` writes a signal as a text that parses to the same signal.
"""

from signalhub.grammar.explanation import to_canonical_text
from signalhub.grammar.parser import explain, parse
from signalhub.grammar.results import Explanation, Ignored, ParsedSignal, Part, RefusedText

__all__ = ["Explanation", "Ignored", "ParsedSignal", "Part", "RefusedText", "explain", "parse", "to_canonical_text"]
