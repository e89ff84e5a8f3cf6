"""`piw reclassify`: stored logs of failed builds are judged again."""

from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, dsn_option, json_option, load_config

_PROGRESS_BUILDS = 1000


@cli.command("reclassify")
@click.argument("projects", nargs=-1, metavar="[PROJECT]...")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@json_option
@config_option
@dsn_option
def reclassify(
    projects: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    config_file: Path | None,
    dsn: str | None,
) -> None:
    """Judge the stored logs of failed builds again, after an upgrade with better rules.

    Without a PROJECT, all are judged. The class of each failure, what was missing and the packages
    that have it are stored, and final failures that are final no longer are queued again. It runs
    on the master's machine, also while the master runs, and can be interrupted and begun again.
    With --json, each change is a line, and the totals are the last one.

    \b
    Examples:
      piw reclassify --dry-run
      piw reclassify lxml psycopg2
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.untrusted_names import normalize_project

    config = load_config(config_file, database__dsn=dsn)
    names = [normalize_project(name) for name in projects]
    asyncio.run(_run(config.database.dsn, config.webroot.root, names, dry_run, as_json))


async def _run(dsn: str, root: Path, projects: list[str], dry_run: bool, as_json: bool) -> None:
    import json

    from piwheels.db.database import Database
    from piwheels.formatting import pluralize
    from piwheels.master.reclassification import reclassify
    from piwheels.sanitize import strip_controls
    from piwheels.webroot import Webroot

    totals = {"judged": 0, "without_log": 0, "changed": 0, "queued": 0}
    async with await Database.connect(dsn, role="reclassify") as db:
        async for judgment in reclassify(db, Webroot(root), projects, dry_run=dry_run):
            totals["judged"] += 1
            totals["without_log"] += judgment.after is None
            totals["changed"] += judgment.changed
            totals["queued"] += judgment.requeue is not None
            if totals["judged"] % _PROGRESS_BUILDS == 0:
                click.echo(f"{pluralize(totals['judged'], 'build')} judged", err=True)
            before, after = judgment.before, judgment.after
            if after is None or not judgment.changed:
                continue
            row = {
                "build": after.build_id,
                "project": after.project,
                "version": after.version,
                "target": after.target,
                "class_before": str(before.failure_class),
                "class": str(after.failure_class),
                "packages": list(after.evidence.packages),
                "queued": judgment.requeue is not None,
            }
            if as_json:
                click.echo(json.dumps(row))
            elif after.failure_class is not before.failure_class or judgment.requeue:
                packages = f" ({' '.join(after.evidence.packages)})" * bool(row["packages"])
                queued = "; queued again" if judgment.requeue else ""
                what = f"{after.project} {after.version} for {after.target}, build {after.build_id}"
                change = f"{before.failure_class} -> {after.failure_class}{packages}{queued}"
                click.echo(strip_controls(f"{what}: {change}"))
    if as_json:
        click.echo(json.dumps(totals))
        return
    verb = "would change" if dry_run else "changed"
    click.echo(
        f"{pluralize(totals['judged'], 'build')} judged, {totals['without_log']} without a log, "
        f"{totals['changed']} {verb}, {totals['queued']} queued again"
    )
