"""`piw config`: settings, and the configuration of other programs and of batch systems."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    given_duration,
    json_option,
    load_config,
    load_config_with_origins,
    read_secret,
    tls_options,
)
from piwheels.debian_paths import ACCESS_LOGS, EDGE_ACCESS_LOG, NGINX_CACHE

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _path_option(name: str, default: Path, help_text: str, *, metavar: str = "FILE") -> _Decorator:
    """A path that is written into a configuration: it need not exist here."""
    return click.option(
        name,
        type=click.Path(path_type=Path),
        metavar=metavar,
        default=default,
        show_default=True,
        help=help_text,
    )


@cli.group("config")
def config() -> None:
    """Show and change settings; print configuration for systemd, web servers, mirrors, batch
    systems and monitoring.

    \b
    Examples:
      piw config show
      piw config set master.max_attempts 5
      piw config nginx --server-name wheels.example.org
    """  # noqa: D205, D301 - \b is click's mark for lines to keep


@config.command("show")
@config_option
@json_option
def config_show(config_file: Path | None, as_json: bool) -> None:
    """Print every setting and the origin of its value.

    A piwheels.toml is searched for at --config, $PIWHEELS_CONFIG, ./piwheels.toml,
    ~/.config/piwheels/piwheels.toml, /etc/piwheels/piwheels.toml and /etc/piwheels.toml. The
    variable PIWHEELS_<SECTION>_<KEY> overrides any key of it.

    \b
    Example:
      piw config show
    """  # noqa: D301 - \b is click's mark for lines to keep
    import json

    loaded = load_config_with_origins(config_file)
    if as_json:
        values = {
            item.key: {"value": item.value, "origin": item.origin} for item in loaded.settings
        }
        click.echo(json.dumps(values, default=str, indent=2))
        return
    width = max(len(item.key) for item in loaded.settings)
    for item in loaded.settings:
        origin = click.style(f"  # {item.origin}", dim=True)
        click.echo(f"{item.key:<{width}} = {_toml_value(item.value)}{origin}")


def _toml_value(value: object) -> str:
    import json

    value = list(map(str, value)) if isinstance(value, tuple) else value
    return json.dumps(value, default=str)


@config.command("get")
@click.argument("key")
@config_option
def config_get(key: str, config_file: Path | None) -> None:
    """Print the value of one setting.

    \b
    Example:
      piw config get database.dsn
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.edit_config import unknown_setting

    for item in load_config_with_origins(config_file).settings:
        if item.key == key:
            click.echo(_plain_value(item.value))
            return
    raise unknown_setting(key)


def _plain_value(value: object) -> str:
    """A value as `piw config set` accepts it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@config.command("set")
@click.argument("key")
@click.argument("value")
@config_option
def config_set(key: str, value: str, config_file: Path | None) -> None:
    """Change one setting in the piwheels.toml in use.

    Separate the items of a list with commas. The change takes effect when the daemons restart. A
    VALUE of - is read from standard input, for one with a password.

    \b
    Examples:
      piw config set master.max_attempts 5
      piw config set builder.interpreters python3.11,python3.13
      piw config set database.dsn -
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.edit_config import set_value

    if value == "-":
        value = read_secret(Path("-"), key)

    file = set_value(config_file, key, value)
    click.echo(f"{file}: {key} is set")


@config.command("systemd")
@config_option
@click.option(
    "--user", default="piwheels", show_default=True, help="The account that the daemons run as."
)
@click.option(
    "--role",
    type=click.Choice(["master", "accesslog", "builder", "backup", "backup-timer"]),
    help="Print only this daemon's unit; or that of a daily `piw db backup`, and of its timer.",
)
@_path_option(
    "--access-log", ACCESS_LOGS["nginx"], "The web server's log, for the unit that reads it."
)
@_path_option(
    "--backup-dir", Path("/var/backups/piwheels"), "Where daily backups are kept.", metavar="DIR"
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    default=14,
    show_default=True,
    help="How many daily backups are kept.",
)
def config_systemd(
    config_file: Path | None,
    user: str,
    role: str | None,
    access_log: Path,
    backup_dir: Path,
    keep: int,
) -> None:
    """Print hardened systemd units for the daemons.

    \b
    Examples:
      piw config systemd --role builder
      piw config systemd --role backup --backup-dir /backup --keep 30
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates import (
        BACKUP_TIMER,
        ROLES,
        render,
        render_backup_service,
        render_units,
    )

    loaded, roles = load_config_with_origins(config_file), [role] if role else ROLES
    if role == "backup":
        click.echo(render_backup_service(loaded, user=user, folder=backup_dir, keep=keep))
        return
    if role == "backup-timer":
        click.echo(render(BACKUP_TIMER))
        return
    click.echo(render_units(loaded, user=user, roles=roles, access_log=access_log))


@config.command("prometheus")
@config_option
@click.option(
    "--builder",
    "builders",
    multiple=True,
    metavar="HOST:PORT",
    help="Where a builder serves its metrics; repeatable. Default: builder.metrics_bind.",
)
@click.option(
    "--only",
    type=click.Choice(["scrape", "rules"]),
    help="Print only the scrape configuration, or only the alert rules.",
)
def config_prometheus(
    config_file: Path | None, builders: tuple[str, ...], only: str | None
) -> None:
    """Print a scrape configuration and alert rules for Prometheus.

    \b
    Examples:
      piw config prometheus --only scrape --builder 10.0.0.17:9462
      piw config prometheus --only rules > /etc/prometheus/piwheels.rules.yml
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates.monitoring import render_alert_rules, render_scrape_config

    texts = []
    if only != "rules":
        texts.append(render_scrape_config(load_config(config_file), builders))
    if only != "scrape":
        texts.append(render_alert_rules())
    click.echo("\n\n".join(texts))


