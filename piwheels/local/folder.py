"""The folder of a private farm: who uses it, what is in it, and its piwheels.toml."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piwheels.config import FILE_NAME, read, to_toml
from piwheels.errors import ConfigError
from piwheels.local.ports import free_port, port_is_free
from piwheels.local.sockets import socket_folder
from piwheels.webroot import make_folder, replace

_SOCKET_NAME = "control.sock"
_HEADER = "# The configuration of this farm. `piw up` keeps what you change here.\n"


class FarmFolder:
    """Where everything of a private farm lies; removing the folder removes the farm."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config = self.root / FILE_NAME
        self.database = self.root / "postgresql"
        self.logs = self.root / "logs"
        self.keys = self.root / "keys"
        self.www = self.root / "www"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only `piw up` on this folder.

        Raises:
            ConfigError: another one is, or the folder cannot be made.
        """
        try:
            make_folder(self.www)
            self.logs.mkdir(exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"{self.root}: {error.strerror}") from None
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigError(
                f"a farm runs in {self.root} already (process {holder}); "
                "stop it first, or choose another folder with --dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def control_socket(self) -> str:
        """The address of the control socket: in the folder, or elsewhere when that is too deep."""
        folder = socket_folder(self.root, _SOCKET_NAME)
        return f"ipc://{_SOCKET_NAME}" if folder == self.root else f"ipc://{folder / _SOCKET_NAME}"

    def configure(self, chosen: Mapping[str, Any]) -> None:
        """Write piwheels.toml: what it has, what is missing, and what was chosen now.

        Args:
            chosen: values of this run's options by key; None leaves what is there.

        Raises:
            ConfigError: the file is there and is not valid TOML.
        """
        values: dict[str, Any] = {
            "database.dsn": "",
            "webroot.root": self.www.name,
            "webroot.url": "",
            "webroot.root_listing_s": 1.0,
            "master.control": "",
            "master.builders": "",
            "master.files": "",
            "master.keys": self.keys.name,
            "master.spool": "spool",
            "builder.master": "127.0.0.1",
            "builder.builders_port": 0,
            "builder.files_port": 0,
            "builder.keys": self.keys.name,
            "builder.work": "builders",
            "accesslog.spool": "accesslog",
        }
        values |= self.written()
        values |= {key: value for key, value in chosen.items() if value is not None}
        if not self._can_hold(values["master.control"]):
            values["master.control"] = self.control_socket()
        self._choose_ports(values)
        ordered = dict(sorted(values.items(), key=lambda item: item[0].partition(".")[0]))
        content = _HEADER + to_toml(ordered)
        if not self.config.exists() or self.config.read_text(encoding="utf-8") != content:
            replace(self.config, content.encode(), mode=0o600)  # it holds the password

    def written(self) -> dict[str, Any]:
        """What its piwheels.toml sets, by key; nothing for a new farm.

        Raises:
            ConfigError: it is there and cannot be used, or is out of reach.
        """
        try:
            there = self.config.exists()
        except OSError as error:
            raise ConfigError(f"{self.root}: {error.strerror}") from None
        return read(self.config) if there else {}

    def _can_hold(self, control: str) -> bool:
        """Whether there is a place for the control socket; /tmp may have been cleaned since."""
        path = self.root / control.removeprefix("ipc://")
        return bool(control) and (not control.startswith("ipc://") or path.parent.is_dir())

    @staticmethod
    def _choose_ports(values: dict[str, Any]) -> None:
        for port_key, address_key in (
            ("builder.builders_port", "master.builders"),
            ("builder.files_port", "master.files"),
        ):
            port = values[port_key]
            if not port or not port_is_free("127.0.0.1", port):
                values[port_key] = free_port()
            host = values[address_key].removeprefix("tcp://").rpartition(":")[0] or "127.0.0.1"
            values[address_key] = f"tcp://{host}:{values[port_key]}"
