"""`piw setup` on bare Debian systems under a real systemd: a farm, a wheel, pip over nginx.

`TEST_SETUP="bookworm trixie" pytest -m slow tests/endtoend/test_setup.py` as root, with debootstrap,
systemd-nspawn and Debian's archive. A system has a network of its own and nothing else: packages
are downloaded before it starts.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.timeouts import WAIT_S

#: The releases of Debian to try, such as "bookworm trixie"; none by default.
_SUITES = os.environ.get("TEST_SETUP", "").split()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _SUITES, reason="TEST_SETUP names no release of Debian"),
]

_ARCHIVE = "http://deb.debian.org/debian"
_BOOT_S = 300
_INSTALL_S = 1800  # a machine that runs other tests needs more than 900 for debootstrap
_PIW = "/opt/piwheels/bin/piw"
_PACKAGES = "postgresql nginx apache2 caddy rsync bubblewrap build-essential python3-dev"
_PROJECT = "markupsafe"
_UPSTREAM = "http://127.0.0.1:8099/simple/"
_PREPARE = f"""
set -e
apt-get update -q
rm -f /etc/apt/apt.conf.d/docker-clean
export DEBIAN_FRONTEND=noninteractive
apt-get install -q -y --no-install-recommends python3-venv
apt-get install -q -y --download-only {_PACKAGES}
python3 -m venv /opt/piwheels
cd /source
/opt/piwheels/bin/pip install -q '.[master,builder]'
mkdir -p /index/files
/opt/piwheels/bin/pip download -q --no-deps --no-binary :all: {_PROJECT}==3.0.2 -d /index/files
/opt/piwheels/bin/pip download -q setuptools wheel packaging pip -d /index/files
"""
_PAGES = """
import hashlib, pathlib
for file in pathlib.Path("/index/files").iterdir():
    page = pathlib.Path("/index/simple", file.name.split("-")[0].lower(), "index.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    page.write_text(
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"></head>'
        f'<body><a href="../../files/{file.name}#sha256={digest}">{file.name}</a></body></html>'
    )
