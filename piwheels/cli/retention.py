"""`piw retention`: what is deleted because it is old."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    dsn_option,
    json_option,
    load_config,
    refuse_root,
)

if TYPE_CHECKING:
    from piwheels.config import Config
    from piwheels.master.retention_rules import RuleReport


@cli.command("retention")
@click.option("--dry-run", is_flag=True, help="Only say how much; delete nothing.")
@config_option
@dsn_option
@json_option
def retention(config_file: Path | None, dsn: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete what is older than the settings keep, as the master does once a day.

    Wheels of old releases and logs of builds are kept unless [retention] says otherwise, and events
    as master.event_retention_days says. A release whose wheels were removed is not built again;
    `piw add`, `piw retry` and `piw unskip` with its version bring it back. Runs on the master's
    machine. It does not ask: look at --dry-run first. What it deletes can only be built again.

    \b
    Examples:
      piw retention --dry-run
      piw retention
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    import msgspec

    config = load_config(config_file, database__dsn=dsn)
    if not dry_run:
        refuse_root(config.webroot.root)
    reports = asyncio.run(_apply(config, dry_run=dry_run))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reports)).decode())
        return
    for report in reports:
        click.echo(_line(report, dry_run=dry_run))


async def _apply(config: "Config", *, dry_run: bool) -> "list[RuleReport]":
    from piwheels.db.database import Database
    from piwheels.db.database_clock import database_time
    from piwheels.master.retention_rules import RetentionRules

    async with await Database.connect(config.database.dsn, role="retention") as db:
        return await RetentionRules(db, config, await database_time(db)).apply(dry_run=dry_run)


def _line(report: "RuleReport", *, dry_run: bool) -> str:
    from piwheels.formatting import format_count, format_size, format_utc_minute

    if not report.enabled:
        return f"{report.rule}: all are kept ({report.setting} is 0)"
    if report.note:
        return f"{report.rule}: {report.note}"
    if not report.count:
        return f"{report.rule}: none is old enough"
    verb = "would be deleted" if dry_run else "deleted"
    size = f", {format_size(report.size_bytes)}" if report.size_bytes else ""
    since = f", the oldest of {format_utc_minute(report.oldest)}" if report.oldest else ""
    return f"{report.rule}: {format_count(report.count)} {verb}{size}{since}"
