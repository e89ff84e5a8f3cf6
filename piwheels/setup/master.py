"""The steps that set up a master."""

import msgspec

from piwheels.errors import UsageError
from piwheels.protocol.invitation import is_host
from piwheels.setup.farm import (
    DATABASE_QUERY,
    POSTGRES,
    ROLE_QUERY,
    USER,
    Place,
    account_step,
    config_file_step,
    config_folder_step,
    farm_command,
    has_row,
    key_folder_step,
    link_step,
    packages_step,
    print_lines,
    secret_setting_step,
    service_step,
    setting_step,
    trust_step,
    unit_path,
    unit_step,
    webroot_step,
    webroot_trust_step,
)
from piwheels.setup.steps import DATABASE_VARIABLE, Step, command, file_step
from piwheels.setup.web_servers import WEB_SERVERS, WebServer, site_removal, web_server_steps

#: What `piw setup master` was called with; `piw upgrade --check` compares the site with it.
OPTIONS_FILE = "/etc/default/piwheels-setup"


class MasterOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a master is set up with."""

    server_name: str
    web: str = "nginx"  # "none": another web server, or another machine, serves the files
    #: A PostgreSQL elsewhere, which may have a password and is in no step; "" is one here.
    database: str = ""
    tls: str = ""  # "caddy": certificates by Caddy
    certificate: str = ""
    certificate_key: str = ""

    @property
    def url(self) -> str:
        """The address of the site."""
        return f"http{'s' if self.tls or self.certificate else ''}://{self.server_name}/"

    @property
    def server(self) -> WebServer | None:
        """The web server to set up."""
        return WEB_SERVERS.get(self.web)


def check_server_name(name: str) -> None:
    """Refuse what cannot be the host of the site's address; one of IPv6 is in brackets there.

    Raises:
        UsageError: it is no host name and no IP address.
    """
    host = name.removeprefix("[").removesuffix("]")
    if not is_host(host) or name != (f"[{host}]" if ":" in host else host):
        raise UsageError(
            f"--server-name {name!r} is no host name: write it as in wheels.example.org, without "
            "http:// and port"
        )


def master_steps(
    options: MasterOptions, place: Place, former: MasterOptions | None = None
) -> list[Step]:
    """Everything between an installed program and a farm that serves its index.

    Args:
        options: what to set up.
        place: where things are.
        former: the options of the last setup; None if there was none.
    """
    return [
        trust_step(),
        *_machine_steps(options, place),
        *_database_steps(options),
        config_file_step(),
        key_folder_step(),
        setting_step(place, "webroot.url", options.url, former.url if former else ""),
        *(
            [secret_setting_step(place, "database.dsn", DATABASE_VARIABLE)]
            if options.database
            else []
        ),
        _schema_step(place),
        *_former_site_steps(options, former),
        *site_steps(options, place),
        *_service_steps(options, place),
    ]


def _machine_steps(options: MasterOptions, place: Place) -> list[Step]:
    postgres = "postgresql-client" if options.database else "postgresql"
    server = [options.server.package] if options.server else []
    return [
        packages_step(postgres, *server),
        account_step(),
        link_step(place),
        config_folder_step(),
        webroot_trust_step(place),
        webroot_step(place),
    ]


def _database_steps(options: MasterOptions) -> list[Step]:
    """A role and a database for the account, which connects as itself over the local socket."""
    if options.database:
        return []
    return [
        Step(
            title="PostgreSQL runs",
            commands=(command("systemctl", "enable", "-q", "--now", "postgresql"),),
            done="systemctl is-enabled -q postgresql && pg_isready -q",
        ),
        Step(
            title=f"Role {USER} in PostgreSQL",
            commands=(command("createuser", USER, user=POSTGRES),),
            done=has_row(ROLE_QUERY),
        ),
        Step(
            title=f"Database {USER}",
            commands=(
                command(
                    "createdb", "-O", USER, "-E", "UTF8", "-T", "template0", USER, user=POSTGRES
                ),
            ),
            done=has_row(DATABASE_QUERY),
        ),
    ]


def _schema_step(place: Place) -> Step:
    upgrade = farm_command(place, "db", "upgrade")
    dry_run = farm_command(place, "db", "upgrade", "--dry-run")
    # A running master keeps its database from being upgraded; its service is started again later.
    stop = f"! test -e {unit_path('master')} || systemctl stop piwheels-master"
    return Step(
        title="Tables of the farm",
        commands=(command("sh", "-c", stop), upgrade),
        done=f"{dry_run.words} | grep -q 'already at version'",
    )


def site_steps(options: MasterOptions, place: Place) -> list[Step]:
    """The web server's site, and the options that it was printed with."""
    # The database may hold a password, and is in the configuration.
    given = msgspec.structs.asdict(options)
    lines = print_lines({key: given[key] for key in given if given[key] and key != "database"})
    steps = [file_step(f"Options of this setup in {OPTIONS_FILE}", OPTIONS_FILE, *lines)]
    if options.server:
        steps += web_server_steps(options.server, place, site_options(options))
    return steps


def _former_site_steps(options: MasterOptions, former: MasterOptions | None) -> list[Step]:
    """The web server of the last setup serves the farm no longer, if this one has another."""
    if former is None or former.server is None or former.server == options.server:
        return []
    return [site_removal(former.server)]


def site_options(options: MasterOptions) -> list[str]:
    """The options of `piw config nginx` and its like."""
    words = ["--server-name", options.server_name]
    if options.tls:
        words += ["--tls", options.tls]
    if options.certificate:
        words += [
            "--certificate",
            options.certificate,
            "--certificate-key",
            options.certificate_key,
        ]
    return words


def _service_steps(options: MasterOptions, place: Place) -> list[Step]:
    log = options.server.access_log if options.server else ""
    reader = (
        [unit_step(place, "accesslog", "--access-log", log), service_step(place, "accesslog")]
        if log
        else []
    )
    return [unit_step(place, "master"), service_step(place, "master"), *reader]