"""

#: What a setup writes to; not what daemons write.
_LISTED = ("etc", "usr/local", "var/backups", "opt/piwheels/bin", "home", "root")


class System:
    """A Debian system under its own systemd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> None:
        """Start it, without a network."""
        self._process = subprocess.Popen(
            [
                "systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no",
                "--keep-unit", "--private-network", "--capability=all",
                "--system-call-filter=@known",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + _BOOT_S
        while time.monotonic() < deadline:
            words = children.read_text().split()
            self._leader = int(words[0]) if words else 0
            if self._leader and self._state() in {"running", "degraded"}:
                return
            time.sleep(0.2)
        jobs = self.run("systemctl", "list-jobs", check=False) if self._leader else "none began"
        pytest.fail(f"it has not booted in {_BOOT_S} s: {jobs}")

    def _state(self) -> str:
        return self.run("systemctl", "is-system-running", check=False).strip()

    def run(self, *argv: str, check: bool = True) -> str:
        """What a command in it prints."""
        done = self._done(*argv)
        if check and done.returncode != 0:
            journal = self._done("journalctl", "-n", "40", "--no-pager", "-o", "cat").stdout
            pytest.fail(f"{argv}: {done.stdout[-4000:]}{done.stderr[-2000:]}\n{journal}")
        return done.stdout

    def _done(self, *argv: str) -> subprocess.CompletedProcess[str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            [
                "nsenter", "-t", str(self._leader), "-a", "--", "env", "-i", f"PATH={path}",
                "HOME=/root", "LANG=C.UTF-8", *argv,
            ],
            capture_output=True, text=True, check=False, timeout=_INSTALL_S,
        )  # fmt: skip

    def piw(self, *words: str) -> str:
        """What `piw` prints, as the account of the farm."""
        return self.run("runuser", "-u", "piwheels", "--", "env", "-C", "/", _PIW, *words)

    def start(self, *argv: str) -> None:
        """Start a command that runs as long as the system."""
        self.run("systemd-run", "-q", "--", *argv)

    def listing(self) -> dict[str, tuple[int, int, int, str]]:
        """Files with time of change, mode, owner and hash."""
        return {
            str(path): _described(path)
            for folder in _LISTED
            for path in sorted((self.root / folder).rglob("*"))
            if "__pycache__" not in path.parts
        }

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self.run("systemctl", "poweroff", check=False)
            try:
                self._process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait(WAIT_S)


def _described(path: Path) -> tuple[int, int, int, str]:
    state = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return state.st_mtime_ns, state.st_mode, state.st_uid, content


def _make_root(suite: str, root: Path, repository: Path) -> None:
    include = "--include=systemd,systemd-sysv,dbus,ca-certificates,iproute2"
    # In a mount namespace: what a killed debootstrap has mounted below the root is gone with it.
    subprocess.run(
        [
            "unshare", "--mount", "debootstrap", "--variant=minbase", include, suite, str(root),
            _ARCHIVE,
        ],
        check=True, stdout=subprocess.DEVNULL, timeout=_INSTALL_S,
    )  # fmt: skip
    for name in ("piwheels", "sql", "docs", "pyproject.toml", "README.md", "LICENSE"):
        source = repository / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / "source" / name if source.is_dir() else _made(root / "source") / name)
    (root / "etc/dpkg/dpkg.cfg.d/no-sync").write_text("force-unsafe-io\n")
    (root / "prepare").write_text(_PREPARE)
    certificates = os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt")
    subprocess.run(
        [
            "systemd-nspawn", "-q", "-D", str(root), "--register=no", "--keep-unit",
            "--bind-ro=/etc/ssl/certs", f"--setenv=PIP_CERT={certificates}", "sh", "/prepare",
        ],
        check=True, stdout=subprocess.DEVNULL, timeout=_INSTALL_S,
    )  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(params=_SUITES or ["none"])
def system(request: pytest.FixtureRequest, repository: Path) -> Iterator[System]:
    """A bare Debian with piwheels in /opt/piwheels, and an upstream index of its own."""
    root = Path(tempfile.mkdtemp(prefix="piwheels-setup-"))
    root.chmod(0o755)
    system = System(root)
    try:
        _make_root(request.param, root, repository)
        system.boot()
        system.run("python3", "-c", _PAGES)
        system.start("python3", "-m", "http.server", "-d", "/index", "8099")
        yield system
    finally:
        system.stop()
        shutil.rmtree(root, ignore_errors=True)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5 * WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(1)


def test_two_commands_and_a_token_make_a_farm(system: System) -> None:
    options = ("--server-name", "wheels.example.org", "--yes")
    first = system.run(_PIW, "setup", "master", *options)
    assert "0 done before" in first or "steps carried out" in first
    before = system.listing()
    assert "0 steps carried out" in system.run(_PIW, "setup", "master", "--yes")
    assert system.listing() == before
    _set_upstream(system, "master")
    token = _invite(system)
    (system.root / "srv/token").write_text(f"{token}\n")
    system.run(_PIW, "setup", "builder", "--token-file", "/srv/token", "--yes")
    before = system.listing()
    assert "0 steps carried out" in system.run(_PIW, "setup", "builder", "--yes")
    assert system.listing() == before
    _set_upstream(system, "builder")
    system.piw("add", _PROJECT)
    wait_for(lambda: ".whl" in system.piw("builds"), "no wheel was built")
    _install(system)
    system.run(_PIW, "upgrade", "--check")
    _serve_by_each_web_server(system)
    _check_owners(system)
    _restore_on_an_empty_machine(system)
    _downgrade(system)
    _move(system)
    assert "steps carried out" in system.run(_PIW, "setup", "remove", "--purge", "--yes")
    assert not (system.root / "etc/piwheels").exists()
    assert not (system.root / "var/www/piwheels").exists()
    assert "piwheels" not in (system.root / "etc/passwd").read_text()


def _serve_by_each_web_server(system: System) -> None:
    """A setup with another web server takes the site from the former one; pip installs."""
    sites = {
        "nginx": "etc/nginx/sites-enabled/piwheels",
        "apache2": "etc/apache2/sites-enabled/piwheels.conf",
        "caddy": "etc/caddy/piwheels.caddy",
    }
    former = "nginx"
    for package in ("apache2", "caddy", "nginx"):
        system.run("systemctl", "disable", "-q", "--now", former)
        web = package.removesuffix("2")
        system.run(_PIW, "setup", "master", "--web", web, "--yes")
        assert "0 steps carried out" in system.run(_PIW, "setup", "master", "--yes")
        assert [name for name in sites if (system.root / sites[name]).exists()] == [package]
        _install(system)
        former = package


def _set_upstream(system: System, role: str) -> None:
    for key in ("upstream.url", "builder.pip_index_url"):
        system.run(_PIW, "config", "set", key, _UPSTREAM)
    system.run(_PIW, "setup", "master", "--yes")  # settings take effect
    if role == "builder":
        system.run("systemctl", "restart", "piwheels-builder")


def _check_owners(system: System) -> None:
    """Settings are root's, keys the account's, and links of the account lead root nowhere."""
    states = system.run(
        "stat", "-c", "%U:%G %a", "/etc/piwheels", "/etc/piwheels/piwheels.toml",
        "/var/lib/piwheels/keys", "/var/lib/piwheels/keys/master.secret",
    )  # fmt: skip
    assert states.split("\n")[:4] == [
        "root:piwheels 755",
        "root:piwheels 640",
        "piwheels:piwheels 700",
        "piwheels:piwheels 600",
    ]
    # The account replaces its folder of keys by a link, as one that was taken over would.
    account = ("runuser", "-u", "piwheels", "--", "sh", "-c")
    system.run("mkdir", "-m", "0700", "/srv/precious")
    system.run(*account, "cd /var/lib/piwheels && mv keys kept && ln -s /srv/precious keys")
    system.run("systemctl", "restart", "piwheels-master", check=False)
    system.run(_PIW, "setup", "master", "--yes", check=False)
    system.run(_PIW, "key", "authorize", "pi9", "ab" * 32, check=False)
    assert system.run("stat", "-c", "%U %a", "/srv/precious") == "root 700\n"
    assert not list((system.root / "srv/precious").iterdir())
    system.run(*account, "cd /var/lib/piwheels && rm keys && mv kept keys")
    system.run(_PIW, "setup", "master", "--yes")


def _as_account(system: System, *words: str, check: bool = True) -> str:
    """What `sudo -u piwheels piw ...` prints."""
    return system.run(
        "runuser", "-u", "piwheels", "--", "env", "-C", "/", _PIW, *words, check=check
    )


_DAEMONS = ("piwheels-master", "piwheels-accesslog")


def _restore_on_an_empty_machine(system: System) -> None:
    """The commands of "Back up and restore" in docs/operations.md."""
    system.run("install", "-d", "-o", "piwheels", "-m", "0700", "/backup")
    archive = json.loads(_as_account(system, "db", "backup", "/backup", "--keep", "14", "--json"))[
        "file"
    ]
    keys = _as_account(system, "key", "list")
    # What `rsync` has copied to another machine.
    system.run("mkdir", "/elsewhere")
    system.run("cp", "-a", "/backup", "/var/www/piwheels", "/elsewhere/")
    system.run(_PIW, "setup", "remove", "--purge", "--yes")
    system.run("rm", "-r", "/backup")
    # The new machine.
    system.run(_PIW, "setup", "master", "--server-name", "wheels.example.org", "--yes")
    system.run("systemctl", "stop", *_DAEMONS)
    system.run("install", "-d", "-o", "piwheels", "-m", "0700", "/backup")
    system.run("cp", "-a", "/elsewhere/backup/.", "/backup/")
    system.run("cp", "-a", "/elsewhere/piwheels/.", "/var/www/piwheels/")
    system.run("chown", "-R", "piwheels:piwheels", "/backup", "/var/www/piwheels")
    said = system.run(_PIW, "db", "restore", archive, "--only-config", "--dry-run")
    assert f"upstream.url:  -> {_UPSTREAM}" in said
    refused = _as_account(system, "db", "restore", archive, "--force", check=False)
    assert not refused  # it says on standard error that root writes the settings
    system.run(_PIW, "db", "restore", archive, "--only-config", "--force")
    said = _as_account(system, "db", "restore", archive, "--keep-config", "--force")
    assert "was restored" in said
    kept = list((system.root / "var/lib/piwheels").glob("keys.before-*"))
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o700]
    system.run("systemctl", "start", *_DAEMONS)
    assert _as_account(system, "key", "list") == keys
    _check_it_works(system)


