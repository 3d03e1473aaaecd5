"""From raw bytes to a signal or to reasons why not: pure, total, and linear in the length of the text.

`parse` is what the service calls; `explain` tells a person what `parse` saw; `rewrite` is the signal said plainly.
"""

from signalhub.grammar.results import Explanation, Ignored, ParsedSignal, Part, RefusedText

__all__ = ["Explanation", "Ignored", "ParsedSignal", "Part", "RefusedText", "explain", "parse", "to_canonical_text"]

from signalhub.grammar.explanation import to_canonical_text
from signalhub.grammar.parser import explain, parse
