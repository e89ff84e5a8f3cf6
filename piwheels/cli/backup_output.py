"""What `piw db backup` and `piw db restore` print."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import msgspec

    from piwheels.backup.restore import RestoreResult


def print_step(text: str) -> None:
    """Say on standard error what is being done, where a person watches."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text} ...", err=True, nl=False)


def print_json(result: "msgspec.Struct") -> None:
    """Print a result for scripts."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(result)).decode())


@contextmanager
def os_errors_as_lines() -> Iterator[None]:
    """Report a file that cannot be read or written in one line.

    Raises:
        PiwheelsError: one cannot.
    """
    from piwheels.errors import PiwheelsError

    try:
        yield
    except OSError as error:
        raise PiwheelsError(f"{error.filename or 'a file'}: {error.strerror or error}") from None


def restore_lines(done: "RestoreResult", *, dry_run: bool) -> Iterator[str]:
    """What was restored, what differed, and what comes next."""
    from piwheels.formatting import format_size, format_utc_minute, join_words, pluralize

    made = f"{format_utc_minute(done.created_at)} by piwheels {done.program_version}"
    if dry_run:
        yield f"the backup of {made} is complete; nothing was changed"
        if done.replaced:
            yield f"--force would replace {join_words(done.replaced)}"
    else:
        yield f"the backup of {made} was restored, with {pluralize(done.keys, 'key')}"
    if done.left_out:
        yield f"not restored: {join_words(done.left_out)}"
    tree = done.tree
    if tree.missing:
        what = f"{pluralize(tree.missing, 'wheel')} ({format_size(tree.missing_bytes)})"
        yield (
            f"the web root lacks {what}"
            if dry_run
            else f"the web root lacks {what}, to be built again"
        )
    if tree.not_buildable:
        yield f"of these, {pluralize(tree.not_buildable, 'wheel')} cannot be built without an sdist"
    if tree.adopted:
        yield f"listed again, from after the backup: {pluralize(tree.adopted, 'wheel')}"
    if tree.moved:
        yield f"moved aside, to {done.aside}: {pluralize(tree.moved, 'file')}"
    if tree.repaired:
        yield f"the audit repaired {pluralize(tree.repaired, 'other finding')}"
    if not dry_run:
        yield f"builds are numbered from {done.next_build_id}; start the master now"