def _downgrade(system: System) -> None:
    """The commands of "Upgrade and downgrade"; the earlier version is this one."""
    archive = json.loads(_as_account(system, "db", "backup", "/var/lib/piwheels", "--json"))["file"]
    (package,) = system.root.glob("opt/piwheels/lib/python3.*/site-packages/piwheels")
    migration, module = package / "sql" / "002_later.sql", package / "db" / "migrate.py"
    earlier = module.read_text()
    migration.write_text("CREATE TABLE later (number integer);\n")
    module.write_text(earlier.replace("SCHEMA_VERSION = 1\n", "SCHEMA_VERSION = 2\n"))
    assert "db backup" in system.run(_PIW, "upgrade", "--check", check=False)
    system.run(_PIW, "setup", "master", "--yes")
    system.run("systemctl", "stop", *_DAEMONS)
    migration.unlink()
    module.write_text(earlier)
    assert "schema version 2" in system.run(_PIW, "setup", "master", "--yes", check=False)
    system.run(_PIW, "db", "restore", archive, "--only-config", "--force")
    _as_account(system, "db", "restore", archive, "--keep-config", "--force")
    system.run(_PIW, "setup", "master", "--yes")
    _check_it_works(system)


def _move(system: System) -> None:
    """The commands of "Move a master", to a machine that gets the name and the builder's key."""
    system.run("systemctl", "disable", "--now", *_DAEMONS)
    archive = json.loads(_as_account(system, "db", "backup", "/var/lib/piwheels", "--json"))["file"]
    system.run("cp", "-a", archive, "/elsewhere/farm.zip")
    system.run("rm", "-r", "/elsewhere/piwheels")
    system.run("cp", "-a", "/var/www/piwheels", "/elsewhere/")
    builder = system.run("cat", "/var/lib/piwheels/keys/builder.secret")
    system.run(_PIW, "setup", "remove", "--purge", "--yes")
    system.run(_PIW, "setup", "master", "--server-name", "wheels.example.org", "--yes")
    system.run("systemctl", "stop", *_DAEMONS)
    system.run("cp", "-a", "/elsewhere/piwheels/.", "/var/www/piwheels/")
    system.run("chown", "-R", "piwheels:piwheels", "/var/www/piwheels")
    file = "/var/lib/piwheels/farm.zip"
    system.run("install", "-o", "piwheels", "-m", "0600", "/elsewhere/farm.zip", file)
    system.run(_PIW, "db", "restore", file, "--only-config", "--force")
    _as_account(system, "db", "restore", file, "--keep-config", "--force", "--complete-tree")
    system.run("systemctl", "start", *_DAEMONS)
    assert system.run("cat", "/var/lib/piwheels/keys/builder.secret") == builder
    _check_it_works(system)


