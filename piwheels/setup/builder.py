"""The steps that set up a builder."""

import re
import shlex

import msgspec

from piwheels.setup.farm import (
    CONFIG_DIR,
    Place,
    account_step,
    config_file_step,
    farm_command,
    folder_step,
    link_step,
    packages_step,
    service_step,
    setting_step,
    unit_step,
)
from piwheels.setup.steps import Step

#: What a build needs: the sandbox, a compiler, and the headers of Debian's Python.
_PACKAGES = ("bubblewrap", "build-essential", "python3-dev")
#: An interpreter by the name that Debian gives it, whose headers are a package.
_DEBIAN_NAME = re.compile(r"python3\.\d+")


class BuilderOptions(msgspec.Struct, frozen=True):
    """What a builder is set up with."""

    token: str  # of `piw builder invite`; "" for a machine that has joined
    master_key: str  # the master's public key, which the token carries
    name: str = ""  # "" is the name of this host
    interpreters: tuple[str, ...] = ()  # names or paths; () leaves the setting as it is


def builder_steps(options: BuilderOptions, place: Place) -> list[Step]:
    """Everything between an installed program and a builder that asks for jobs."""
    named = [f"{name}-dev" for name in options.interpreters if _DEBIAN_NAME.fullmatch(name)]
    interpreters = ",".join(options.interpreters)
    return [
        packages_step(*_PACKAGES, *named),
        account_step(),
        link_step(place),
        folder_step(CONFIG_DIR),
        config_file_step(),
        *([setting_step(place, "builder.interpreters", interpreters)] if interpreters else []),
        *([_join_step(options, place)] if options.token else []),
        unit_step(place, "builder"),
        service_step(place, "builder"),
    ]


def _join_step(options: BuilderOptions, place: Place) -> Step:
    """The builder's key is registered at the master, whose key is among the settings."""
    named = ["--name", options.name] if options.name else []
    shown = farm_command(place, "config", "get", "builder.master_key").words
    return Step(
        title="The builder has joined the farm",
        commands=(farm_command(place, "builder", "join", options.token, *named),),
        done=f'test "$({shown})" = {shlex.quote(options.master_key)}',
        differs=f'test -n "$({shown})"',
    )
