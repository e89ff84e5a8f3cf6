"""An access log in the combined format, for the small web server."""

import logging
import time
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError

log = logging.getLogger(__name__)


class AccessLog:
    """Writes a line for every request; reopens the file after a log rotation."""

    def __init__(self, application: ASGIApp, path: Path) -> None:
        """Open the log.

        Raises:
            ConfigError: it cannot be written.
        """
        self._application = application
        self._path = path
        self._problem = ""
        try:
            self._open()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and log the response."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status, size = 0, 0

        async def send_counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._application(scope, receive, send_counted)
        finally:
            self._write(scope, status, size)

    def _write(self, scope: Scope, status: int, size: int) -> None:
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += f"?{scope['query_string'].decode('latin-1')}"
        address = scope["client"][0] if scope["client"] else "-"
        moment = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        request = f"{scope['method']} {target} HTTP/{scope['http_version']}"
        agent, referer = (_quoted(headers.get(name, "-")) for name in ("user-agent", "referer"))
        self._add(
            f'{address} - - [{moment}] "{_quoted(request)}" {status} {size} "{referer}" "{agent}"\n'
        )

    def _add(self, line: str) -> None:
        """Write a line; an error is logged once, and does not affect responses."""
        try:
            if self._was_rotated():
                self._file.close()
                self._open()
            self._file.write(line.encode())
        except OSError as error:
            if (problem := str(error.strerror)) != self._problem:
                self._problem = problem
                log.error("%s: %s; requests are not logged", self._path, problem)
        else:
            self._problem = ""

    def _was_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = AppendFile(self._path)
        self._inode = self._path.stat().st_ino


def _quoted(text: str) -> str:
    return "".join(
        f"\\x{ord(char):02x}" if char in '"\\' or ord(char) < 32 or ord(char) > 126 else char
        for char in text
    )
