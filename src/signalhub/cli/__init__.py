"""The `signalhub` command."""

from signalhub.cli.main import main

__all__ = ["main"]
