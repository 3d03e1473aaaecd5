"""Settings that a command cannot do without, and those that only the broker can judge."""

from signalhub.brokers import chosen
from signalhub.cli.output import fail
from signalhub.settings import Settings


def require(found: Settings, *names: str) -> Settings:
    """`found`, or a sentence that says what is missing and what would bring it."""
    for name in names:
        if not getattr(found, name):
            fail(
                f"SIGNALHUB_{name.upper()} is not set, and no `signalhub up` runs on {found.data_dir}.",
                status=2,
            )
    return found


def require_broker(found: Settings) -> Settings:
    """`found`, or a sentence where there is no such broker: said here, before processes die of it again and again."""
    try:
        chosen.broker(found)
    except (LookupError, ValueError) as error:
        fail(str(error), status=2)
    return found
