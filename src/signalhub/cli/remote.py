"""What `send`, `tail` and `orders` share: which service, which key, and how a failure reads."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from signalhub import settings
from signalhub.cli.home import completed
from signalhub.cli.output import fail
from signalhub.client import Client, ClientError, Refused, Unreachable
from signalhub.settings import Secret, Settings

Command = TypeVar("Command", bound=Callable[..., Any])
Done = TypeVar("Done")


def to_service(command: Command) -> Command:
    """The options that say which service and whose key."""
    url = click.option("--url", help="The service's address. Default: SIGNALHUB_URL, else the running `signalhub up`.")
    key = click.option("--key", help="The API key. Default: SIGNALHUB_API_KEY, else the one that `signalhub up` keeps.")
    return url(key(command))


def at_service(url: str | None, key: str | None, work: Callable[[Client], Awaitable[Done]]) -> Done:
    """Do `work` with a client. What can be expected to go wrong ends in a sentence."""
    found = settings.from_env(os.environ)
    found = completed(replace(found, url=url or found.url, api_key=Secret(key) if key else found.api_key))
    if not found.api_key:
        fail(_no_key(found), status=2)
    try:
        return asyncio.run(_work(found, work))
    except KeyboardInterrupt:
        sys.exit(130)
    except Unreachable as error:
        hint = "" if error.is_uncertain else " Is it running? Start it with: signalhub up"
        fail(f"{error}{hint}")
    except ClientError as error:
        fail(_sentence(error))


async def _work(found: Settings, work: Callable[[Client], Awaitable[Done]]) -> Done:
    async with Client(found.url, found.api_key) as client:
        return await work(client)


def _no_key(found: Settings) -> str:
    where = "no `signalhub up` has kept one in " + str(found.data_dir)
    return f"There is no API key: give --key or SIGNALHUB_API_KEY ({where})."


def _sentence(error: ClientError) -> str:
    return f"{error} [{error.code}]" if isinstance(error, Refused) else str(error)
