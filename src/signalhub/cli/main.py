"""The table of commands. Each is loaded when it is called, so that `signalhub parse` does not import a web server."""

import sys
from importlib import import_module
from typing import Final

import click

from signalhub.cli.output import fail
from signalhub.settings import SettingsError

# Command name -> the module that holds a click command of that name.
COMMANDS: Final = {
    "web": "processes",
    "worker": "processes",
    "migrate": "processes",
}


class _Table(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"signalhub.cli.{COMMANDS[name]}")
        command: click.Command = getattr(module, name)
        return command


@click.group(cls=_Table, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="signalhub")
def signalhub() -> None:
    """Trading signals as raw text in, mock-broker orders and a live event log out."""


def main() -> None:
    """Exit status 0: done; 1: it could not be done; 2: the command line or a setting is wrong."""
    try:
        signalhub(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        fail(error.format_message())
    except SettingsError as error:
        fail(str(error), status=2)
