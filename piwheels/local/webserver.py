"""A small web server for trying out a farm; real farms use nginx, Apache or Caddy.

It serves a web root as the configurations of `piw config` do, and writes an access log.
"""

import logging
import signal
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piwheels.local.connection_limits import BoundedProtocol
from piwheels.local.ports import bind_listener
from piwheels.local.request_log import AccessLog
from piwheels.local.webroot_files import WebRootFiles
from piwheels.webroot import SECURITY_HEADERS


def serve(root: Path, *, host: str, port: int, access_log: Path | None = None) -> None:
    """Serve a web root until SIGTERM or SIGINT.

    Raises:
        ConfigError: the port cannot be bound, or the log cannot be written.
    """
    application: ASGIApp = application_for(root)
    if access_log is not None:
        application = AccessLog(application, access_log)
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    with bind_listener(host, port) as listener:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return


def application_for(root: Path) -> Starlette:
    """The web application that serves a web root."""

    async def not_found(request: Request, _: Exception) -> Response:
        page = root / "404.html"
        if "text/html" in request.headers.get("accept", "") and page.is_file():
            return HTMLResponse(page.read_bytes(), status_code=404, headers={"Vary": "Accept"})
        text = "404 Not Found. The index is at /simple/\n"
        return PlainTextResponse(text, status_code=404, headers={"Vary": "Accept"})

    return Starlette(
        routes=[Mount("/", WebRootFiles(root))],
        middleware=[Middleware(_SecurityHeaders)],
        exception_handlers=dict.fromkeys((401, 404), not_found),
    )


class _SecurityHeaders:
    """Middleware that adds SECURITY_HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
