"""A market in a function: the price of a symbol at a time follows from (seed, symbol, time) and from nothing else.

There is no feed and no state. `path` is the curve, `touch` and `extremes` search it by bounds, `prices` turns its
heights into money, `candles` draws it, `clock` says how fast its time runs. All of it is integers and correctly rounded
decimals: the same digits on every machine.
"""
