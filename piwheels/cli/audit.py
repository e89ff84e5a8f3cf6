"""`piw audit`: compares the database with the web root."""

import sys
from typing import TYPE_CHECKING, Any

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
    from piwheels.audit.finding import ReportedFinding
    from piwheels.audit.position import Counts
    from piwheels.audit.session import AuditOptions
    from piwheels.audit.statements import StatementCheck
    from piwheels.bucket.store import Store
    from piwheels.config import Config


@cli.command("audit")
@click.argument("projects", nargs=-1, metavar="[PROJECT]...")
@click.option("--fix", is_flag=True, help="Repair what is found; nothing unknown is deleted.")
@click.option(
    "--hashes/--no-hashes",
    default=True,
    help="Read every byte of wheels, logs and compressed pages (the default), or only look which "
    "are there.",
)
@click.option(
    "--bucket/--no-bucket",
    default=True,
    help="Compare the bucket of publish.target, too (the default), or only this machine's files.",
)
@click.option("--rate", metavar="RATE", help="Read at most so much: 500/s (files) or 20MB/s.")
@click.option("--restart", is_flag=True, help="Do not go on where an interrupted audit was.")
@click.option(
    "--allow-empty",
    is_flag=True,
    help="With --fix: repair although most or all wheels are missing.",
)
@config_option
@dsn_option
@json_option
def audit(**options: Any) -> None:
    """Compare the database with wheels, pages and logs, and repair what differs.

    Says of each file whether it is missing, extra or wrong, and what --fix does about it: pages are
    written again, builds of lost or damaged wheels are queued, metadata is written from the wheel,
    and what the farm does not know is moved to moved-aside/ in master.spool_dir. With
    publish.target it then compares the bucket, which it asks for each object. The farm may keep
    running. An audit that was interrupted goes on when it is run again.

    Runs on the master's machine. Exits with 0 if all is right, 1 if anything was found, 2 if the
    audit could not run.

    \b
    Examples:
      piw audit
      piw audit --fix --rate 20MB/s
      piw audit numpy --no-hashes --json
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.audit.errors import AuditError
    from piwheels.errors import PiwheelsError

    try:
        asked = _options(options)
        config = load_config(options["config_file"], database__dsn=options["dsn"])
        if asked.fix:
            refuse_root(config.webroot.root)
        printer = _Printer(as_json=options["as_json"], fix=asked.fix)
        bucket = _bucket(config) if options["bucket"] else None
        code = asyncio.run(_run(config, asked, printer, bucket))
    except PiwheelsError as error:
        raise AuditError(str(error)) from error
    sys.exit(code)


def _options(options: dict[str, Any]) -> "AuditOptions":
    from piwheels.audit.rate_limit import RateLimit, parse_rate
    from piwheels.audit.session import AuditOptions
    from piwheels.untrusted_names import normalize_project

    return AuditOptions(
        projects=tuple(sorted({normalize_project(name) for name in options["projects"]})),
        fix=options["fix"],
        hashes=options["hashes"],
        rate=parse_rate(options["rate"]) if options["rate"] else RateLimit(),
        restart=options["restart"],
        allow_empty=options["allow_empty"],
    )


def _bucket(config: "Config") -> "Store | None":
    from piwheels.bucket.store import open_store

    return open_store(config.publish) if config.publish.target else None


async def _run(
    config: "Config", options: "AuditOptions", printer: "_Printer", bucket: "Store | None"
) -> int:
    from piwheels.audit.run import run_audit
    from piwheels.db.database import Database
    from piwheels.webroot import Webroot

    async with await Database.connect(config.database.dsn, role="audit") as db:
        with printer:
            counts = await run_audit(
                db,
                Webroot(config.webroot.root),
                config.master.spool_dir,
                options,
                bucket=bucket,
                on_finding=printer.finding,
                on_progress=printer.progress,
                statements=_statement_check(config),
            )
            printer.totals(counts)
    return 1 if counts.findings else 0


def _statement_check(config: "Config") -> "StatementCheck | None":
    """What verifies statements; None, with a note, where that cannot be."""
    from piwheels.errors import PiwheelsError
    from piwheels.webroot import Webroot

    try:
        from piwheels.audit.statements import StatementCheck
        from piwheels.provenance.signing_keys import SigningKeys
        from piwheels.provenance.writer import StatementWriter
        from piwheels.scheduler.known_keys import KeyRecorder

        keys = SigningKeys(config.master.key_dir)
        url = f"{config.webroot.url.rstrip('/')}/"
        record_keys = KeyRecorder(config.database.dsn)
        root = Webroot(config.webroot.root)
        return StatementCheck.of(StatementWriter(keys, root, url, record_keys))
    except (ImportError, PiwheelsError) as error:
        click.echo(
            f"piw: note: signatures of statements are not verified ({error}): run this as the "
            "master's account, where the Python package cryptography is",
            err=True,
        )
        return None


class _Printer:
    """Prints findings as they come, as lines or one JSON document, and progress on a terminal."""

    def __init__(self, *, as_json: bool, fix: bool) -> None:
        self._as_json = as_json
        self._fix = fix
        self._separator = ""
        self._shows_progress = sys.stderr.isatty()
        self._totals = "null"

    def __enter__(self) -> None:
        if self._as_json:
            click.echo('{"findings": [', nl=False)

    def __exit__(self, *_: object) -> None:
        self._clear_progress()
        if self._as_json:
            click.echo(f'\n], "totals": {self._totals}}}')

    def finding(self, found: "ReportedFinding") -> None:
        """Print a finding."""
        self._clear_progress()
        if self._as_json:
            import msgspec

            click.echo(f"{self._separator}\n{msgspec.json.encode(found).decode()}", nl=False)
            self._separator = ","
            return
        whose = f" ({found.project})" if found.project else ""
        click.echo(f"{found.problem} {found.path}{whose}: {found.detail}; {self._deed(found)}")

    def progress(self, part: str, fraction: float, counts: "Counts") -> None:
        """Show how far the audit is, if a person looks."""
        if self._shows_progress:
            click.echo(f"\r\x1b[K{part}: {fraction:.0%}, {counts.files} files", err=True, nl=False)

    def totals(self, counts: "Counts") -> None:
        """Print the totals, last."""
        if self._as_json:
            import msgspec

            self._totals = msgspec.json.encode(counts).decode()
            return
        self._clear_progress()
        repaired = f", {counts.repaired} repaired" if self._fix else ""
        click.echo(
            f"{counts.files} files compared: {counts.missing} missing, {counts.extra} extra, "
            f"{counts.wrong} wrong{repaired}"
        )

    def _deed(self, found: "ReportedFinding") -> str:
        if found.repaired is None:
            return f"--fix: {found.repair}"
        if found.repaired:
            return f"done: {found.repair}"
        return f"not repaired: {found.trouble or found.repair}"

    def _clear_progress(self) -> None:
        if self._shows_progress:
            click.echo("\r\x1b[K", err=True, nl=False)
