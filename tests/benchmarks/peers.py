"""Other package indexes beside ours: index pages of 60 files, served and written.

The peers are installed from PyPI into a virtual environment that is deleted afterwards. All serve the
same pages on loopback, one after the other, to the same client: what another process takes from them
it takes from ours, so that the ratios are what counts.
"""

import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from piwheels.index.index_publisher import write_pages
from piwheels.model import IndexPage
from tests.benchmarks.goal_table import Rate
from tests.benchmarks.index_content import FILES, make_page
from tests.clients.servers import running, serving
from tests.ports import free_port
from tests.timeouts import WAIT_S

_PEERS = ("pypiserver", "devpi-server", "proxpi", "simple-repository-server", "dumb-pypi")
_PROJECT = "project0"
_CLIENTS, _ASKED_S, _WARM_S = 4, 5.0, 1.0
_WRITTEN_PAGES, _BATCH = 300, 100
#: As pip asks.
_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, "
    "text/html; q=0.01"
)


@dataclass(frozen=True)
class _Server:
    """A peer that serves: its command for a port, and where the page of a project is."""

    command: Callable[[int], list[str]]
    path: str
    environ: dict[str, str]
    prepare: Callable[[str], None] = lambda _: None  # by its address


def measure_peers(folder: Path) -> list[Rate]:
    """Install the peers, and measure them and ours.

    Args:
        folder: for files, which are left there.
    """
    programs = _install(folder / "venv")
    tree = folder / "tree"
    tree.mkdir(parents=True)
    rates = [_written_by_us(tree), _written_by_dumb_pypi(programs, folder)]
    with serving("nginx", tree, folder) as ours:
        rates.append(_served("our tree by nginx", f"{ours}simple/{_PROJECT}/"))
        for name, server in _servers(programs, folder, f"{ours}simple/").items():
            port = free_port()
            address = f"http://127.0.0.1:{port}/"
            with running(name, server.command(port), server.environ, folder, port):
                server.prepare(address)
                rates.append(_served(name, f"{address}{server.path}/{_PROJECT}/"))
    return rates


def _install(venv: Path) -> Path:
    """The folder of the peers' programs."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    programs = venv / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", *_PEERS], check=True)
    return programs


def _written_by_us(tree: Path) -> Rate:
    content: list[tuple[str, IndexPage | None]] = [
        (f"project{number}", make_page(f"project{number}", 0)) for number in range(_WRITTEN_PAGES)
    ]
    began, spent_s = time.perf_counter(), time.process_time()
    for start in range(0, len(content), _BATCH):
        assert write_pages(tree, content[start : start + _BATCH]) == {}
    took_s, spent_s = time.perf_counter() - began, time.process_time() - spent_s
    return _written("ours, HTML and JSON, synced to the disk", took_s, spent_s)


def _written_by_dumb_pypi(programs: Path, folder: Path) -> Rate:
    packages = folder / "packages.json"
    with packages.open("w") as file:
        for number in range(_WRITTEN_PAGES):
            for entry in make_page(f"project{number}", 0).files:
                line = {
                    "filename": entry.filename,
                    "hash": f"sha256={entry.sha256}",
                    "requires_python": entry.requires_python,
                    "upload_timestamp": int(entry.released_at.timestamp()),
                }
                file.write(json.dumps(line) + "\n")
    command = [f"{programs}/dumb-pypi", "--package-list-json", str(packages), "--output-dir"]
    command += [f"{folder}/dumb", "--packages-url", "../../files", "--no-per-release-json"]
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took_s, after = time.perf_counter() - began, os.times()
    spent_s = after.children_user + after.children_system
    spent_s -= before.children_user + before.children_system
    return _written("dumb-pypi, not synced, with its start and page for people", took_s, spent_s)


def _written(who: str, took_s: float, spent_s: float) -> Rate:
    return Rate(
        f"{_WRITTEN_PAGES} index pages of 60 files written, {who}",
        f"{_WRITTEN_PAGES / took_s:,.0f} a second; {_WRITTEN_PAGES / spent_s:,.0f} of its processor",
    )


def _servers(programs: Path, folder: Path, upstream: str) -> dict[str, _Server]:
    """The peers that serve, by their names: files of their own, or what they fetched from ours."""
    wheels, data = folder / "wheels", folder / "devpi"
    (wheels / _PROJECT).mkdir(parents=True)
    for entry in make_page(_PROJECT, 0).files:
        (wheels / _PROJECT / entry.filename).write_bytes(os.urandom(1000))
    subprocess.run(
        [programs / "devpi-init", "--serverdir", data, "--no-root-pypi"],
        check=True,
        stdout=subprocess.DEVNULL,
    )

    def pypiserver(port: int) -> list[str]:
        options = ("run", "-i", "127.0.0.1", "-p", str(port), "-a", ".", "-P", ".")
        return [f"{programs}/pypi-server", *options, str(wheels)]

    def simple_repository(port: int) -> list[str]:
        program = f"{programs}/simple-repository-server"
        return [program, "--host", "127.0.0.1", "--port", str(port), str(wheels)]

    def proxpi(port: int) -> list[str]:
        return [f"{programs}/waitress-serve", f"--listen=127.0.0.1:{port}", "proxpi.server:app"]

    def devpi(port: int) -> list[str]:
        options = ("--serverdir", str(data), "--host", "127.0.0.1", "--port", str(port))
        return [f"{programs}/devpi-server", *options]

    return {
        "pypiserver": _Server(pypiserver, "simple", {}),
        "simple-repository-server": _Server(simple_repository, "simple", {}),
        "proxpi (a cache of ours)": _Server(proxpi, "index", {"PROXPI_INDEX_URL": upstream}),
        "devpi-server (a mirror of ours)": _Server(
            devpi, "root/mirror/+simple", {}, lambda address: _make_mirror(address, upstream)
        ),
    }


def _make_mirror(address: str, upstream: str) -> None:
    """Have devpi-server mirror an index."""
    login = httpx.post(f"{address}+login", json={"user": "root", "password": ""})
    password = login.raise_for_status().json()["result"]["password"]
    token = base64.b64encode(f"root:{password}".encode()).decode()
    httpx.put(
        f"{address}root/mirror",
        json={"type": "mirror", "mirror_url": upstream, "mirror_no_project_list": True},
        headers={"X-Devpi-Auth": token},
    ).raise_for_status()


def _served(who: str, url: str) -> Rate:
    """Several clients ask for one page, each over its own connection as long as it is kept."""
    _ask(url, _WARM_S)
    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        asked = [clients.submit(_ask, url, _ASKED_S) for _ in range(_CLIENTS)]
        every = sorted(time_s for client in asked for time_s in client.result())
    took_s = time.perf_counter() - began
    return Rate(
        f"index page of 60 files served, {who}",
        f"{len(every) / took_s:,.0f} requests/s; p50 {statistics.median(every) * 1000:.1f} ms, "
        f"p99 {every[int(len(every) * 0.99)] * 1000:.1f} ms",
    )


def _ask(url: str, seconds: float) -> list[float]:
    """Ask for a page again and again for so long; how long each answer took (s)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=WAIT_S)
    times_s: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or not times_s:
        connection.request("GET", parts.path, headers={"Accept": _ACCEPT})
        response = connection.getresponse()
        content = response.read()
        times_s.append(time.perf_counter() - began)
        assert response.status == http.HTTPStatus.OK, (url, response.status)
        assert content.count(b".whl") >= FILES, url
    connection.close()
    return times_s
