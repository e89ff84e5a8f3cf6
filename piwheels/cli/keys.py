"""`piw key`: the keys of builders, consoles and the master, and the one that signs statements."""

from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, json_option, load_config, yes_option
from piwheels.protocol.control_roles import ROLE_SUMMARIES, ControlRole


@cli.group()
def key() -> None:
    """Create, authorize and revoke the keys of builders and consoles.

    \b
    On the builder:  piw key generate builder       prints the builder's public key
    On the master:   piw key authorize NAME KEY     authorizes it under that name, and
                                                    prints the master's key for the builder
                     piw key rotate signing         a new key for signing how wheels were built
    """  # noqa: D301 - \b is click's mark for lines to keep


@key.command("generate")
@click.argument("name", default="builder")
@config_option
def key_generate(name: str, config_file: Path | None) -> None:
    """Create a key pair for this machine, and print its public key.

    \b
    Example:
      piw key generate builder
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.protocol.keys import MASTER, KeyStore

    config = load_config(config_file)
    directory = config.master.key_dir if name == MASTER else config.builder.key_dir
    click.echo(KeyStore(directory).generate(name).public)


_AUTHORIZE_HELP = """Authorize a public key under a name; again with another role changes the role.

\b
Roles of consoles; each may also do what those before it may:
{roles}

A change takes effect at the next command, also of an open console.

\b
Examples:
  piw key authorize pi1 KEY
  piw key authorize wall KEY --role watch
""".format(roles="\n".join(f"  {role:<12}{text}" for role, text in ROLE_SUMMARIES.items()))


@key.command("authorize", help=_AUTHORIZE_HELP, short_help="Authorize a public key under a name.")
@click.argument("name")
@click.argument("public", metavar="KEY")
@click.option(
    "--role",
    type=click.Choice([role.value for role in ControlRole]),
    help="A console's key, for the control socket over TCP: what it may do. Without this option it "
    "is a builder's key.",
)
@config_option
def key_authorize(name: str, public: str, role: str | None, config_file: Path | None) -> None:
    """Authorize a key; the help is above."""
    from piwheels.protocol.keys import MASTER, KeyStore, Role

    store = KeyStore(load_config(config_file).master.key_dir)
    store.authorize(Role(role or Role.BUILDER), name, public)
    click.echo(
        f"{name} is authorized; it needs the master's key: {store.load_or_generate(MASTER).public}"
    )


@key.command("list")
@config_option
@json_option
def key_list(config_file: Path | None, as_json: bool) -> None:
    """Print the master's own public key and all authorized keys.

    Those that sign how wheels were built are in provenance-keys.json of the web root.

    \b
    Example:
      piw key list
    """  # noqa: D301 - \b is click's mark for lines to keep
    import json

    from piwheels.protocol.keys import MASTER, KeyStore

    store = KeyStore(load_config(config_file).master.key_dir)
    own = store.pair(MASTER)
    rows = [("master", MASTER, own.public)] if own else []
    rows += [(str(item.role), item.name, item.public) for item in store.authorized_keys()]
    if as_json:
        names = ("role", "name", "public")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    for role, name, public in rows:
        click.echo(f"{role:<10}  {name:<20}  {public}")


@key.command("revoke")
@click.argument("name")
@yes_option
@config_option
def key_revoke(name: str, yes: bool, config_file: Path | None) -> None:
    """Revoke a key; its owner is disconnected at its next message.

    Open invitations by which a builder joined are named: its token is good for another key.

    \b
    Example:
      piw key revoke pi1
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.protocol.keys import KeyStore
    from piwheels.scheduler.builder_registration import BuilderRegistration

    store = KeyStore(load_config(config_file).master.key_dir)
    if not yes:
        click.confirm(f"Revoke the key of {name}?", abort=True, err=True)
    gone = store.revoke(name)
    for revoked in gone:
        click.echo(f"{revoked.role} {revoked.name} is no longer authorized")
    registration = BuilderRegistration(store)
    for each in (it for revoked in gone for it in registration.open_with(revoked.public)):
        click.echo(
            f"it joined by the invitation {each.id}, which is still open: "
            f"`piw builder uninvite {each.id}` ends that"
        )


@key.command("rotate")
@click.argument("name", type=click.Choice(["signing"]))
@click.option(
    "--revoke",
    default="",
    metavar="KEYID|current",
    help="Also revoke a key that others may have: the one that signs now, or an older one by the "
    "first digits of its id.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why it is revoked; it is published.")
@yes_option
@config_option
def key_rotate(name: str, revoke: str, reason: str, yes: bool, config_file: Path | None) -> None:
    """Replace the key that signs how wheels were built.

    A running master signs with the new key from its next wheel on, and publishes it before. The
    old private key is deleted; its public key stays published, so that what it signed verifies.

    Nothing that a revoked key signed verifies any more. The master publishes that within a
    minute, and signs the statements in its web root again.

    \b
    Examples:
      piw key rotate signing
      piw key rotate signing --revoke current --reason "backup was stolen"
    """  # noqa: D301 - \b is click's mark for lines to keep
    if reason and not revoke:
        raise click.UsageError("--reason goes with --revoke")
    from piwheels.provenance.public_keys import MAX_REASON_CHARS
    from piwheels.provenance.signing_keys import SigningKeys

    if len(reason) > MAX_REASON_CHARS:
        raise click.UsageError(f"a reason has at most {MAX_REASON_CHARS} characters")

    keys = SigningKeys(load_config(config_file).master.key_dir)
    if not yes:
        click.confirm(f"Replace the {name} key?", abort=True, err=True)
    click.echo(keys.rotate(revoke, reason).keyid)
