"""What `send`, `tail` and `orders` share: which service, which key, and how a failure reads."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from signalhub import settings
from signalhub.cli.home import complete_settings
from signalhub.cli.output import exit_with_error
from signalhub.client import Client, ClientError, Refused, Unreachable
from signalhub.settings import Secret, Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")


def service_options(command: CommandT) -> CommandT:
    """The options that say which service and whose key."""
    url = click.option("--url", help="The service's address. Default: SIGNALHUB_URL, else the running `signalhub up`.")
    key = click.option("--key", help="The API key. Default: SIGNALHUB_API_KEY, else the one that `signalhub up` keeps.")
    return url(key(command))


def run_with_client(url: str | None, key: str | None, operation: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    """Do `work` with a client. What can be expected to go wrong ends in a sentence."""
    found = settings.from_env(os.environ)
    found = complete_settings(replace(found, url=url or found.url, api_key=Secret(key) if key else found.api_key))
    if not found.api_key:
        exit_with_error(_missing_key_message(found), status=2)
    try:
        return asyncio.run(_run(found, operation))
    except KeyboardInterrupt:
        sys.exit(130)
    except Unreachable as error:
        hint = "" if error.is_uncertain else " Is it running? Start it with: signalhub up"
        exit_with_error(f"{error}{hint}")
    except ClientError as error:
        exit_with_error(_format_error(error))


async def _run(found: Settings, operation: Callable[[Client], Awaitable[ResultT]]) -> ResultT:
    async with Client(found.url, found.api_key) as client:
        return await operation(client)


def _missing_key_message(found: Settings) -> str:
    where = "no `signalhub up` has kept one in " + str(found.data_dir)
    return f"There is no API key: give --key or SIGNALHUB_API_KEY ({where})."


def _format_error(error: ClientError) -> str:
    return f"{error} [{error.code}]" if isinstance(error, Refused) else str(error)
