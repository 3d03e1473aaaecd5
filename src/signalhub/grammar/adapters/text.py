"""Signals written by people: the native text grammar."""

from signalhub.grammar import directives, intent, settle
from signalhub.grammar.adapter import Adapter
from signalhub.grammar.body import Body
from signalhub.grammar.draft import Draft
from signalhub.grammar.message import Message
from signalhub.grammar.rules import RULES, Rules


def read_by(body: Body, rules: Rules) -> Draft:
    """Read the text with a table of rules, which a dialect may have changed."""
    draft = Draft(body.text)
    directives.take(draft)
    message = Message(draft)
    while message.at < message.size:
        rules[message.tokens[message.at].kind](message)
    settle.settle(message)
    if draft.is_order:
        intent.settle(message)
    return draft


def _read(body: Body) -> Draft:
    return read_by(body, RULES)


ADAPTER = Adapter("text", lambda _: True, _read)
