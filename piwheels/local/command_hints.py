"""Command lines that `piw up` prints to be pasted: they work in the current directory."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from piwheels.website.filters import trusted_host, uv_options


def piw_command_line(command: str, config_file: Path) -> str:
    """How to run a command on the farm with this configuration."""
    return f"{_piw_program()} {command} --config {shell_path(config_file)}"


def pip_command_line(url: str) -> str:
    """How to install with pip from the farm at a URL."""
    trust = f"--trusted-host {host} " if (host := trusted_host(url)) else ""
    return f"pip install {trust}--index-url {url}simple/ PROJECT"


def uv_command_line(url: str) -> str:
    """How to install with uv from the farm at a URL, and the rest from its usual index."""
    return f"uv pip install {uv_options(url)} PROJECT"


def shell_path(path: Path) -> str:
    """A path quoted for a shell, relative if it is below the current directory."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _piw_program() -> str:
    """The running `piw`: by name if a shell finds it under that, else by path."""
    own = Path(sys.executable).with_name("piw")
    found = shutil.which("piw")
    if found and own.exists() and os.path.samefile(found, own):  # noqa: PTH121 - str and Path
        return "piw"
    return shell_path(own) if own.exists() else f"{shell_path(Path(sys.executable))} -m piwheels"