def _check_it_works(system: System) -> None:
    """No file differs, and the builder, which had joined, builds a wheel again for pip."""
    same = "0 missing, 0 extra, 0 wrong"
    wait_for(lambda: same in _as_account(system, "audit", check=False), "files differ")
    system.run(_PIW, "setup", "builder", "--yes")
    system.run("systemctl", "restart", "piwheels-builder")
    before = _newest_built(system)
    _as_account(system, "rebuild", _PROJECT)
    wait_for(lambda: _newest_built(system) > before, "no wheel was built again")
    _install(system)


def _newest_built(system: System) -> int:
    """The number of the newest build with a wheel; 0 for none."""
    builds = json.loads(_as_account(system, "builds", "--json"))["builds"]
    return max((build["build"] for build in builds if build["files"]), default=0)


def _invite(system: System) -> str:
    text = system.piw("builder", "invite", "here", "--authorize", "--master", "127.0.0.1")
    return next(word for word in text.split() if word.startswith("piw1_"))


def _install(system: System) -> None:
    system.run("rm", "-rf", "/tmp/client")
    if "example.org" not in (system.root / "etc/hosts").read_text():
        with (system.root / "etc/hosts").open("a") as hosts:
            hosts.write("127.0.0.1 wheels.example.org\n")
    system.run("python3", "-m", "venv", "/tmp/client")
    host = "wheels.example.org"
    index = f"http://{host}/simple/"

    def installed() -> bool:
        output = system.run(
            "/tmp/client/bin/pip", "install", "--no-cache-dir", "--trusted-host", host,
            "--index-url", index, "--only-binary", ":all:", _PROJECT, check=False,
        )  # fmt: skip
        return "Successfully installed" in output

    wait_for(installed, "pip installed nothing")
