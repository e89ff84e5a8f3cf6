"""Receives the notifications of services in place of systemd."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.timeouts import WAIT_S

#: Notifications that were received and not read yet.
Notifications = queue.SimpleQueue[str]


@contextmanager
def notify_listener(address: Path) -> Iterator[Notifications]:
    """Receive at an address continuously, as systemd does; a full socket would block services."""
    notifications: Notifications = queue.SimpleQueue()

    def listen() -> None:
        while message := listener.recv(4096):
            notifications.put(message.decode())

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield notifications
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", str(address))
            thread.join()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notifications]:
    """Notifications to a systemd whose watchdog expects one every 0.2 s."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with notify_listener(tmp_path / "notify") as notifications:
        yield notifications


def wait_for_notification(notifications: Notifications, wanted: str) -> list[str]:
    """Wait for a notification; returns everything up to it."""
    received = [""]
    while received[-1] != wanted:
        received.append(notifications.get(timeout=WAIT_S))
    return received[1:]
