"""The `piw` command: verbs and options. Each verb's room is imported only when it is called."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from piwheels.config import Config, Loaded

INTERRUPTED = 130
TERMINATED = 143
_DEBUG = "PIWHEELS_DEBUG"

_config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The piwheels.toml to use (default: the nearest that is found; see `piw config`).",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask; for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="piwheels", prog_name="piw")
def cli() -> None:
    """Build Python wheels on your own machines, and serve them to pip and uv.

    \b
    To try it, with nothing set up beforehand:
        piw up markupsafe wrapt
    For a real farm:
        piw initdb; piw master; piw builder --master HOST; piw deploy --help
    To see how it does:
        piw status; piw explain PROJECT; piw log BUILD
    """  # noqa: D301 - \b is click's mark for lines to keep


def main() -> None:
    """Run the command; what goes wrong is one line on standard error and an exit code."""
    from piwheels.errors import PiwheelsError

    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.Abort:
        click.echo("piw: aborted", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except PiwheelsError as error:
        _complain(str(error))
        code = error.exit_code
    except ImportError as error:
        _complain(_missing_extra(error))
        code = 1
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        _complain(f"internal error: {type(error).__name__}: {error} (set {_DEBUG}=1 for more)")
        code = 1
    sys.exit(code or 0)


def _complain(text: str) -> None:
    click.echo(f"{click.style('piw:', fg='red')} {' '.join(text.split())}", err=True)


def _missing_extra(error: ImportError) -> str:
    return (
        f"{error.name or error} is not installed here; install the extra of this role "
        "(pip install 'piwheels[local]', [master], [builder] or [tui])"
    )


def _load(config_file: Path | None, **options: Any) -> "Loaded":
    from piwheels.config import load

    return load(
        config_file, options={key.replace("__", "."): value for key, value in options.items()}
    )


def _config(config_file: Path | None, **options: Any) -> "Config":
    return _load(config_file, **options).config


def _run(coroutine: Any) -> Any:
    import asyncio

    try:
        code = asyncio.run(coroutine)
    except asyncio.CancelledError:
        code = TERMINATED
    sys.exit(code)


# --- the private farm --------------------------------------------------------------------


@cli.command()
@click.argument("projects", nargs=-1, metavar="[PROJECT[==VERSION]]...")
@click.option(
    "-r",
    "--requirement",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A requirements.txt with further projects; may be given again.",
)
@click.option(
    "--latest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Build the N newest final releases of each project, not just one.",
)
@click.option("--all", "every", is_flag=True, help="Build every final release of each project.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("piwheels-farm"),
    show_default=True,
    metavar="DIR",
    help="Holds the whole farm; removing it removes the farm.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="An interpreter to build for; may be given again (default: this one).",
)
@click.option(
    "--builders",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builds run at once.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the index is served; 0.0.0.0 serves your whole network.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port of the index; 0 takes a free one.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="The Simple index to take releases from (default: the one that pip uses here).",
)
@click.option("--no-tui", is_flag=True, help="Print lines instead of a live display.")
@click.option(
    "--no-sandbox",
    is_flag=True,
    help="Build without a sandbox: only for code that you trust with this account.",
)
@click.option(
    "--exit-when-idle",
    is_flag=True,
    help="Stop when everything asked for is settled, print a table, and exit 1 if "
    "a wheel is missing.",
)
def up(**options: Any) -> None:
    """Run a whole farm of your own, here and now: nothing to set up.

    Starts a private database, a master, builders and a web server in DIR, builds the projects
    named, and prints the line that installs from it. Ctrl-C stops everything; the same command
    goes on where it stopped.

    \b
    piw up markupsafe wrapt
    piw up -r requirements.txt --python python3.11 --python python3.13 --exit-when-idle
    """  # noqa: D301 - \b is click's mark for lines to keep
    if options["latest"] and options["every"]:
        raise click.UsageError("--latest and --all exclude each other")
    from piwheels.local.up import Options, up

    _run(up(Options(**options)))


@cli.command()
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--access-log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where requests are logged, in the combined format.",
)
def serve(root: Path, host: str, port: int, access_log: Path | None) -> None:
    """Serve a tree for trying it out; a real farm has nginx, Apache or Caddy (`piw deploy`)."""
    from piwheels.local.webserver import serve as serve_tree

    serve_tree(root, host=host, port=port, access_log=access_log)


# --- the daemons -------------------------------------------------------------------------


@cli.command()
@_config_option
@click.option("--dsn", help="The database, over the configuration's.")
def initdb(config_file: Path | None, dsn: str | None) -> None:
    """Create the farm's tables, or bring them up to this version."""
    import asyncio

    from piwheels.db.migrate import initdb as migrate

    config = _config(config_file, database__dsn=dsn)
    before, after = asyncio.run(migrate(config.database.dsn))
    if before == after:
        click.echo(f"the database is at version {after} already")
    else:
        click.echo(f"the database went from version {before} to {after}")


@cli.command()
@_config_option
def master(config_file: Path | None) -> None:
    """Run the master: scheduling, receiving wheels, writing the index."""
    from piwheels.master.service import run

    sys.exit(run(_config(config_file)))


