"""pip installs over TLS, with a certificate of one's own, through the web servers that `piw config` knows."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from piwheels.config_templates import (
    Tls,
    WebServerSite,
    check_tls,
    render_web_server_config,
    tls_of,
)
from piwheels.errors import ConfigError, UsageError
from piwheels.webroot import Webroot
from tests.clients.servers import program, serving
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S


@pytest.fixture(scope="module")
def certificate() -> Iterator[Tls]:
    """A self-signed certificate for localhost."""
    folder = Path(tempfile.mkdtemp(prefix="piwheels-tls-"))
    folder.chmod(0o755)
    tls = Tls(folder / "site.pem", folder / "key.pem")
    subprocess.run(
        [
            find_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(tls.certificate_key), "-out", str(tls.certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    yield tls
    shutil.rmtree(folder)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=requires_program(program(name))) for name in ("nginx", "caddy")
    ],
)
def site(
    request: pytest.FixtureRequest, tree: Path, certificate: Tls
) -> Iterator[tuple[str, Path]]:
    """The address of the tree over TLS, and the certificate to trust."""
    work = Path(tempfile.mkdtemp(prefix="piwheels-server-"))
    work.chmod(0o755)
    assert certificate.certificate is not None
    with serving(request.param, tree, work, tls=certificate) as address:
        yield address, certificate.certificate
    shutil.rmtree(work, ignore_errors=True)


def pip_install(index: str, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    others = ("PIP_", "SSL_", "REQUESTS_", "CURL_")  # certificates of this machine's own among them
    environ = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    return subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--no-cache-dir", "--retries", "0",
            "--disable-pip-version-check", "--target", str(target), "--index-url", index,
            *options, "left",
        ],
        env={**environ, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True, text=True, check=False, timeout=3 * WAIT_S,
    )  # fmt: skip


def test_pip_installs_from_a_site_whose_certificate_it_trusts(
    site: tuple[str, Path], tmp_path: Path
) -> None:
    address, certificate = site
    done = pip_install(f"{address}simple/", tmp_path, "--cert", str(certificate))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "left.py").exists()


def test_pip_refuses_a_site_whose_certificate_it_does_not_know(
    site: tuple[str, Path], tmp_path: Path
) -> None:
    done = pip_install(f"{site[0]}simple/", tmp_path)
    assert done.returncode != 0
    assert "certificate verify failed" in done.stdout + done.stderr


def test_pages_logs_and_redirects_are_as_without_tls(site: tuple[str, Path], tree: Path) -> None:
    log_path = str(Webroot(tree).log_path(1).relative_to(tree))
    address, certificate = site
    trusted = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=address, verify=trusted, timeout=WAIT_S, trust_env=False) as client:
        json_page = client.get(
            "simple/left/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
        )
        assert json_page.json()["name"] == "left"
        # Caddy gets what it unpacks from itself.
        plain = {"Accept-Encoding": "identity"}
        log = client.get(log_path.removesuffix(".gz"), headers=plain)
        assert (log.status_code, log.text) == (200, "a log\n")
        moved = client.get("simple/Left/")
        assert moved.status_code == 301
        assert not moved.headers["location"].startswith("http://")


@requires_program("caddy")
def test_caddy_is_asked_to_get_a_certificate_for_the_name(tmp_path: Path) -> None:
    file = tmp_path / "Caddyfile"
    file.write_text(
        render_web_server_config(
            "caddy",
            WebServerSite(
                root=tmp_path,
                server_name="wheels.example.org",
                port=443,
                access_log=tmp_path / "access.log",
                tls=Tls(),
            ),
        )
    )
    adapted = subprocess.run(
        [find_program("caddy"), "adapt", "--adapter", "caddyfile", "--config", str(file)],
        check=True,
        capture_output=True,
    )
    (site,) = json.loads(adapted.stdout)["apps"]["http"]["servers"].values()
    assert site["listen"] == [":443"]
    assert site["routes"][0]["match"] == [{"host": ["wheels.example.org"]}]
    assert "automatic_https" not in site


def test_tls_options_that_contradict_each_other_are_refused(certificate: Tls) -> None:
    assert tls_of(None, None, None) is None
    for mode, file, key in [
        ("caddy", certificate.certificate, certificate.certificate_key),
        (None, certificate.certificate, None),
        (None, None, certificate.certificate_key),
    ]:
        with pytest.raises(UsageError, match="either --tls caddy, or both"):
            tls_of(mode, file, key)


def test_only_caddy_gets_certificates_by_itself_and_for_a_name(certificate: Tls) -> None:
    check_tls("caddy", "wheels.example.org", Tls())
    for server, name in [("nginx", "wheels.example.org"), ("caddy", "_")]:
        with pytest.raises(ConfigError, match="Caddy alone"):
            check_tls(server, name, Tls())
    with pytest.raises(ConfigError, match="certbot --apache"):
        check_tls("apache", "wheels.example.org", certificate)
