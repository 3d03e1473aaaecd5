"""The table of all words that the grammar knows, and the kind of token that each stands for.

Words of a phrase may be joined by blanks, `-`, `/`, `.`, `_`, `:` or `'`, so `S L` is also `S/L`, `s.l` and `S / L`.
To support another way to write something, add a phrase here. Only ASCII letters match, in either case.
"""

from typing import Final

import msgspec


class TokenKind:
    """Kinds of tokens: the first block comes from the table below, the second from the shape of the token.

    Plain strings: a member of an enumeration takes four times as long to look up, and the rules look up kinds all
    the time.
    """

    SIDE: Final = "side"
    SIDE_AND_TYPE: Final = "order"  # side and order type in one word
    ORDER_TYPE: Final = "type"
    STOP_WORD: Final = "stop"  # an order type or a stop loss, depending on its position
    SL: Final = "sl"
    TP: Final = "tp"
    ENTRY: Final = "entry"
    PRICE_PREFIX: Final = "at"  # a price may follow
    FILLER: Final = "filler"  # skipped, and interrupts nothing
    RANGE_WORD: Final = "to"
    QUANTITY: Final = "quantity"
    NOTE: Final = "note"  # the rest of the line is no level
    RUNNER: Final = "open"  # a target without a price
    FAILED_VALUE: Final = "void"  # the output of a failed calculation
    SYMBOL_LABEL: Final = "asset"
    UNIT: Final = "unit"
    TIME_UNIT: Final = "clock"
    MONTH: Final = "calendar"
    OPTION: Final = "option"
    CURRENCY: Final = "money"
    MANAGEMENT: Final = "manage"
    TRADE_OUTCOME: Final = "done"
    TIME_CONDITION: Final = "when"
    NEGATION: Final = "not"
    WITHOUT: Final = "no"
    CONDITION: Final = "if"

    WORD: Final = "word"
    NUMBER: Final = "number"
    NEWLINE: Final = "newline"
    MARK: Final = "mark"
    LINK: Final = "link"


TOKEN_KINDS: Final = frozenset(value for name, value in vars(TokenKind).items() if name.isupper())

