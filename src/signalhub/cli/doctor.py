"""`signalhub doctor`: is everything as it should be, and if not, what to do."""

import asyncio
import os
import sys

import click

from db.engine import create_engine
from signalhub import settings
from signalhub.cli.checks import ALL_CHECKS, CheckResult, DoctorContext
from signalhub.cli.home import LocalState, complete_settings
from signalhub.cli.needs import require_broker, require_settings
from signalhub.cli.output import print_json, print_line
from signalhub.settings import Settings
from signalhub.streams import wire


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, files, database, schema, Redis, web, workers and clocks. Exit status 1 where one is not well."""
    found = require_settings(
        complete_settings(require_broker(settings.from_env(os.environ))), "database_url", "redis_url"
    )
    findings = [CheckResult(name="settings", ok=True, said="understood"), *asyncio.run(_run_checks(found))]
    for finding in findings:
        if as_json:
            print_json(finding)
        else:
            _print_result(finding)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


async def _run_checks(found: Settings) -> list[CheckResult]:
    engine, redis = create_engine(found.database_url), wire.connect(found.redis_url, timeout_s=2.0)
    patient = DoctorContext(found, LocalState(found.data_dir), engine, redis)
    try:
        return [await check(patient) for check in ALL_CHECKS]
    finally:
        await redis.aclose()
        await engine.dispose()


def _print_result(result: CheckResult) -> None:
    verdict = click.style("ok  ", fg="green") if result.ok else click.style("fail", fg="red", bold=True)
    print_line(f"{verdict}  {result.name:<11} {result.said}")
    if not result.ok:
        print_line(f"      {'':<11} {click.style('→ ' + result.hint, fg='yellow')}")
