"""Signals written by people: the native text grammar."""

from signalhub.grammar import directives, intent, settle
from signalhub.grammar.adapter import Format
from signalhub.grammar.body import Body
from signalhub.grammar.draft import ParsedFields
from signalhub.grammar.message import ParserState
from signalhub.grammar.rules import RULES, Rules
from signalhub.grammar.rules.marks import MARK_RULES
from signalhub.grammar.vocabulary import TokenKind


def parse_with_rules(body: Body, rules: Rules) -> ParsedFields:
    """Read the text with a table of rules, which a dialect may have changed."""
    draft = ParsedFields(body.source)
    directives.extract_directives(draft)
    message = ParserState(draft)
    if message.is_fragmented:
        draft.reject("unsupported", "Write the signal in words and prices: nearly every piece of this is a character.")
        return draft
    tokens, size = message.tokens, message.token_count
    while message.pos < size and not draft.has_too_many_errors:
        token = tokens[message.pos]
        if token.kind == TokenKind.MARK and token.text not in MARK_RULES:
            message.pos += 1  # a third of all tokens; a rule for them would only do this
        else:
            rules[token.kind](message)
    settle.finalize(message)
    if draft.is_order:
        intent.reject_non_orders(message)
    return draft


def _parse_text(body: Body) -> ParsedFields:
    return parse_with_rules(body, RULES)


TEXT = Format("text", lambda _: True, _parse_text)
