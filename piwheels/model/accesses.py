"""Accesses in the logs of web servers: what was downloaded, and with what."""

from piwheels.model.base import Struct


class DownloadedWheel(Struct, frozen=True, kw_only=True):
    """A wheel that was requested."""

    key: int  # the first eight bytes of a hash of its name
    filename: str
    project: str
    #: A download saves the build's duration times this factor: 0 without an ABI, and 6 on armv6,
    #: which is slower by this factor than the builder.
    time_factor: int


class UserAgent(Struct, frozen=True, kw_only=True):
    """A client as it describes itself; "" is unknown."""

    key: int  # the first eight bytes of a hash of the other fields
    agent_class: str
    installer: str = ""  # "pip"
    installer_version: str = ""  # "24.0": its first two parts
    arch: str = ""  # "aarch64"
    os: str = ""  # "Debian"
    os_release: str = ""  # "12"
    python: str = ""  # "3.13"
