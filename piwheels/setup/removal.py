"""The steps that undo a setup; the data only with `--purge`."""

import shlex

from piwheels.config_templates import ROLES
from piwheels.setup.farm import (
    CONFIG_DIR,
    HOME,
    LINK,
    POSTGRES,
    ROLE_QUERY,
    UNIT_DIR,
    USER,
    Place,
    has_row,
    trust_step,
    unit_path,
)
from piwheels.setup.master import OPTIONS_FILE
from piwheels.setup.steps import Step, command, negated, removal_step
from piwheels.setup.web_servers import WEB_SERVERS, site_removal

#: Units with a timer that the documents install on a master, besides those of a setup.
_TIMED = ("backup", "scale")


def removal_steps(place: Place, *, purge: bool, local_database: bool) -> list[Step]:
    """Services, units and site are gone; with `purge` also data, keys, configuration and account.

    Args:
        place: where things are.
        purge: remove what cannot be made again.
        local_database: the farm's database is the one that the setup made.
    """
    steps = [
        *([trust_step()] if purge else []),
        *(_service_removal(unit_path(role)) for role in ROLES),
        *(
            _service_removal(file)
            for name in _TIMED
            for file in (f"{UNIT_DIR}/piwheels-{name}.timer", unit_path(name))
        ),
        *(site_removal(server) for server in WEB_SERVERS.values()),
        removal_step(f"No {OPTIONS_FILE}", OPTIONS_FILE),
        Step(
            title=f"No {LINK}",
            commands=(command("rm", "-f", LINK),),
            done=f'! test "$(readlink {LINK})" = {shlex.quote(place.program)}',
        ),
    ]
    return [*steps, *(_purge_steps(place, local_database=local_database) if purge else [])]


def purged_folders(place: Place) -> tuple[str, ...]:
    """The folders that `--purge` removes."""
    return (CONFIG_DIR, HOME, place.webroot)  # the last may be the account's to remove


def _service_removal(file: str) -> Step:
    """Stops a unit, and removes its file."""
    unit = file.rpartition("/")[2].removesuffix(".service")
    return Step(
        title=f"No service {unit}",
        commands=(
            command("systemctl", "disable", "-q", "--now", unit),
            command("rm", "-f", file),
            command("systemctl", "daemon-reload"),
        ),
        done=f"! test -e {file}",
    )


def _purge_steps(place: Place, *, local_database: bool) -> list[Step]:
    folders = purged_folders(place)
    present = " || ".join(f"test -e {shlex.quote(folder)}" for folder in folders)
    drop = command("dropdb", "--if-exists", USER, user=POSTGRES)
    role = command("dropuser", "--if-exists", USER, user=POSTGRES)
    database = Step(
        title=f"No database and no role {USER}",
        commands=(drop, role),
        done=negated(has_row(ROLE_QUERY)),
    )
    return [
        *([database] if local_database else []),
        Step(
            title=f"No {', '.join(folders)}",
            commands=(
                # Below a folder of the account, the account removes it: it may have made links.
                command("rm", "-rf", "--one-file-system", place.webroot, user=place.webroot_user),
                command("rm", "-rf", "--one-file-system", *folders[:-1]),
            ),
            done=negated(present),
        ),
        Step(
            title=f"No account {USER}",
            commands=(command("userdel", USER),),
            done=f"! getent passwd {USER}",
        ),
    ]
