"""What `key` and `hook` share: the account they work on, how times read and are given."""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from signalhub import settings
from signalhub.cli.home import DEFAULT_ACCOUNT, complete_settings
from signalhub.cli.office import ServiceContext, run_with_services

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class DurationParam(click.ParamType[int]):
    """Seconds, from text such as `20s`, `90m`, `30d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no duration: write 20s, 90m, 12h or 30d.", param, ctx)
        return int(found[1]) * _UNIT_SECONDS[found[2] or "s"]


DURATION: Final = DurationParam()


def account_option(command: CommandT) -> CommandT:
    whose = click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Whose, by username.")
    return whose(command)


def json_option(command: CommandT) -> CommandT:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_for_account(username: str, operation: Callable[[ServiceContext, str], Awaitable[ResultT]]) -> ResultT:
    """Do `work` with the account's id."""

    async def find_first(office: ServiceContext) -> ResultT:
        return await operation(office, await office.require_account_id(username))

    return run_with_services(complete_settings(settings.from_env(os.environ)), find_first)


def format_time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
