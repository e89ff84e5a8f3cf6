"""The lines that `piw up` gives its user to type: they hold as they stand, where they stand."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from piwheels.site.text import pip_trust, uv_options


def piw_line(verb: str, config: Path) -> str:
    """How a verb is asked of the farm with this configuration."""
    return f"{_program()} {verb} --config {shown(config)}"


def pip_line(url: str) -> str:
    """How pip installs from the farm at an address."""
    trust = f"--trusted-host {host} " if (host := pip_trust(url)) else ""
    return f"pip install {trust}--index-url {url}simple/ PROJECT"


def uv_line(url: str) -> str:
    """How uv installs from the farm at an address, and from its usual index what the farm lacks."""
    return f"uv pip install {uv_options(url)} PROJECT"


def shown(path: Path) -> str:
    """A path as a shell takes it; from here on where it is below here."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _program() -> str:
    """This same program: by its name alone only where a shell would find it by that."""
    own = Path(sys.executable).with_name("piw")
    found = shutil.which("piw")
    if found and own.exists() and os.path.samefile(found, own):  # noqa: PTH121 - of two kinds
        return "piw"
    return shown(own) if own.exists() else f"{shown(Path(sys.executable))} -m piwheels"