@cli.command()
@_config_option
@click.option("--master", "master_host", metavar="HOST", help="Where the master runs.")
@click.option(
    "--master-key", metavar="KEY", help="The master's public key, as `piw key list` says."
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="An interpreter to build for; may be given again (default: this one).",
)
@click.option(
    "--no-sandbox",
    is_flag=True,
    help="Build without a sandbox: only for code that you trust with this account.",
)
def builder(
    config_file: Path | None,
    master_host: str | None,
    master_key: str | None,
    pythons: tuple[str, ...],
    no_sandbox: bool,
) -> None:
    """Run a builder: takes one job at a time from the master, and builds it in a sandbox."""
    from piwheels.builder.daemon import run

    config = _config(
        config_file,
        builder__master=master_host,
        builder__master_key=master_key,
        builder__python=pythons or None,
        builder__sandbox=False if no_sandbox else None,
    )
    sys.exit(run(config))


@cli.command()
@_config_option
@_json_option
def config(config_file: Path | None, as_json: bool) -> None:
    """Print every setting, and where its value came from.

    A piwheels.toml is looked for at --config, $PIWHEELS_CONFIG, ./piwheels.toml,
    ~/.config/piwheels/piwheels.toml, /etc/piwheels/piwheels.toml and /etc/piwheels.toml. The
    variable PIWHEELS_<SECTION>_<KEY> overrides any key of it.
    """
    import json

    loaded = _load(config_file)
    if as_json:
        click.echo(
            json.dumps(
                {
                    item.key: {"value": item.value, "origin": item.origin}
                    for item in loaded.settings
                },
                default=str,
                indent=2,
            )
        )
        return
    width = max(len(item.key) for item in loaded.settings)
    for item in loaded.settings:
        value = list(map(str, item.value)) if isinstance(item.value, tuple) else item.value
        shown = json.dumps(value, default=str)
        origin = click.style(f"  # {item.origin}", dim=True)
        click.echo(f"{item.key:<{width}} = {shown}{origin}")


# --- deploying ---------------------------------------------------------------------------


@cli.group()
def deploy() -> None:
    """Print configuration for systemd and web servers, for the configured tree."""


@deploy.command("systemd")
@_config_option
@click.option("--user", default="piwheels", show_default=True, help="The account to run under.")
@click.option("--role", type=click.Choice(["master", "builder"]), help="Only this daemon's unit.")
def deploy_systemd(config_file: Path | None, user: str, role: str | None) -> None:
    """Print hardened units for `piw master` and `piw builder`."""
    from piwheels.deploy import ROLES, systemd

    click.echo(systemd(_load(config_file), user=user, roles=[role] if role else ROLES))


def _web_server(name: str, title: str) -> None:
    @deploy.command(name, help=f"Print a {title} configuration that serves the tree.")
    @_config_option
    @click.option("--server-name", default="_", show_default=True, help="The host name served.")
    @click.option("--port", type=click.IntRange(1, 65535), default=80, show_default=True)
    @click.option(
        "--access-log",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=Path(f"/var/log/{name}/piwheels.log"),
        show_default=True,
    )
    def show(config_file: Path | None, server_name: str, port: int, access_log: Path) -> None:
        from piwheels.deploy import web_server

        root = _config(config_file).webroot.root
        click.echo(
            web_server(name, root=root, server_name=server_name, port=port, access_log=access_log)
        )


for _name, _title in (("nginx", "nginx"), ("apache", "Apache"), ("caddy", "Caddy")):
    _web_server(_name, _title)


# --- keys --------------------------------------------------------------------------------


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
@_config_option
def key_new(name: str, config_file: Path | None) -> None:
    """Make a key pair of this machine's own, and print its public key."""
    from piwheels.protocol.keys import MASTER, KeyStore

    config = _config(config_file)
    folder = config.master.keys if name == MASTER else config.builder.keys
    click.echo(KeyStore(folder).make(name).public)


@key.command("allow")
@click.argument("name")
@click.argument("public")
@click.option("--operator", is_flag=True, help="A console's key, for the control socket over TCP.")
@_config_option
def key_allow(name: str, public: str, operator: bool, config_file: Path | None) -> None:
    """Let the holder of a public key in, under a name."""
    from piwheels.protocol.keys import MASTER, KeyStore, Role

    store = KeyStore(_config(config_file).master.keys)
    store.allow(Role.OPERATOR if operator else Role.BUILDER, name, public)
    click.echo(f"{name} is allowed; it needs the master's key: {store.ensure(MASTER).public}")


