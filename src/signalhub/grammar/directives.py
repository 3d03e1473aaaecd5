"""`#id abc123` and `#sim reject=insufficient_margin`: words to the hub, for senders that cannot set headers."""

import re
from typing import Final

from signalhub.grammar.draft import ParsedFields, Spanned

_DIRECTIVE: Final = re.compile(
    r"(?<![^ \t\r\n])#(id|sim)(?![A-Za-z0-9/#_-])[ \t:=]*([^\r\n]*)", re.ASCII | re.IGNORECASE
)
_FIRST_WORD: Final = re.compile(r"[^ \t]*")


def extract_directives(fields: ParsedFields) -> None:
    """Move the directives out of the text, so that nothing in them is read as part of a signal."""
    text = fields.source
    if "#" not in text.clean:
        return
    for match in list(_DIRECTIVE.finditer(text.clean)):
        is_id = match[1].lower() == "id"
        value = _FIRST_WORD.match(match[2])[0] if is_id else match[2].rstrip()  # type: ignore[index]  # matches the empty text
        start, end = match.start(2), match.start(2) + len(value)
        if value:
            found = Spanned(text.raw[start:end], start, end)
            (fields.client_ids if is_id else fields.simulations).append(found)
        elif not is_id:
            fields.add_problem("bad_simulation", "Say what to simulate, like #sim outcome=take_profit.", *match.span())
        text.clean = text.clean[: match.start()] + " " * (end - match.start()) + text.clean[end:]