# A phrase stands once: a later row would replace the kind that an earlier one gives it.
PHRASES_BY_KIND: Final[dict[str, str]] = {
    TokenKind.SIDE: "BUY, SELL, LONG, SHORT",
    TokenKind.SIDE_AND_TYPE: "BUYLIMIT, BUYSTOP, SELLLIMIT, SELLIMIT, SELLSTOP",
    TokenKind.ORDER_TYPE: "LIMIT, MARKET, NOW, TRIGGER, AT MARKET, AT MARKET PRICE, AT CURRENT PRICE, INSTANTLY",
    TokenKind.STOP_WORD: "STOP",
    TokenKind.SL: "SL, S L, STOP LOSS, STOPLOSS, STOP LOSS PRICE, STOP PRICE, STOP TARGET, STOP TARGETS, STOP LOSSES",
    TokenKind.TP: """
        TP, TPS, T P, TAKE PROFIT, TAKE PROFITS, TAKEPROFIT, TAKEPROFITS, TAKE PROFIT TARGET, TAKE PROFIT TARGETS,
        TAKE PROFIT PRICE, PROFIT TARGET, PROFIT TARGETS, TARGET, TARGETS, TARGET PRICE, PRICE TARGET, PRICE
        TARGETS, TGT, TGTS, SELL TARGET, SELL TARGETS, SELLING TARGET, SELLING TARGETS, BUY TARGET, BUY TARGETS,
        SHORT TARGETS, LONG TARGETS, TAKE PROFIT ORDERS
    """,
    TokenKind.ENTRY: """
        ENTRY, ENTRIES, ENTER, ENTRY PRICE, ENTRY ZONE, ENTRY RANGE, ENTRY LEVEL, ENTRY POINT, ENTRY AREA, ENTRY
        TARGET, ENTRY TARGETS, ENTRY AT, ENTER AT, ENTER NEAR, ENTRY ORDERS, OPEN PRICE
    """,
    TokenKind.PRICE_PREFIX: """
        AT, FROM, AROUND, NEAR, BELOW, ABOVE, UNDER, OVER, ZONE, AREA, RANGE, PRICE, BETWEEN, AT CMP, FROM CMP, AT
        PRICE, AT RS, RS
    """,
    TokenKind.FILLER: """
        A, AN, THE, ON, IN, IS, FOR, SET, UP, PLEASE, ONLY, AGAIN, ORDER, SIGNAL, SETUP, POSITION, TRADE, TYPE,
        HERE, APPROX, ABOUT
    """,
    TokenKind.RANGE_WORD: "TO, AND",
    TokenKind.QUANTITY: "LOT, LOTS, LOT SIZE, LOTSIZE, LOTS SIZE, QTY, QUANTITY, VOLUME",
    TokenKind.NOTE: """
        LEVERAGE, LEV, RISK, R R, RR, RRR, REWARD, CMP, CURRENT PRICE, MARKET PRICE, LAST PRICE, ID, SIGNAL ID,
        TRADE ID, DATE, TIME, TIMEFRAME, TIME FRAME, TF, OTE, EXCHANGE, EXCHANGES, CLIENT, STRATEGY, PERIOD,
        DURATION, EXPIRY, VALID, TRADES, TOTAL TRADES, MAGIC, CONFIDENCE, ACCURACY, PROBABILITY, WIN RATE, WINRATE,
        SCORE, MARGIN, ACCOUNT, BALANCE, CAPITAL, DEPOSIT, PUBLISHED BY, PUBLISHED, ATR, RSI, SPREAD, SIGNAL NO,
        SIGNAL NUMBER, CHART
    """,
    TokenKind.RUNNER: "OPEN, HOLD, RUNNER, RUNNERS, MOON",
    TokenKind.FAILED_VALUE: "NAN, INF, INFINITY, NULL, UNDEFINED, SNAN",
    TokenKind.SYMBOL_LABEL: "PAIR, SYMBOL, TICKER, COIN, INSTRUMENT, ASSET, STOCK, SCRIP, CURRENCY PAIR, FOREX PAIR",
    TokenKind.UNIT: "PIP, PIPS, PIPETTES, POINT, POINTS, PTS, TICKS, TICK, PERCENT, X, R",
    TokenKind.TIME_UNIT: """
        H, M, MIN, MINS, MINUTE, MINUTES, HR, HRS, HOUR, HOURS, D, W, DAY, DAYS, WEEK, WEEKS, MONTH, MONTHS, AM, PM
    """,
    TokenKind.MONTH: """
        JAN, FEB, MAR, APR, JUN, JUL, AUG, SEP, SEPT, OCT, NOV, DEC, JANUARY, FEBRUARY, MARCH, APRIL, JUNE, JULY,
        AUGUST, SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER
    """,
    TokenKind.OPTION: "CE, PE, CALL, PUT, STRIKE, STRIKE PRICE",
    TokenKind.CURRENCY: "USD, USDT, USDC, DOLLAR, DOLLARS, EUR, INR",
    TokenKind.MANAGEMENT: """
        CLOSE, CLOSING, CANCEL, CANCELLING, DELETE, EXIT, MOVE, MOVING, BREAKEVEN, BREAK EVEN, MODIFY, ADJUST,
        SECURE, PARTIAL, PARTIALS, STAYS, REMOVE, ACTIVATED, RESULT, RESULTS, RECAP, PNL, RAISE, LOCK, CHANGE,
        UPDATE, UPDATED, NEW SL, NEW STOP, NEW STOP LOSS, NEW TP, NEW TARGET, NEW TARGETS, NEW TAKE PROFIT
    """,
    TokenKind.TRADE_OUTCOME: """
        CLOSED, CANCELLED, CANCELED, DELETED, HIT, HITS, REACHED, ACHIEVED, MOVED, STOPPED OUT, EXITED, FILLED
    """,
    TokenKind.TIME_CONDITION: "WHEN, ONCE, AFTER, UNTIL, IN CASE, EVERY",
    TokenKind.NEGATION: """
        NOT, DONT, DON T, NEVER, AVOID, CAN T, CANT, WON T, ISN T, WOULDN T, WOULDNT, SHOULDN T, SHOULDNT, INVALID,
        IGNORE, SKIP, STOP BUYING, STOP SELLING
    """,
    TokenKind.WITHOUT: "NO, WITHOUT",
    TokenKind.CONDITION: "IF, UNLESS, MAYBE, MIGHT, WAIT, WAITING",
    # Phrases that begin like one of the above and mean nothing to a signal.
    TokenKind.WORD: """
        LONG TERM, SHORT TERM, MID TERM, LONG TIME, SHORT TIME, TRAILING STOP, TRAILING SL, TRAILING STOP LOSS,
        TRAIL SL, NON STOP, ALL TIME, STOP BY, SHORT SQUEEZE, MARKET UPDATE, MARKET STRUCTURE, MARKET OPEN, RISK
        REWARD
    """,
}


class PhraseNode(msgspec.Struct):
    """A node of the phrase trie: `kind` is set if a phrase ends here, `children` are the words that may follow."""

    kind: str | None = None
    children: dict[str, "PhraseNode"] = {}


def _build_phrase_trie() -> dict[str, PhraseNode]:
    root = PhraseNode()
    for kind, phrases in PHRASES_BY_KIND.items():
        for phrase in phrases.split(","):
            node = root
            for word in phrase.split():
                node = node.children.setdefault(word, PhraseNode())
            node.kind = kind
    return root.children


PHRASE_TRIE: Final = _build_phrase_trie()
"""The table by first word, in capitals."""

SINGLE_WORD_KINDS: Final = {word: node.kind for word, node in PHRASE_TRIE.items() if node.kind and not node.children}
"""Words that begin no longer phrase, so their kind is known at once."""
