"""Signals written by people: the native text grammar."""

from signalhub.grammar import directives, intent, settle
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.body import Body
from signalhub.grammar.draft import Draft
from signalhub.grammar.message import Message
from signalhub.grammar.rules import RULES, Rules
from signalhub.grammar.rules.marks import MEANINGFUL
from signalhub.grammar.vocabulary import Kind


def read_by(body: Body, rules: Rules) -> Draft:
    """Read the text with a table of rules, which a dialect may have changed."""
    draft = Draft(body.text)
    directives.take(draft)
    message = Message(draft)
    if message.is_confetti:
        draft.dismiss("unsupported", "Write the signal in words and prices: nearly every piece of this is a character.")
        return draft
    tokens, size = message.tokens, message.size
    while message.at < size and not draft.is_lost:
        token = tokens[message.at]
        if token.kind == Kind.MARK and token.text not in MEANINGFUL:
            message.at += 1  # a third of all tokens; a rule for them would only do this
        else:
            rules[token.kind](message)
    settle.settle(message)
    if draft.is_order:
        intent.settle(message)
    return draft


def _read(body: Body) -> Draft:
    return read_by(body, RULES)


ADAPTER = Adapter("text", lambda _: True, _read)
