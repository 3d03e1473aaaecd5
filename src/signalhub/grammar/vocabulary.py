"""The one table of words: every label, side and note the grammar knows, and what it means.

Words of a phrase may be joined by blanks, `-`, `/`, `.`, `_` or `:`, so `S L` is also `S/L`, `s.l` and `S / L`.
Adding a way to write something is adding a phrase here. Matching is by ASCII letters only, whatever the case.
"""

from typing import Final

import msgspec


class Kind:
    """What a token is: the first block comes from the table below, the second from its shape.

    Plain strings, because the members of an enumeration take four times as long to look up, and rules look up little
    else.
    """

    SIDE: Final = "side"
    ORDER: Final = "order"  # side and order type in one word
    TYPE: Final = "type"
    STOP: Final = "stop"  # an order type or a stop loss, which only the place can tell
    SL: Final = "sl"
    TP: Final = "tp"
    ENTRY: Final = "entry"
    AT: Final = "at"  # a price is coming
    FILLER: Final = "filler"  # says nothing and interrupts nothing
    TO: Final = "to"
    QUANTITY: Final = "quantity"
    NOTE: Final = "note"  # the rest of the line is about something else
    OPEN: Final = "open"  # a runner: a target without a price
    VOID: Final = "void"  # what a failed calculation prints
    ASSET: Final = "asset"
    UNIT: Final = "unit"
    CLOCK: Final = "clock"
    CALENDAR: Final = "calendar"
    OPTION: Final = "option"
    MONEY: Final = "money"
    MANAGE: Final = "manage"
    DONE: Final = "done"
    WHEN: Final = "when"
    NOT: Final = "not"
    NO: Final = "no"
    IF: Final = "if"

    WORD: Final = "word"
    NUMBER: Final = "number"
    NEWLINE: Final = "newline"
    MARK: Final = "mark"
    LINK: Final = "link"


KINDS: Final = frozenset(value for name, value in vars(Kind).items() if name.isupper())

