"""Change settings by the names of their variables in lower case: tests need not know the groups."""

from typing import Any

from signalhub.settings import ENV_PREFIX, Settings, from_env, to_env


def change_settings(settings: Settings, **changes: Any) -> Settings:  # noqa: ANN401 - as many types as there are settings
    return from_env(to_env(settings) | {ENV_PREFIX + name.upper(): str(value) for name, value in changes.items()})


def make_settings(**changes: Any) -> Settings:  # noqa: ANN401 - as above
    return change_settings(Settings(), **changes)
