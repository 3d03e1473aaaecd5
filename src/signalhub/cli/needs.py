"""Settings that a command cannot do without, and those that only the broker can judge."""

from signalhub.brokers import chosen
from signalhub.cli.output import exit_with_error
from signalhub.settings import Settings


def require_settings(settings: Settings, *names: str) -> Settings:
    """`found`, or a sentence that says what is missing and what would bring it."""
    for name in names:
        if not getattr(settings, name):
            exit_with_error(
                f"SIGNALHUB_{name.upper()} is not set, and no `signalhub up` runs on {settings.data_dir}.",
                status=2,
            )
    return settings


def require_broker(settings: Settings) -> Settings:
    """`found`, or a sentence where there is no such broker: said here, before processes die of it again and again."""
    try:
        chosen.create_broker(settings)
    except (LookupError, ValueError) as error:
        exit_with_error(str(error), status=2)
    return settings
