"""The one table of words: every label, side and note the grammar knows, and what it means.

Words of a phrase may be joined by blanks, `-`, `/`, `.`, `_` or `:`, so `S L` is also `S/L`, `s.l` and `S / L`.
Adding a way to write something is adding a phrase here. Matching is by ASCII letters only, whatever the case.
"""

from typing import Final

import msgspec


class TokenKind:
    """What a token is: the first block comes from the table below, the second from its shape.

    Plain strings, because the members of an enumeration take four times as long to look up, and rules look up little
    else.
    """

    SIDE: Final = "side"
    SIDE_AND_TYPE: Final = "order"  # side and order type in one word
    ORDER_TYPE: Final = "type"
    STOP_WORD: Final = "stop"  # an order type or a stop loss, which only the place can tell
    SL: Final = "sl"
    TP: Final = "tp"
    ENTRY: Final = "entry"
    PRICE_PREFIX: Final = "at"  # a price is coming
    FILLER: Final = "filler"  # says nothing and interrupts nothing
    RANGE_WORD: Final = "to"
    QUANTITY: Final = "quantity"
    NOTE: Final = "note"  # the rest of the line is about something else
    RUNNER: Final = "open"  # a runner: a target without a price
    FAILED_VALUE: Final = "void"  # what a failed calculation prints
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
    TokenKind.WORD: """
        LONG TERM, SHORT TERM, MID TERM, LONG TIME, SHORT TIME, TRAILING STOP, TRAILING SL, TRAILING STOP LOSS,
        TRAIL SL, NON STOP, ALL TIME, STOP BY, SHORT SQUEEZE, MARKET UPDATE, MARKET STRUCTURE, MARKET OPEN, RISK
        REWARD
    """,
}


class PhraseNode(msgspec.Struct):
    """The phrases that begin with the words so far: what they mean if they end here, and what may go on."""

    kind: str | None = None
    children: dict[str, "PhraseNode"] = {}


def _build_phrase_trie() -> dict[str, PhraseNode]:
    root = PhraseNode()
    for kind, phrases in PHRASES_BY_KIND.items():
        for phrase in phrases.split(","):
            branch = root
            for word in phrase.split():
                branch = branch.children.setdefault(word, PhraseNode())
            branch.kind = kind
    return root.children


PHRASE_TRIE: Final = _build_phrase_trie()
"""The table as a tree of words, in capitals."""

SINGLE_WORD_KINDS: Final = {
    word: branch.kind for word, branch in PHRASE_TRIE.items() if branch.kind and not branch.children
}
"""The words that mean what they mean whatever follows."""
