"""Steps that masters and builders share: packages, account, folders, settings and services."""

import json
import shlex

import msgspec

from piwheels.setup.steps import Command, Step, command, file_step, negated

USER = "piwheels"
HOME = "/var/lib/piwheels"
CONFIG_DIR = "/etc/piwheels"
CONFIG_FILE = f"{CONFIG_DIR}/piwheels.toml"
LINK = "/usr/local/bin/piw"
#: The account that may do everything in Debian's PostgreSQL.
POSTGRES = "postgres"
ROLE_QUERY = "SELECT 1 FROM pg_roles WHERE rolname = 'piwheels'"
DATABASE_QUERY = "SELECT 1 FROM pg_database WHERE datname = 'piwheels'"


class Place(msgspec.Struct, frozen=True):
    """Where things are on this machine, by the program's location and the settings in use."""

    program: str  # the command `piw`
    webroot: str = "/var/www/piwheels"


def packages_step(*names: str) -> Step:
    """Debian packages are installed."""
    query = shlex.join(("dpkg-query", "-W", "-f", "${db:Status-Status} ", *names))
    return Step(
        title=f"Debian packages: {', '.join(names)}",
        commands=(
            command("apt-get", "update", "-q"),
            command(
                "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y", *names
            ),
        ),
        done=f'test "$({query})" = "{"installed " * len(names)}"',
    )


def account_step() -> Step:
    """The account that the daemons run as."""
    add = ("useradd", "--system", "--user-group", "--create-home", "--home-dir", HOME)
    return Step(
        title=f"System account {USER}, at home in {HOME}",
        commands=(command(*add, "--shell", "/usr/sbin/nologin", USER),),
        done=f"getent passwd {USER}",
    )


def link_step(place: Place) -> Step:
    """The command `piw` is found without its path."""
    program, link = shlex.quote(place.program), LINK
    return Step(
        title=f"{link} is this program",
        commands=(command("ln", "-sfn", place.program, link),),
        done=f'test {program} = {link} || test "$(readlink {link})" = {program}',
        differs=f"test -e {link}",
    )


def folder_step(path: str) -> Step:
    """A folder of the account, which everybody may read."""
    folder = shlex.quote(path)
    return Step(
        title=f"Folder {path}",
        commands=(command("install", "-d", "-o", USER, "-g", USER, "-m", "0755", path),),
        done=f'test "$(stat -c "%U %a" {folder})" = "{USER} 755"',
        differs=f"test -e {folder}",
    )


def config_file_step() -> Step:
    """A configuration, which may hold a password: for the account and its group."""
    return Step(
        title=f"Configuration {CONFIG_FILE}",
        commands=(command("install", "-m", "0640", "/dev/null", CONFIG_FILE, user=USER),),
        done=f"test -e {CONFIG_FILE}",
    )


def setting_step(place: Place, key: str, value: str, former: str = "") -> Step:
    """A setting is in the configuration.

    One that is there stays, unless it is `former`, the value that an earlier setup wrote.
    """
    shown = farm_command(place, "config", "get", key).words
    is_former = f'test "$({shown})" = {shlex.quote(former)}'
    pattern = shlex.quote(f"^{key} .*# {CONFIG_FILE}$")
    return Step(
        title=f"Setting {key}",
        commands=(farm_command(place, "config", "set", key, value),),
        done=f"{farm_command(place, 'config', 'show').words} | grep -q {pattern}"
        + (f" && {negated(is_former)}" if former not in {"", value} else ""),
    )


def farm_command(place: Place, *words: str) -> Command:
    """A command of `piw`, as the account and with the farm's configuration."""
    return command(place.program, *words, "--config", CONFIG_FILE, user=USER)


def has_row(query: str) -> str:
    """A test: a query of PostgreSQL's system tables has an answer."""
    return f"{command('psql', '-tAc', query, user=POSTGRES).words} | grep -qx 1"


UNIT_DIR = "/etc/systemd/system"


def unit_path(role: str) -> str:
    """The file of a daemon's unit."""
    return f"{UNIT_DIR}/piwheels-{role}.service"


def unit_step(place: Place, role: str, *options: str) -> Step:
    """The unit of a daemon, as `piw config systemd` prints it."""
    words = (place.program, "config", "systemd", "--role", role, "--config", CONFIG_FILE)
    return file_step(f"Unit {unit_path(role)}", unit_path(role), *words, *options)


def service_step(place: Place, role: str) -> Step:
    """A daemon runs with its present unit, program and settings, also after a reboot."""
    unit = f"piwheels-{role}"
    is_current = running_since(unit, unit_path(role), place.program, CONFIG_FILE)
    return Step(
        title=f"Service {unit}",
        commands=(
            command("systemctl", "daemon-reload"),
            command("systemctl", "enable", "-q", unit),
            command("systemctl", "restart", unit),
        ),
        done=f"systemctl is-enabled -q {unit} && {is_current}",
    )


def running_since(unit: str, *files: str) -> str:
    """A test: a service was started or reloaded after these files were written."""
    changed = f"systemctl show {unit} -P StateChangeTimestamp --timestamp=unix | tr -d @"
    written = f"stat -L -c %Y {shlex.join(files)} | sort -n | tail -n 1"
    return f'systemctl is-active -q {unit} && test "$({changed})" -ge "$({written})"'


def print_lines(lines: dict[str, str]) -> tuple[str, ...]:
    """The command that prints settings as lines of TOML that are lines of shell as well."""
    return ("printf", "%s\\n", *(f"{key}={json.dumps(value)}" for key, value in lines.items()))
