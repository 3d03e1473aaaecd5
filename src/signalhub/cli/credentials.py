"""What `key` and `hook` share: the account they work on, how times read and are given."""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from signalhub import settings
from signalhub.cli.home import FIRST_ACCOUNT, completed
from signalhub.cli.office import Office, at_the_office

Command = TypeVar("Command", bound=Callable[..., Any])
Done = TypeVar("Done")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[int]):
    """Seconds, from text such as `20s`, `90m`, `30d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no duration: write 20s, 90m, 12h or 30d.", param, ctx)
        return int(found[1]) * _UNITS[found[2] or "s"]


DURATION: Final = Duration()


def of_account(command: Command) -> Command:
    whose = click.option("--account", default=FIRST_ACCOUNT, show_default=True, help="Whose, by username.")
    return whose(command)


def as_json_too(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def for_account(username: str, work: Callable[[Office, str], Awaitable[Done]]) -> Done:
    """Do `work` with the account's id."""

    async def find_first(office: Office) -> Done:
        return await work(office, await office.account_id(username))

    return at_the_office(completed(settings.from_env(os.environ)), find_first)


def when(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"