PHRASES: Final[dict[str, str]] = {
    Kind.SIDE: "BUY, SELL, LONG, SHORT",
    Kind.ORDER: "BUYLIMIT, BUYSTOP, SELLLIMIT, SELLIMIT, SELLSTOP",
    Kind.TYPE: "LIMIT, MARKET, NOW, TRIGGER, AT MARKET, AT MARKET PRICE, AT CURRENT PRICE, INSTANTLY",
    Kind.STOP: "STOP",
    Kind.SL: "SL, S L, STOP LOSS, STOPLOSS, STOP LOSS PRICE, STOP PRICE, STOP TARGET, STOP TARGETS, STOP LOSSES",
    Kind.TP: """
        TP, TPS, T P, TAKE PROFIT, TAKE PROFITS, TAKEPROFIT, TAKEPROFITS, TAKE PROFIT TARGET, TAKE PROFIT TARGETS,
        TAKE PROFIT PRICE, PROFIT TARGET, PROFIT TARGETS, TARGET, TARGETS, TARGET PRICE, PRICE TARGET, PRICE
        TARGETS, TGT, TGTS, SELL TARGET, SELL TARGETS, SELLING TARGET, SELLING TARGETS, BUY TARGET, BUY TARGETS,
        SHORT TARGETS, LONG TARGETS, TAKE PROFIT ORDERS
    """,
    Kind.ENTRY: """
        ENTRY, ENTRIES, ENTER, ENTRY PRICE, ENTRY ZONE, ENTRY RANGE, ENTRY LEVEL, ENTRY POINT, ENTRY AREA, ENTRY
        TARGET, ENTRY TARGETS, ENTRY AT, ENTER AT, ENTER NEAR, ENTRY ORDERS, OPEN PRICE
    """,
    Kind.AT: """
        AT, FROM, AROUND, NEAR, BELOW, ABOVE, UNDER, OVER, ZONE, AREA, RANGE, PRICE, BETWEEN, AT CMP, FROM CMP, AT
        PRICE, AT RS, RS
    """,
    Kind.FILLER: """
        A, AN, THE, ON, IN, IS, FOR, SET, UP, PLEASE, ONLY, AGAIN, ORDER, SIGNAL, SETUP, POSITION, TRADE, TYPE,
        HERE, APPROX, ABOUT
    """,
    Kind.TO: "TO, AND",
    Kind.QUANTITY: "LOT, LOTS, LOT SIZE, LOTSIZE, LOTS SIZE, QTY, QUANTITY, VOLUME",
    Kind.NOTE: """
        LEVERAGE, LEV, RISK, R R, RR, RRR, REWARD, CMP, CURRENT PRICE, MARKET PRICE, LAST PRICE, ID, SIGNAL ID,
        TRADE ID, DATE, TIME, TIMEFRAME, TIME FRAME, TF, OTE, EXCHANGE, EXCHANGES, CLIENT, STRATEGY, PERIOD,
        DURATION, EXPIRY, VALID, TRADES, TOTAL TRADES, MAGIC, CONFIDENCE, ACCURACY, PROBABILITY, WIN RATE, WINRATE,
        SCORE, MARGIN, ACCOUNT, BALANCE, CAPITAL, DEPOSIT, PUBLISHED BY, PUBLISHED, ATR, RSI, SPREAD, SIGNAL NO,
        SIGNAL NUMBER, CHART
    """,
    Kind.OPEN: "OPEN, HOLD, RUNNER, RUNNERS, MOON",
    Kind.VOID: "NAN, INF, INFINITY, NULL, UNDEFINED, SNAN",
    Kind.ASSET: "PAIR, SYMBOL, TICKER, COIN, INSTRUMENT, ASSET, STOCK, SCRIP, CURRENCY PAIR, FOREX PAIR",
    Kind.UNIT: "PIP, PIPS, PIPETTES, POINT, POINTS, PTS, TICKS, TICK, PERCENT, X, R",
    Kind.CLOCK: """
        H, M, MIN, MINS, MINUTE, MINUTES, HR, HRS, HOUR, HOURS, D, W, DAY, DAYS, WEEK, WEEKS, MONTH, MONTHS, AM, PM
    """,
    Kind.CALENDAR: """
        JAN, FEB, MAR, APR, JUN, JUL, AUG, SEP, SEPT, OCT, NOV, DEC, JANUARY, FEBRUARY, MARCH, APRIL, JUNE, JULY,
        AUGUST, SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER
    """,
    Kind.OPTION: "CE, PE, CALL, PUT, STRIKE, STRIKE PRICE",
    Kind.MONEY: "USD, USDT, USDC, DOLLAR, DOLLARS, EUR, INR",
    Kind.MANAGE: """
        CLOSE, CLOSING, CANCEL, CANCELLING, DELETE, EXIT, MOVE, MOVING, BREAKEVEN, BREAK EVEN, MODIFY, ADJUST,
        SECURE, PARTIAL, PARTIALS, STAYS, REMOVE, ACTIVATED, RESULT, RESULTS, RECAP, PNL, RAISE, LOCK, CHANGE,
        UPDATE, UPDATED, NEW SL, NEW STOP, NEW STOP LOSS, NEW TP, NEW TARGET, NEW TARGETS, NEW TAKE PROFIT
    """,
    Kind.DONE: """
        CLOSED, CANCELLED, CANCELED, DELETED, HIT, HITS, REACHED, ACHIEVED, MOVED, STOPPED OUT, EXITED, FILLED
    """,
    Kind.WHEN: "WHEN, ONCE, AFTER, UNTIL, IN CASE, EVERY",
    Kind.NOT: """
        NOT, DONT, DON T, NEVER, AVOID, CAN T, CANT, WON T, ISN T, WOULDN T, WOULDNT, SHOULDN T, SHOULDNT, INVALID,
        IGNORE, SKIP, STOP BUYING, STOP SELLING
    """,
    Kind.NO: "NO, WITHOUT",
    Kind.IF: "IF, UNLESS, MAYBE, MIGHT, WAIT, WAITING",
    Kind.WORD: """
        LONG TERM, SHORT TERM, MID TERM, LONG TIME, SHORT TIME, TRAILING STOP, TRAILING SL, TRAILING STOP LOSS,
        TRAIL SL, NON STOP, ALL TIME, STOP BY, SHORT SQUEEZE, MARKET UPDATE, MARKET STRUCTURE, MARKET OPEN, RISK
        REWARD
    """,
}


class Branch(msgspec.Struct):
    """The phrases that begin with the words so far: what they mean if they end here, and what may go on."""

    kind: str | None = None
    then: dict[str, "Branch"] = {}


def _grow() -> dict[str, Branch]:
    root = Branch()
    for kind, phrases in PHRASES.items():
        for phrase in phrases.split(","):
            branch = root
            for word in phrase.split():
                branch = branch.then.setdefault(word, Branch())
            branch.kind = kind
    return root.then


MEANINGS: Final = _grow()
"""The table as a tree of words, in capitals."""

SINGLE: Final = {word: branch.kind for word, branch in MEANINGS.items() if branch.kind and not branch.then}
"""The words that mean what they mean whatever follows."""
