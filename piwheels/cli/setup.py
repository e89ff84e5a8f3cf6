"""The verbs that set a farm up: web servers and units, keys, completion."""

from pathlib import Path

import click

from piwheels.cli.main import (
    cli,
    config_option,
    json_option,
    load_config,
    load_config_with_origins,
    yes_option,
)


@cli.group()
def deploy() -> None:
    """Print configuration for systemd and web servers, for the configured tree."""


@deploy.command("systemd")
@config_option
@click.option("--user", default="piwheels", show_default=True, help="The account to run under.")
@click.option(
    "--role",
    type=click.Choice(["master", "accesslog", "builder"]),
    help="Only this daemon's unit.",
)
@click.option(
    "--access-log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("/var/log/nginx/piwheels.log"),
    show_default=True,
    help="The web server's log, for the unit that reads it.",
)
def deploy_systemd(config_file: Path | None, user: str, role: str | None, access_log: Path) -> None:
    """Print hardened units for `piw master`, `piw accesslog` and `piw builder`."""
    from piwheels.config_templates import ROLES, render_units

    loaded, roles = load_config_with_origins(config_file), [role] if role else ROLES
    click.echo(render_units(loaded, user=user, roles=roles, access_log=access_log))


def _web_server(name: str, title: str, folder: str) -> None:
    @deploy.command(name, help=f"Print a {title} configuration that serves the tree.")
    @config_option
    @click.option("--server-name", default="_", show_default=True, help="The host name served.")
    @click.option("--port", type=click.IntRange(1, 65535), default=80, show_default=True)
    @click.option(
        "--access-log",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=Path(f"/var/log/{folder}/piwheels.log"),
        show_default=True,
    )
    def show(config_file: Path | None, server_name: str, port: int, access_log: Path) -> None:
        from piwheels.config_templates import render_web_server_config

        webroot = load_config(config_file).webroot
        text = render_web_server_config(
            name,
            root=webroot.root,
            server_name=server_name,
            port=port,
            access_log=access_log,
            url=webroot.url,
        )
        click.echo(text)


for _name, _title, _folder in (
    ("nginx", "nginx", "nginx"),
    ("apache", "Apache", "apache2"),  # where Debian's package logs
    ("caddy", "Caddy", "caddy"),
):
    _web_server(_name, _title, _folder)


@cli.group()
def key() -> None:
    """Make, allow and revoke the keys by which master and builders know each other.

    \b
    On the builder:  piw key new builder        prints the builder's public key
    On the master:   piw key allow NAME KEY     lets it in under that name, and prints the
                                                master's key for the builder's configuration
    """  # noqa: D301 - \b is click's mark for lines to keep


@key.command("new")
@click.argument("name", default="builder")
@config_option
def key_new(name: str, config_file: Path | None) -> None:
    """Make a key pair of this machine's own, and print its public key."""
    from piwheels.protocol.keys import MASTER, KeyStore

    config = load_config(config_file)
    folder = config.master.key_dir if name == MASTER else config.builder.key_dir
    click.echo(KeyStore(folder).generate(name).public)


@key.command("allow")
@click.argument("name")
@click.argument("public")
@click.option("--operator", is_flag=True, help="A console's key, for the control socket over TCP.")
@click.option("--watcher", is_flag=True, help="The same, for one that may look and change nothing.")
@config_option
def key_allow(
    name: str, public: str, operator: bool, watcher: bool, config_file: Path | None
) -> None:
    """Let the holder of a public key in, under a name."""
    from piwheels.protocol.keys import MASTER, KeyStore, Role

    if operator and watcher:
        raise click.UsageError("--operator and --watcher exclude each other")
    role = Role.OPERATOR if operator else Role.WATCHER if watcher else Role.BUILDER
    store = KeyStore(load_config(config_file).master.key_dir)
    store.authorize(role, name, public)
    click.echo(
        f"{name} is allowed; it needs the master's key: {store.load_or_generate(MASTER).public}"
    )


@key.command("list")
@config_option
@json_option
def key_list(config_file: Path | None, as_json: bool) -> None:
    """Print the master's own public key, and all that are allowed."""
    import json

    from piwheels.protocol.keys import MASTER, KeyStore

    store = KeyStore(load_config(config_file).master.key_dir)
    own = store.pair(MASTER)
    rows = [("master", MASTER, own.public)] if own else []
    rows += [(str(item.role), item.name, item.public) for item in store.authorized_keys()]
    if as_json:
        click.echo(
            json.dumps(
                [{"role": role, "name": name, "public": public} for role, name, public in rows]
            )
        )
        return
    for role, name, public in rows:
        click.echo(f"{role:<8}  {name:<20}  {public}")


@key.command("revoke")
@click.argument("name")
@yes_option
@config_option
def key_revoke(name: str, yes: bool, config_file: Path | None) -> None:
    """Take a key off the list; its holder is turned away when next heard of."""
    from piwheels.protocol.keys import KeyStore

    store = KeyStore(load_config(config_file).master.key_dir)
    if not yes:
        click.confirm(f"Revoke the key of {name}?", abort=True, err=True)
    for gone in store.revoke(name):
        click.echo(f"{gone.role} {gone.name} is no longer allowed")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script.

    \b
    bash, in ~/.bashrc:                  eval "$(piw completion bash)"
    zsh, in ~/.zshrc:                    eval "$(piw completion zsh)"
    fish, in ~/.config/fish/config.fish: piw completion fish | source
    """  # noqa: D301 - \b is click's mark for lines to keep
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is not None:
        click.echo(complete(cli, {}, "piw", "_PIW_COMPLETE").source())
