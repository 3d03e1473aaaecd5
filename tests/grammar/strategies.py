"""Hypothesis strategies for signals and for texts."""

from decimal import Decimal

from hypothesis import strategies as st

from signalhub.domain.signal import OrderType, Side, Signal

SYMBOLS = ("EURUSD", "USDJPY", "XAUUSD", "US30", "BTCUSDT", "SHIBUSDT", "FOO", "BRK.B", "1INCHUSDT", "NQ1!")
MIDDLE_PRICES = {
    "EURUSD": "1.0860",
    "USDJPY": "151.30",
    "XAUUSD": "2345.5",
    "US30": "38950",
    "BTCUSDT": "65000",
    "SHIBUSDT": "0.0000213450",
    "FOO": "12",
    "BRK.B": "410.0",
    "1INCHUSDT": "0.410",
    "NQ1!": "17850.25",
}
FRAGMENTS = (
    *(
        "BUY",
        "SELL",
        "LONG",
        "SHORT",
        "EURUSD",
        "GOLD",
        "#BTC/USDT",
        "NOW",
        "LIMIT",
        "STOP",
        "SL",
        "TP",
        "TP1",
        "TP 2:",
    ),
    *("Entry:", "Stop Loss", "Take Profit", "Targets:", "@", "1.0860", "1.0850", "1.0890", "2345-2350", "60,000", "1)"),
    *(
        "20 pips",
        "5%",
        "10x",
        "x20",
        "open",
        "hit",
        "close",
        "not",
        "if",
        "\n",
        "\n\n",
        " / ",
        ":",
        "(",
        ")",
        "[",
        "]",
        "-",
    ),
    *(
        "🔥",
        "1️⃣",
        "{",
        '{"signal": "',
        '"}',
        "#id a",
        "#sim b",
        "$",
        "k",
        ",",
        ".",
        "'",
        "LOT",
        "0.05",
        "risk",
        "\u0422\u0420",
        "\u200b",
    ),
)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Generate valid signals: levels in order, near each other, with any number of digits."""
    symbol = draw(st.sampled_from(SYMBOLS))
    middle = Decimal(MIDDLE_PRICES[symbol])
    side = draw(st.sampled_from(Side))
    step = middle * Decimal("0.001") * side.sign
    zeros = middle * Decimal("1." + "0" * draw(st.integers(3, 5)))

    def level(steps: int) -> Decimal:
        return Decimal((middle + step * steps).quantize(zeros))

    order_type = draw(st.sampled_from(OrderType))
    entry = level(draw(st.integers(1, 9))) if order_type is not OrderType.MARKET or draw(st.booleans()) else None
    second = level(draw(st.integers(10, 19))) if entry is not None and draw(st.booleans()) else None
    low, high = sorted((entry, second)) if entry is not None and second is not None else (entry, None)
    return Signal(
        side=side,
        symbol=symbol,
        order_type=order_type,
        entry=low,
        entry_high=high,
        stop_loss=level(draw(st.integers(-99, 0))),
        take_profits=tuple(level(steps) for steps in draw(st.lists(st.integers(20, 300), min_size=1, max_size=20))),
        quantity=draw(st.sampled_from([Decimal(1), Decimal("0.05"), Decimal("1.00"), Decimal(250)])),
    )


def fragment_texts() -> st.SearchStrategy[str]:
    """Generate texts from pieces of signals in any order."""
    return st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=30).map(" ".join)


@st.composite
def base_form_texts(draw: st.DrawFn) -> str:
    """Generate the base form, and texts that nearly match it."""
    price = st.sampled_from(["1.0860", "1.0850", "1.0890", "1", "0.9", "01.2", "0", "2345", "1.08601", "99999999999"])
    blank, gap = st.sampled_from([" ", "  ", "\t"]), st.sampled_from([" ", "\n", "\r\n", "\n\n  ", " \t\n"])
    entry = st.sampled_from(["", "@{}", "@ {}", "[@{}]", "[@{}", "{}"])
    levels = draw(st.permutations(["SL", "sl", "TP", "Tp"]))[:2]
    words = [
        draw(st.sampled_from(["", "\n "])) + draw(st.sampled_from(["BUY", "sell", "Long", "Buy"])),
        draw(blank) + draw(st.sampled_from(["EURUSD", "eurusd", "GOLD", "FOO", "US30", "USD"])),
        draw(blank) + draw(entry).format(draw(price)),
    ]
    words.extend(f"{draw(gap)}{label}{draw(blank)}{draw(price)}" for label in levels)
    return "".join(words) + draw(st.sampled_from(["", "\n", " \n\n", " x"]))
