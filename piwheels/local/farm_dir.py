"""The directory of a private farm: its lock, its layout, and its piwheels.toml."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from piwheels.config import CONFIG_FILE_NAME, named_sections_text, read_toml, to_toml
from piwheels.errors import ConfigError
from piwheels.local.ports import free_port, port_is_free
from piwheels.local.socket_paths import socket_dir
from piwheels.webroot import make_dir, replace_file

_SOCKET_NAME = "control.sock"
_HEADER = "# The configuration of this farm. `piw up` keeps your changes.\n"


class FarmDir:
    """The directory of a private farm; deleting it deletes the farm."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config_file = self.root / CONFIG_FILE_NAME
        self.postgres_dir = self.root / "postgresql"
        self.log_dir = self.root / "logs"
        self.key_dir = self.root / "keys"
        self.webroot_dir = self.root / "www"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only `piw up` in this directory.

        Raises:
            ConfigError: another one is running, or the directory cannot be created.
        """
        try:
            make_dir(self.webroot_dir)
            self.log_dir.mkdir(exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"{self.root}: {error.strerror}") from None
        try:
            self._acquire_lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _acquire_lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigError(
                f"a farm is already running in {self.root} (process {holder}); "
                "stop it first, or choose another directory with --dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def control_address(self) -> str:
        """The control socket's address: in the directory, or elsewhere if its path is too long."""
        folder = socket_dir(self.root, _SOCKET_NAME)
        return f"ipc://{_SOCKET_NAME}" if folder == self.root else f"ipc://{folder / _SOCKET_NAME}"

    def write_config(self, overrides: Mapping[str, Any]) -> None:
        """Write piwheels.toml: its present values, defaults for missing ones, and overrides.

        Args:
            overrides: values of this run's options by key; None keeps the present value.

        Raises:
            ConfigError: the file exists and is not valid.
        """
        values: dict[str, Any] = {
            "database.dsn": "",
            "webroot.root": self.webroot_dir.name,
            "webroot.url": "",
            "webroot.project_list_interval_s": 1.0,
            "master.control_bind": "",
            "master.builder_bind": "",
            "master.upload_bind": "",
            "master.key_dir": self.key_dir.name,
            "master.spool_dir": "spool",
            "master.require_provenance": False,  # a trial needs no compiler for that package
            "builder.master": "127.0.0.1",
            "builder.master_port": 0,
            "builder.upload_port": 0,
            "builder.key_dir": self.key_dir.name,
            "builder.work_dir": "builders",
            "accesslog.spool_dir": "accesslog",
            "accesslog.parquet_dir": "accesses",
            # Several farms and builders of a machine cannot have the same ports.
            "master.metrics_bind": "",
            "builder.metrics_bind": "",
            "accesslog.metrics_bind": "",
        }
        values |= self.config_values()
        values |= {key: value for key, value in overrides.items() if value is not None}
        if not self._is_usable_control(values["master.control_bind"]):
            values["master.control_bind"] = self.control_address()
        self._choose_ports(values)
        ordered = dict(sorted(values.items(), key=lambda item: item[0].partition(".")[0]))
        content = _HEADER + to_toml(ordered) + named_sections_text(self.config_file)
        if not self.config_file.exists() or self.config_file.read_text(encoding="utf-8") != content:
            replace_file(self.config_file, content.encode(), mode=0o600)  # it contains the password

    def config_values(self) -> dict[str, Any]:
        """The values that its piwheels.toml sets, by key; empty for a new farm.

        Raises:
            ConfigError: the file exists and is not valid, or cannot be accessed.
        """
        try:
            there = self.config_file.exists()
        except OSError as error:
            raise ConfigError(f"{self.root}: {error.strerror}") from None
        return read_toml(self.config_file) if there else {}

    def _is_usable_control(self, control: str) -> bool:
        """Whether the control socket's directory exists; /tmp may have been cleaned since."""
        path = self.root / control.removeprefix("ipc://")
        return bool(control) and (not control.startswith("ipc://") or path.parent.is_dir())

    @staticmethod
    def _choose_ports(values: dict[str, Any]) -> None:
        for port_key, address_key in (
            ("builder.master_port", "master.builder_bind"),
            ("builder.upload_port", "master.upload_bind"),
        ):
            port = values[port_key]
            if not port or not port_is_free("127.0.0.1", port):
                values[port_key] = free_port()
            host = values[address_key].removeprefix("tcp://").rpartition(":")[0] or "127.0.0.1"
            values[address_key] = f"tcp://{host}:{values[port_key]}"
