"""The index and the certificate authorities that this machine's pip is configured to use."""

import ast
import contextlib
import functools
import os
import subprocess
import sys

PYPI = "https://pypi.org/simple/"


def pip_index_url() -> str:
    """The index that this machine's pip installs from; PyPI by default.

    Only pip's index-url is used, not its extra indexes.
    """
    return _pip_setting("index-url") or PYPI


def pip_ca_bundle() -> str:
    """The CA bundle of this machine's pip; "" for its default."""
    return _pip_setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE", "")


def _pip_setting(name: str) -> str:
    """A setting of `pip install`: from the environment, [install] or [global], in this order."""
    variable = f"PIP_{name.upper().replace('-', '_')}"
    if value := os.environ.get(variable):
        return value
    settings = _pip_settings()
    return settings.get(f"install.{name}") or settings.get(f"global.{name}") or ""


@functools.cache
def _pip_settings() -> dict[str, str]:
    """The settings in pip's configuration files; none if there is no pip."""
    command = [sys.executable, "-m", "pip", "--no-input", "config", "list"]
    quiet = subprocess.DEVNULL
    try:
        listed = subprocess.run(
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    settings = {}
    for line in listed.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        with contextlib.suppress(ValueError, SyntaxError):
            settings[key] = str(ast.literal_eval(value))
    return settings
