"""The lines that `piw up` gives its user to type: they hold as they stand, where they stand."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from piwheels.website.filters import trusted_host, uv_options


def piw_command_line(command: str, config_file: Path) -> str:
    """How a verb is asked of the farm with this configuration."""
    return f"{_piw_program()} {command} --config {shell_path(config_file)}"


def pip_command_line(url: str) -> str:
    """How pip installs from the farm at an address."""
    trust = f"--trusted-host {host} " if (host := trusted_host(url)) else ""
    return f"pip install {trust}--index-url {url}simple/ PROJECT"


def uv_command_line(url: str) -> str:
    """How uv installs from the farm at an address, and from its usual index what the farm lacks."""
    return f"uv pip install {uv_options(url)} PROJECT"


def shell_path(path: Path) -> str:
    """A path as a shell takes it; from here on where it is below here."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _piw_program() -> str:
    """This same program: by its name alone only where a shell would find it by that."""
    own = Path(sys.executable).with_name("piw")
    found = shutil.which("piw")
    if found and own.exists() and os.path.samefile(found, own):  # noqa: PTH121 - of two kinds
        return "piw"
    return shell_path(own) if own.exists() else f"{shell_path(Path(sys.executable))} -m piwheels"
