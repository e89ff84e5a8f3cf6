"""`piw verify`: whether a wheel is as a farm built it, and how that was."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piwheels.cli.main import cli
from piwheels.cli.options import json_option

if TYPE_CHECKING:
    from piwheels.provenance.errors import NotVerifiedError
    from piwheels.provenance.verification import Verified

_NOT_VERIFIED = 1


@cli.command()
@click.argument("wheel", metavar="WHEEL|URL")
@click.option(
    "--index", default="", metavar="URL", help="The farm, for the statement and keys of a file."
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Trusted keys: a saved provenance-keys.json, or 64 hexadecimal digits.",
)
@json_option
def verify(wheel: str, index: str, key_file: Path | None, as_json: bool) -> None:
    """Check the signed statement of how a wheel was built, and print it.

    The wheel has to have the bytes and the name that the statement says, and a trusted key has to
    have signed it. The exit code is 0 if so, 1 if not, and 2
    if the statement or the keys are not where they were looked for.

    Without --key the keys are those that the farm publishes at the same address: that shows
    damage and mix-ups, and not that the web server was taken over. Save provenance-keys.json of
    the farm once, over a way that you trust, and give it with --key.

    \b
    Examples:
      piw verify https://wheels.example.org/packages/ab/abcd/demo-1.0-py3-none-any.whl
      piw verify demo-1.0-py3-none-any.whl --index https://wheels.example.org
      piw verify demo-1.0-py3-none-any.whl --index https://wheels.example.org --key keys.json
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.provenance.check import check_wheel
    from piwheels.provenance.errors import NotVerifiedError

    try:
        verified = check_wheel(wheel, index, key_file)
    except NotVerifiedError as error:
        if as_json:
            _print_failure(error)
        else:
            click.echo(f"piw: not verified: {error}", err=True)
        sys.exit(_NOT_VERIFIED)
    if as_json:
        _print_json(verified, pinned=key_file is not None)
    else:
        _print_words(verified, key_file)


def _print_words(verified: "Verified", key_file: Path | None) -> None:
    click.echo(f"{verified.subject.name} is verified")
    known = (
        f"of {key_file}"
        if key_file
        else "as the same address publishes it, which is no proof if its server was taken over: "
        "see --key"
    )
    rows = [
        ("sha256", verified.subject.sha256),
        *verified.describe(),
        ("key", f"{verified.key.keyid} {known}"),
    ]
    for label, text in rows:
        click.echo(f"  {label:<7} {text}")


def _print_json(verified: "Verified", *, pinned: bool) -> None:
    import json

    document = {
        "verified": True,
        "file": verified.subject.name,
        "sha256": verified.subject.sha256,
        "keyid": verified.key.keyid,
        "key_from": "file" if pinned else "index",
        "statement": json.loads(verified.payload),
    }
    click.echo(json.dumps(document))


def _print_failure(error: "NotVerifiedError") -> None:
    import json

    click.echo(json.dumps({"verified": False, "problem": error.problem, "text": str(error)}))
