"""Makes this machine a builder of a farm, by a token: its key, and its configuration."""

import asyncio
import os
from pathlib import Path

import msgspec

from piwheels.builder.joining import UnansweredError, request_join
from piwheels.cli.edit_config import edited, put_in_place, stage_text
from piwheels.config import config_search_path, find_config_file, load
from piwheels.errors import ConfigError, PiwheelsError
from piwheels.protocol.invitation import Invitation, parse_token
from piwheels.protocol.keys import KeyStore
from piwheels.sanitize import strip_controls
from piwheels.system.machine_identity import machine_identity


class JoinedFarm(msgspec.Struct, frozen=True):
    """The result of a join."""

    label: str  # its name as a builder
    authorized: bool  # it may build; otherwise it waits for an operator
    master: str  # its host
    config: str  # the file that names the master
    public: str  # this machine's public key


def join(config_file: Path | None, token: str, name: str = "") -> JoinedFarm:
    """Register this machine by a token, and write the master into its configuration.

    Args:
        config_file: the configuration, which need not exist; None: the one that is found, or a
            new one in /etc/piwheels.
        token: as `piw builder invite` printed it.
        name: of the builder; "": its host's, or a similar one if that is taken.

    Raises:
        PiwheelsError: the token is not valid, the master was not reached or refuses, or a file
            cannot be written. Nothing is changed then.
    """
    invitation = parse_token(token)
    file = _file_to_write(config_file)
    staged = _stage(file, _settings(invitation))
    try:
        builder = load(staged).config.builder
        keys = KeyStore(builder.key_dir)
        joined = _register(keys, builder.key_name, invitation, name)
        put_in_place(staged, file)
    finally:
        staged.unlink(missing_ok=True)
    return msgspec.structs.replace(joined, config=str(file))


def prepare(config_file: Path | None, token: str) -> Path:
    """Let this machine, and those that run from a copy of its disk, join at their first start.

    Returns:
        The configuration that has the token now.

    Raises:
        PiwheelsError: the token is not valid, or the file cannot be written.
    """
    invitation = parse_token(token)
    file = _file_to_write(config_file)
    staged = _stage(file, {"builder.join_token": str(invitation), **_settings(invitation)})
    try:
        load(staged)
        put_in_place(staged, file)
    finally:
        staged.unlink(missing_ok=True)
    return file


def _stage(file: Path, settings: dict[str, object]) -> Path:
    """A configuration with these settings, beside its file."""
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return stage_text(file, edited(file, before, settings))


def joined_text(joined: JoinedFarm) -> str:
    """What to say to who ran `piw builder join`."""
    label = strip_controls(joined.label)
    then = (
        "it is authorized: start it with `piw builder run` or its systemd unit"
        if joined.authorized
        else f"it waits until an operator runs `piw builder authorize {label}` on the master"
    )
    return f"{joined.config} now names {joined.master}; this machine is its builder {label}\n{then}"


def _file_to_write(config_file: Path | None) -> Path:
    if config_file is not None and not config_file.exists():
        return config_file
    found = find_config_file(config_file, os.environ)
    return found or [*config_search_path(os.environ)][_IN_ETC]


#: Of the places where a configuration is looked for: /etc/piwheels/piwheels.toml.
_IN_ETC = 2


def _settings(invitation: Invitation) -> dict[str, object]:
    return {
        "builder.upload_port": invitation.upload_port,
        "builder.master_port": invitation.builder_port,
        "builder.master_key": invitation.master_key,
        "builder.master": invitation.host,
    }


def _register(keys: KeyStore, key_name: str, invitation: Invitation, name: str) -> JoinedFarm:
    """Register this machine's key; one that is new and that the master does not know is removed."""
    pair, is_new = keys.own_pair(key_name, machine_identity())
    try:
        joined = asyncio.run(request_join(invitation, pair.public, name))
    except UnansweredError:
        raise  # the master may know the key
    except PiwheelsError:
        if is_new:
            keys.remove(key_name)
        raise
    return JoinedFarm(
        label=joined.label,
        authorized=joined.authorized,
        master=invitation.host,
        config="",
        public=pair.public,
    )
