"""Web servers, started with the configurations that `piw config` prints."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from piwheels.config_templates import Tls, render_web_server_config
from tests.ports import free_port
from tests.timeouts import WAIT_S

NAMES = ("nginx", "apache", "caddy", "own", "http.server")
_PROGRAMS = {"nginx": "nginx", "apache": "apache2", "caddy": "caddy"}
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
    port = free_port()
    command, environ = _command(name, root, work, port=port, url=url, tls=tls)
    log = (work / f"{name}.out").open("wb")
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environ}, cwd=root
    )
    try:
        _await_port(process, port, Path(log.name))
        yield f"https://localhost:{port}/" if tls else f"http://127.0.0.1:{port}/"
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
        return [sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)], {}
    log = work / f"{name}.log"
    site = render_web_server_config(
        name,
        root=root,
        server_name="localhost" if tls else "_",
        port=port,
        access_log=log,
        url=url,
        tls=tls,
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
