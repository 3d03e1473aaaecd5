"""Settings that a command cannot do without."""

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