@key.command("list")
@_config_option
@_json_option
def key_list(config_file: Path | None, as_json: bool) -> None:
    """Print the master's own public key, and all that are allowed."""
    import json

    from piwheels.protocol.keys import MASTER, KeyStore

    store = KeyStore(_config(config_file).master.keys)
    own = store.pair(MASTER)
    rows = [("master", MASTER, own.public)] if own else []
    rows += [(str(item.role), item.name, item.public) for item in store.allowed()]
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
@_yes_option
@_config_option
def key_revoke(name: str, yes: bool, config_file: Path | None) -> None:
    """Take a key off the list; its holder is turned away at once."""
    from piwheels.protocol.keys import KeyStore

    store = KeyStore(_config(config_file).master.keys)
    if not yes:
        click.confirm(f"Revoke the key of {name}?", abort=True)
    for gone in store.revoke(name):
        click.echo(f"{gone.role} {gone.name} is no longer allowed")


# --- operators ---------------------------------------------------------------------------


@cli.command()
@_config_option
@_json_option
def status(config_file: Path | None, as_json: bool) -> None:
    """Show builders, queues, the last hour's builds and the disk."""
    from piwheels import admin

    _run(admin.status(_config(config_file), as_json=as_json))


@cli.command()
@click.argument("requirements", nargs=-1, metavar="PROJECT[==VERSION]...")
@click.option(
    "-r",
    "--requirement",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A requirements.txt with further projects; may be given again.",
)
@click.option(
    "--latest",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="The N newest final releases of each.",
)
@click.option("--all", "every", is_flag=True, help="Every final release of each.")
@_config_option
@_json_option
def add(
    requirements: tuple[str, ...],
    files: tuple[Path, ...],
    latest: int,
    every: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Follow projects from now on, and build their newest releases (or those named)."""
    from piwheels import admin
    from piwheels.requirements import wanted

    asked = wanted(requirements, files, latest=0 if every else latest)
    if not asked:
        raise click.UsageError("name a PROJECT, or a requirements file with -r")
    _run(admin.add(_config(config_file), asked, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.option("--skip", metavar="REASON", help="And keep it out from now on, for this reason.")
@_yes_option
@_config_option
@_json_option
def remove(
    release: str, skip: str | None, yes: bool, config_file: Path | None, as_json: bool
) -> None:
    """Remove a project or a release from the farm, with its wheels."""
    from piwheels import admin

    _run(admin.remove(_config(config_file), release, skip=skip, yes=yes, as_json=as_json))


@cli.command()
@click.argument("release", required=False, metavar="[PROJECT[==VERSION]]")
@click.option("--target", help="A target instead, or one of the release's.")
@click.option("--reason", default="by an operator", show_default=True)
@click.option("--lift", is_flag=True, help="Build it again.")
@_config_option
@_json_option
def skip(
    release: str | None,
    target: str | None,
    reason: str,
    lift: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Build a project, a release or a target no more; its wheels stay."""
    from piwheels import admin

    if not release and not target:
        raise click.UsageError("name a PROJECT[==VERSION] or a --target")
    config = _config(config_file)
    _run(admin.skip(config, release, target, None if lift else reason, as_json=as_json))


@cli.command()
@click.argument("project", required=False)
@_config_option
@_json_option
def rebuild(project: str | None, config_file: Path | None, as_json: bool) -> None:
    """Write the pages of a project again, or all pages; for wheels see `piw retry --built`."""
    from piwheels import admin

    _run(admin.rebuild(_config(config_file), project, as_json=as_json))


@cli.command("import")
@click.argument(
    "wheels",
    nargs=-1,
    required=True,
    metavar="WHEEL...",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@_config_option
@_json_option
def import_(wheels: tuple[Path, ...], config_file: Path | None, as_json: bool) -> None:
    """Publish wheels that were built elsewhere, after the same checks as a builder's."""
    from piwheels import admin

    _run(admin.import_wheels(_config(config_file), wheels, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@click.option("--built", is_flag=True, help="Also what was built: new wheels get a build number.")
@_config_option
@_json_option
def retry(
    release: str, target: str | None, built: bool, config_file: Path | None, as_json: bool
) -> None:
    """Try again what failed for good."""
    from piwheels import admin

    _run(admin.retry(_config(config_file), release, target, built=built, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@_config_option
@_json_option
def explain(release: str, target: str | None, config_file: Path | None, as_json: bool) -> None:
    """Say why a wheel is there or not, and what happens next."""
    from piwheels import admin

    _run(admin.explain(_config(config_file), release, target, as_json=as_json))


@cli.command()
@click.argument("build", type=click.IntRange(min=1))
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the build ends.")
@_config_option
def log(build: int, follow: bool, config_file: Path | None) -> None:
    """Print the log of a build."""
    from piwheels import admin

    _run(admin.log(_config(config_file), build, follow=follow))


@cli.command()
@_config_option
@_json_option
def pause(config_file: Path | None, as_json: bool) -> None:
    """Hand out no more jobs; builds in hand go on."""
    from piwheels import admin

    _run(admin.pause(_config(config_file), paused=True, as_json=as_json))


@cli.command()
@_config_option
@_json_option
def resume(config_file: Path | None, as_json: bool) -> None:
    """Hand out jobs again."""
    from piwheels import admin

    _run(admin.pause(_config(config_file), paused=False, as_json=as_json))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script: eval "$(piw completion bash)"."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is not None:
        click.echo(complete(cli, {}, "piw", "_PIW_COMPLETE").source())
