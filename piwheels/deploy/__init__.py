"""Configuration text for systemd units and web servers, for one farm's tree and programs.

The web servers answer alike: a simple page as JSON to those whose Accept names it and as HTML
to others (PEP 691), the .gz twin where it is accepted, files of packages/ for ever.
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from piwheels.config import Loaded

ROLES = ("master", "builder")

_PAGE_MAX_AGE_S = 60  # pip obeys it: how late a new wheel is seen
_FILE_MAX_AGE_S = 31_536_000
#: An Accept that names JSON and does not give it the weight 0.
_JSON_ACCEPT = r"application/vnd\.pypi\.simple\.(v1|latest)\+json(?!\s*;\s*q=0(\.0*)?\s*(,|$))"


def systemd(loaded: Loaded, *, user: str, roles: Sequence[str] = ROLES) -> str:
    """Hardened units of these roles, one after the other.

    Args:
        loaded: the configuration; its file is named in the units.
        user: the account to run under.
        roles: "master", "builder" or both.
    """
    config = loaded.config
    writable = {
        "master": [config.webroot.root, config.master.spool, config.master.keys],
        "builder": [config.builder.work],
    }
    return "\n\n".join(
        _render(
            f"{role}.service",
            command=_command(loaded, role),
            user=user,
            writable=[path.absolute() for path in writable[role]],
        )
        for role in roles
    )


def web_server(name: str, *, root: Path, server_name: str, port: int, access_log: Path) -> str:
    """The configuration of a web server that serves a tree.

    Args:
        name: "nginx", "apache" or "caddy".
        root: the tree.
        server_name: the host name served; "_" is any.
        port: where to listen.
        access_log: where requests are logged.
    """
    return _render(
        name,
        root=root.absolute(),
        server_name=server_name,
        port=port,
        access_log=access_log.absolute(),
        json_accept=_JSON_ACCEPT,
        page_max_age_s=_PAGE_MAX_AGE_S,
        file_max_age_s=_FILE_MAX_AGE_S,
    )


def _command(loaded: Loaded, verb: str) -> str:
    program = Path(sys.argv[0]).absolute()
    if program.name != "piw":
        program = Path(sys.executable).with_name("piw")
    words = [str(program), verb]
    if loaded.file is not None:
        words += ["--config", str(loaded.file.absolute())]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _render(name: str, **values: Any) -> str:
    return _templates().get_template(f"{name}.j2").render(**values).rstrip("\n")


@cache
def _templates() -> Environment:
    # These are configuration files, not HTML: escaping would break them.
    return Environment(
        loader=PackageLoader("piwheels.deploy"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
