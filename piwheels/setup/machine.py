"""What a setup has to know of this machine before its first step."""

import os
import pwd
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from piwheels.config import Config, load
from piwheels.errors import ConfigError
from piwheels.setup.errors import SetupError
from piwheels.setup.farm import CONFIG_FILE, USER, Place, unit_path
from piwheels.setup.firewall import nft_lines, ufw_line
from piwheels.setup.master import OPTIONS_FILE, MasterOptions
from piwheels.webroot import controlling_account

#: A module of each extra that a role needs.
_NEEDED_MODULES = {"master": "psycopg", "builder": "uvicorn"}
_SIGNING_MODULE = "cryptography"
_INSTALL_DIR = "/opt/piwheels"
_EVERYBODY_MAY_PASS = 0o001


def this_program() -> Path:
    """The command `piw` of the environment that this process runs from."""
    return Path(sys.prefix, "bin", "piw")


def check_role(role: str) -> None:
    """Whether this machine can become a master or a builder.

    Raises:
        SetupError: something is against it.
    """
    check_program(role)
    check_machine()


def check_program(role: str) -> None:
    """Whether the service account will be able to run this program.

    Raises:
        SetupError: it lacks an extra, or is in a directory that the account may not enter.
    """
    way_out = (
        f"install it where everybody can read it (python3 -m venv {_INSTALL_DIR} && "
        f"{_INSTALL_DIR}/bin/pip install '.[{role}]' in a clone), and run {_INSTALL_DIR}/bin/piw"
    )
    if find_spec(_NEEDED_MODULES[role]) is None:
        raise SetupError(f"this program lacks the extra `{role}`: {way_out}")
    if role == "master" and find_spec(_SIGNING_MODULE) is None and _signs():
        raise SetupError(
            f"a master signs its wheels and needs the Python package {_SIGNING_MODULE}: "
            f"{_INSTALL_DIR}/bin/pip install {_SIGNING_MODULE}, or apt install "
            f"python3-{_SIGNING_MODULE} and make {_INSTALL_DIR} with --system-site-packages"
        )
    account = account_id()
    for path in (this_program(), Path(sys.executable).resolve(), Path(__file__).resolve()):
        if account is not None and controlling_account(path) == account:
            raise SetupError(
                f"the program is in {path.parent}, and {USER} can change what root would run: "
                + way_out
            )
        closed = closed_folder(path)
        if closed is not None:
            raise SetupError(
                f"the program is in {path.parent}, and other accounts may not enter {closed}: "
                + way_out
            )


def _signs() -> bool:
    return farm_config().master.require_provenance


def check_root() -> None:
    """Whether this process may look at everything and change it.

    Raises:
        SetupError: it is not root's.
    """
    if os.geteuid() != 0:
        raise SetupError("only root may do this: run it with sudo")


def is_set_up() -> bool:
    """Whether a daemon of a farm has a unit here."""
    return any(Path(unit_path(role)).exists() for role in ("master", "builder"))


def nothing_here() -> SetupError:
    """The error of commands for a farm on a machine without one."""
    return SetupError("no master and no builder is set up on this machine (`piw setup --help`)")


def closed_folder(path: Path) -> Path | None:
    """The first directory on the way to a file that not everybody may enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & _EVERYBODY_MAY_PASS:
            return folder
    return None


def check_machine() -> None:
    """Whether steps can be carried out here.

    Raises:
        SetupError: not root, no Debian, or no systemd.
    """
    check_root()
    if shutil.which("apt-get") is None:
        raise SetupError(
            "this machine has no apt-get: the steps are for Debian and Raspberry Pi OS; "
            "--print shows them"
        )
    if not Path("/run/systemd/system").is_dir():
        raise SetupError("systemd does not run here; --print shows the steps")


def farm_config() -> Config:
    """The farm's settings; the defaults if there is no configuration yet.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    return load(Path(CONFIG_FILE)).config if Path(CONFIG_FILE).exists() else Config()


def has_local_database() -> bool:
    """Whether the farm uses the database that a setup makes on this machine."""
    return farm_config().database.dsn == Config().database.dsn


def has_joined() -> bool:
    """Whether this machine is a builder of a farm already."""
    return bool(farm_config().builder.master_key)


def account_id() -> int | None:
    """The user id of the farm's account; None if there is none yet."""
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return None


def place() -> Place:
    """Where the program and the served files are."""
    webroot = farm_config().webroot.root
    account = account_id()
    return Place(
        program=str(this_program()),
        webroot=str(webroot),
        webroot_is_the_accounts=account is not None
        and controlling_account(webroot.parent) == account,
    )


def remembered_options() -> MasterOptions | None:
    """The options of the last `piw setup master`; None if there was none.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = Path(OPTIONS_FILE)
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), MasterOptions)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}") from None


def firewall_lines(role: str) -> list[str]:
    """Commands that open the master's ports; none for a builder, which only connects."""
    if role != "master":
        return []
    master = farm_config().master
    ports = [port_of(bind) for bind in (master.builder_bind, master.upload_bind)]
    line = ufw_line(_output("ufw", "status"), ports)
    return [line] if line else nft_lines(_output("nft", "list", "ruleset"), ports)


def port_of(bind: str) -> int:
    """The port of an address such as `tcp://*:5555`."""
    return urlsplit(bind.replace("*", "0.0.0.0")).port or 0  # noqa: S104 - parsed, not bound


def _output(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout
