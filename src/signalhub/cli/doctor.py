"""`signalhub doctor`: is everything as it should be, and if not, what to do."""

import asyncio
import os
import sys

import click

from db.engine import create_engine
from signalhub import settings
from signalhub.cli.checks import ALL, Finding, Patient
from signalhub.cli.home import Home, completed
from signalhub.cli.needs import require, require_broker
from signalhub.cli.output import say, show_json
from signalhub.settings import Settings
from signalhub.streams import wire


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, files, database, schema, Redis, web, workers and clocks. Exit status 1 where one is not well."""
    found = require(completed(require_broker(settings.from_env(os.environ))), "database_url", "redis_url")
    findings = [Finding(name="settings", ok=True, said="understood"), *asyncio.run(_examine(found))]
    for finding in findings:
        if as_json:
            show_json(finding)
        else:
            _show(finding)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


async def _examine(found: Settings) -> list[Finding]:
    engine, redis = create_engine(found.database_url), wire.connect(found.redis_url, timeout_s=2.0)
    patient = Patient(found, Home(found.data_dir), engine, redis)
    try:
        return [await check(patient) for check in ALL]
    finally:
        await redis.aclose()
        await engine.dispose()


def _show(finding: Finding) -> None:
    verdict = click.style("ok  ", fg="green") if finding.ok else click.style("fail", fg="red", bold=True)
    say(f"{verdict}  {finding.name:<11} {finding.said}")
    if not finding.ok:
        say(f"      {'':<11} {click.style('→ ' + finding.hint, fg='yellow')}")
