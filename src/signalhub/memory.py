"""How a long-running process lives with Python's garbage collector.

Left alone it walks through all that was ever loaded, tens of milliseconds at a time, in the midst of somebody's order.
"""

import gc


def freeze_gc() -> None:
    """Call once all is loaded: what is there by now stays and is walked through no more, and what comes is seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
