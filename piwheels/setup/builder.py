"""The steps that set up a builder."""

import re

import msgspec

from piwheels.setup.farm import (
    CONFIG_FILE,
    Place,
    account_step,
    config_file_step,
    config_folder_step,
    farm_command,
    key_folder_step,
    link_step,
    packages_step,
    service_step,
    setting_step,
    trust_step,
    unit_step,
)
from piwheels.setup.steps import TOKEN_VARIABLE, Command, Step

#: What a build needs: the sandbox, a compiler, and the headers of Debian's Python.
_PACKAGES = ("bubblewrap", "build-essential", "python3-dev")
#: An interpreter by the name that Debian gives it, whose headers are a package.
_DEBIAN_NAME = re.compile(r"python3\.\d+")


class BuilderOptions(msgspec.Struct, frozen=True):
    """What a builder is set up with."""

    master_key: str  # the master's public key, which the token has; "" where one has joined
    name: str = ""  # "" is the name of this host
    interpreters: tuple[str, ...] = ()  # names or paths; () leaves the setting as it is


def builder_steps(options: BuilderOptions, place: Place) -> list[Step]:
    """Everything between an installed program and a builder that asks for jobs."""
    named = [f"{name}-dev" for name in options.interpreters if _DEBIAN_NAME.fullmatch(name)]
    interpreters = ",".join(options.interpreters)
    return [
        trust_step(),
        packages_step(*_PACKAGES, *named),
        account_step(),
        link_step(place),
        config_folder_step(),
        config_file_step(),
        key_folder_step(),
        *([setting_step(place, "builder.interpreters", interpreters)] if interpreters else []),
        *([_join_step(options, place)] if options.master_key else []),
        unit_step(place, "builder"),
        service_step(place, "builder"),
    ]


def _join_step(options: BuilderOptions, place: Place) -> Step:
    """The builder's key is registered at the master, whose key is among the settings."""
    named = ["--name", options.name] if options.name else []
    shown = farm_command(place, "config", "get", "builder.master_key").words
    join = (place.program, "builder", "join", "-", *named, "--config", CONFIG_FILE)
    return Step(
        title="The builder has joined the farm",
        commands=(Command(argv=join, secret=TOKEN_VARIABLE),),
        done=f'test "$({shown})" = {options.master_key}',
        differs=f'test -n "$({shown})"',
    )
