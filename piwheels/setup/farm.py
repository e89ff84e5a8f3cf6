"""Steps that masters and builders share: packages, account, folders, settings and services."""

import json
import shlex

import msgspec

from piwheels.setup.steps import Command, Step, command, file_step, guard_step, negated

USER = "piwheels"
HOME = "/var/lib/piwheels"
CONFIG_DIR = "/etc/piwheels"
CONFIG_FILE = f"{CONFIG_DIR}/piwheels.toml"
KEY_DIR = f"{HOME}/keys"
#: Where keys were, in a folder that root reads settings from, before they had one of their own.
_FORMER_KEY_DIR = f"{CONFIG_DIR}/keys"
LINK = "/usr/local/bin/piw"
#: The account that may do everything in Debian's PostgreSQL.
POSTGRES = "postgres"
ROLE_QUERY = "SELECT 1 FROM pg_roles WHERE rolname = 'piwheels'"
DATABASE_QUERY = "SELECT 1 FROM pg_database WHERE datname = 'piwheels'"


class Place(msgspec.Struct, frozen=True):
    """Where things are on this machine, by the program's location and the settings in use."""

    program: str  # the command `piw`
    webroot: str = "/var/www/piwheels"
    #: The farm's account can replace a part of that path: root does nothing there.
    webroot_is_the_accounts: bool = False

    @property
    def webroot_user(self) -> str:
        """Who makes and removes the web root; "" is root."""
        return USER if self.webroot_is_the_accounts else ""


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


def trust_step() -> Step:
    """Root alone writes the settings that root's commands read.

    Whoever could change them would choose which folders root hands over and removes, and what is
    written into units.
    """
    places = f"{CONFIG_DIR} {CONFIG_FILE}"
    unsafe = f"find {places} -maxdepth 0 '(' ! -user root -o -type l -o -perm /022 ')'"
    return guard_step(
        "Root alone writes the settings",
        f'test -z "$({unsafe} 2> /dev/null)"',
        f"another account than root can write {CONFIG_FILE}: look at what it says, and then run "
        f"`chown root:{USER} {places} && chmod go-w {places}`",
    )


def config_folder_step() -> Step:
    """The folder of the settings: root's, with files for the account to read."""
    owner = ("-o", "root", "-g", USER)
    return Step(
        title=f"Folder {CONFIG_DIR}",
        commands=(command("install", "-d", *owner, "-m", "0755", CONFIG_DIR),),
        done=f'test "$(stat -c "%U:%G %a" {CONFIG_DIR})" = "root:{USER} 755"',
        differs=f"test -e {CONFIG_DIR}",
    )


def webroot_step(place: Place) -> Step:
    """The folder of what is served: the account's, and everybody may read it."""
    folder = shlex.quote(place.webroot)
    make = (
        command("mkdir", "-p", "-m", "0755", place.webroot, user=USER)
        if place.webroot_is_the_accounts
        else command("install", "-d", "-o", USER, "-g", USER, "-m", "0755", place.webroot)
    )
    return Step(
        title=f"Folder {place.webroot}",
        commands=(make,),
        done=f'test "$(stat -c "%U %a" {folder})" = "{USER} 755"',
        differs=f"test -e {folder}",
    )


def webroot_trust_step(place: Place) -> Step:
    """The folder of what is served is the account's already, or it is new or empty."""
    folder = shlex.quote(place.webroot)
    return guard_step(
        f"{place.webroot} belongs to the farm",
        f"! test -e {folder} || "
        f'test "$(stat -L -c %U {folder})" = {USER} || test -z "$(ls -A {folder})"',
        f"{place.webroot} (webroot.root) has files of another account: choose another folder, or "
        f"give it to {USER} by yourself",
    )


def config_file_step() -> Step:
    """A configuration, which may hold a password: root writes it, and the account reads it."""
    return Step(
        title=f"Configuration {CONFIG_FILE}",
        commands=(
            command("install", "-o", "root", "-g", USER, "-m", "0640", "/dev/null", CONFIG_FILE),
        ),
        done=f"test -e {CONFIG_FILE}",
    )


def key_folder_step() -> Step:
    """Keys are in a folder of the account alone; those of an earlier setup are moved there.

    The account copies them: root would follow links that it has made.
    """
    return Step(
        title=f"Keys in {KEY_DIR}",
        commands=(
            command("install", "-d", "-m", "0700", KEY_DIR, user=USER),
            command(
                "sh", "-c", f"! test -d {_FORMER_KEY_DIR} || cp -aT {_FORMER_KEY_DIR} {KEY_DIR}",
                user=USER,
            ),
            command("rm", "-rf", "--one-file-system", _FORMER_KEY_DIR),
        ),
        done=f"test -d {KEY_DIR} && ! test -e {_FORMER_KEY_DIR}",
    )  # fmt: skip


def setting_step(place: Place, key: str, value: str, former: str = "") -> Step:
    """A setting is in the configuration.

    One that is there stays, unless it is `former`, the value that an earlier setup wrote.
    """
    shown = farm_command(place, "config", "get", key).words
    is_former = f'test "$({shown})" = {shlex.quote(former)}'
    return Step(
        title=f"Setting {key}",
        commands=(_set_command(place, key, value),),
        done=_is_set(place, key)
        + (f" && {negated(is_former)}" if former not in {"", value} else ""),
    )


def secret_setting_step(place: Place, key: str, variable: str) -> Step:
    """A setting is in the configuration, else it is read from a variable."""
    return Step(
        title=f"Setting {key}",
        commands=(msgspec.structs.replace(_set_command(place, key, "-"), secret=variable),),
        done=_is_set(place, key),
    )


def _set_command(place: Place, key: str, value: str) -> Command:
    return command(place.program, "config", "set", key, value, "--config", CONFIG_FILE)


def _is_set(place: Place, key: str) -> str:
    pattern = shlex.quote(f"^{key} .*# {CONFIG_FILE}$")
    return f"{farm_command(place, 'config', 'show').words} | grep -q {pattern}"


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