@config.command("grafana")
@config_option
def config_grafana(config_file: Path | None) -> None:
    """Print a Grafana dashboard as JSON, to import.

    \b
    Example:
      piw config grafana > piwheels-dashboard.json
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates.monitoring import render_dashboard

    load_config(config_file)
    click.echo(render_dashboard())


_idle_option = click.option(
    "--idle", default="2m", show_default=True, help="A builder ends after this long without a job."
)


@config.command("slurm", short_help="Print an array job and a timer for builders on Slurm.")
@config_option
@click.option(
    "--only",
    type=click.Choice(["script", "service", "timer"]),
    help="Print only the script that runs a builder, or a unit of the scaler.",
)
@_path_option(
    "--script",
    Path("/etc/piwheels/slurm-builder.sh"),
    "Where the script is kept, beside the scaler.",
)
@_path_option(
    "--builder-config",
    Path("/etc/piwheels/piwheels.toml"),
    "The builders' configuration on the nodes.",
)
@click.option(
    "--time", "time_limit", default="12h", show_default=True, help="Time limit of a builder."
)
@_idle_option
@click.option(
    "--user", default="piwheels", show_default=True, help="The account that submits builders."
)
def config_slurm(config_file: Path | None, only: str | None, **options: Any) -> None:
    """Print an array job for builders on demand on Slurm, and a service and timer that submit it.

    The timer runs `piw builder scale`.

    \b
    Examples:
      piw config slurm
      piw config slurm --only script --time 1d > /etc/piwheels/slurm-builder.sh
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates.batch_systems import render_slurm

    loaded = load_config_with_origins(config_file)
    time_limit, idle = (given_duration(options.pop(key)) for key in ("time_limit", "idle"))
    parts = render_slurm(loaded, time_limit_s=time_limit, idle_s=idle, **options)
    click.echo("\n\n".join(text for name, text in parts.items() if only in {None, name}))


def _server_options(access_log: Path) -> _Decorator:
    """The options of every web server: its name, port, TLS and access log."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            _path_option("--access-log", access_log, "The access log to write."),
            tls_options,
            click.option(
                "--port",
                type=click.IntRange(1, 65535),
                help="The port to serve on.  [default: 80, or 443 with TLS]",
            ),
            click.option(
                "--server-name",
                default="_",
                show_default=True,
                help="The host name to serve; _ is any.",
            ),
        ):
            command = option(command)
        return command

    return add


def _bucket_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a proxy in front of a bucket."""
    cache_help = "Where nginx keeps what it read from the bucket."
    command = _path_option("--cache-dir", NGINX_CACHE, cache_help, metavar="FOLDER")(command)
    return click.option(
        "--bucket",
        "bucket_url",
        default="",
        metavar="URL",
        help="Serve the copy in a bucket that everybody may read here (docs/object-storage.md).",
    )(command)


@config.command("kubernetes", short_help="Print builders on Kubernetes, and their scaler.")
@config_option
@click.option("--image", required=True, metavar="IMAGE", help="The container image of all pods.")
@click.option(
    "--namespace", default="piwheels", show_default=True, help="The namespace of all objects."
)
@click.option("--time", "time_limit", default="12h", show_default=True, help="Time limit of a Job.")
@_idle_option
@click.option(
    "--connect",
    "control",
    default="",
    metavar="ADDRESS",
    help="The master's control socket, tcp://HOST:PORT. [default: builder.master, port 5554]",
)
@click.option("--job", "pool", metavar="POOL", help="Print only the Job of this pool.")
def config_kubernetes(
    config_file: Path | None, time_limit: str, idle: str, pool: str | None, **options: Any
) -> None:
    """Print builders on demand on Kubernetes, and the scaler that starts them.

    A CronJob runs `piw builder scale`, which creates a Job for each builder. The pools are the
    sections [pool.NAME] of piwheels.toml. docs/builders-on-demand.md says what the image has, and
    what the sandbox of builds needs of the cluster. With --job the Job of a pool is printed, for a
    scaler that runs elsewhere.

    \b
    Examples:
      piw config kubernetes --image registry.example.org/piwheels-builder:1 > builders.yaml
      piw config kubernetes --image registry.example.org/piwheels-builder:1 --job arm64
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates import batch_systems

    given = batch_systems.KubernetesOptions(
        time_limit_s=given_duration(time_limit), idle_s=given_duration(idle), **options
    )
    loaded = load_config(config_file)
    if pool is None:
        click.echo(batch_systems.render_kubernetes(loaded, given))
    else:
        click.echo(batch_systems.render_kubernetes_job(loaded, given, pool))


@config.command("mirror", short_help="Print a script that mirrors a site, or an edge.")
@config_option
@click.option(
    "--source",
    metavar="SOURCE",
    help="The farm's web root for rsync, to copy: rsync://HOST/piwheels or USER@HOST:/FOLDER.",
)
@click.option(
    "--origin", metavar="URL", help="The farm's site, for an edge that caches it: https://HOST."
)
@click.option(
    "--only",
    type=click.Choice(["script", "service", "timer", "edge", "rsyncd"]),
    help="Print only the script or a unit of the copy, the edge, or rsync's module on the farm.",
)
@_path_option("--root", Path("/srv/piwheels"), "Where the copy is.", metavar="FOLDER")
@_path_option("--script", Path("/usr/local/sbin/piwheels-mirror"), "Where the script is kept.")
@click.option("--user", default="piwheels", show_default=True, help="The account that copies.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="KB",
    default=0,
    help="Maximum rate in kilobytes per second.  [default: no limit]",
)
@_server_options(EDGE_ACCESS_LOG)
@_path_option("--cache", NGINX_CACHE, "Where the edge keeps what was asked for.", metavar="FOLDER")
@click.option(
    "--cache-size", "size", default="50g", show_default=True, help="How much it keeps: 500m, 50g."
)
def config_mirror(config_file: Path | None, only: str | None, **options: Any) -> None:
    """Print a script that mirrors a farm's site, or an nginx edge that caches it.

    With --source: a script that copies with rsync, a service and a timer; a web server serves the
    copy as it does on the farm (`piw config nginx`). With --origin: an nginx that keeps what was
    asked for, and serves it also when the farm does not answer.

    \b
    Examples:
      piw config mirror --source rsync://wheels.example.org/piwheels --limit 5000
      piw config mirror --origin https://wheels.example.org --server-name edge.example.org
      piw config mirror --only rsyncd
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.config_mirror import MirrorOptions, mirror_parts

    parts = mirror_parts(load_config(config_file), only, MirrorOptions(**options))
    click.echo("\n\n".join(text for name, text in parts.items() if only in {None, name}))


def _web_server(name: str, title: str) -> None:
    help_text = (
        f"Print a configuration for {title} that serves the web root.\n\n\b\nExample:\n"
        f"  piw config {name} --server-name wheels.example.org"
    )

    @config.command(name, help=help_text)
    @config_option
    @_server_options(ACCESS_LOGS[name])
    @_bucket_options
    def show(
        config_file: Path | None,
        mode: str | None,
        certificate: Path | None,
        certificate_key: Path | None,
        **given: Any,
    ) -> None:
        from piwheels.config_templates import WebServerSite, render_web_server_config, tls_of

        tls = tls_of(mode, certificate, certificate_key)
        webroot = load_config(config_file).webroot
        site = WebServerSite(root=webroot.root, url=webroot.url, tls=tls, **given)
        click.echo(render_web_server_config(name, site))


for _name, _title in (("nginx", "nginx"), ("apache", "Apache"), ("caddy", "Caddy")):
    _web_server(_name, _title)


@config.command("worker", short_help="Print a worker that serves a bucket's copy of the site.")
@config_option
@click.option(
    "--bucket",
    "bucket_url",
    required=True,
    metavar="URL",
    help="Where everybody may read the bucket of publish.target.",
)
def config_worker(config_file: Path | None, bucket_url: str) -> None:
    """Print a worker that serves the copy of the web root in a bucket.

    It is a module for Cloudflare Workers, and what runs these: it picks JSON or HTML of the Simple
    API, redirects to normalized names, keeps what it read, and serves that while the bucket does
    not answer.

    \b
    Example:
      piw config worker --bucket https://storage.example.net/wheels > worker.mjs
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.config_templates import render_worker

    click.echo(render_worker(bucket_url, url=load_config(config_file).webroot.url))


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
