"""A mirror by rsync of a tree that changes: its readers never see a page that names a missing file."""

import hashlib
import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from piwheels.config_templates.mirror import render_mirror, render_rsyncd
from piwheels.errors import ConfigError
from piwheels.webroot import replace_file
from tests.ports import free_port
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S

pytestmark = [pytest.mark.farm, requires_program("rsync"), requires_program("flock")]


@dataclass
class Site:
    """A web root whose pages name files by their hashes; it publishes in the farm's order."""

    root: Path
    kept_s: float = 60.0
    named: dict[str, dict[str, str]] = field(default_factory=dict)  # hash by file, by project
    removed: list[tuple[float, Path]] = field(default_factory=list)
    number: int = 0

    def add(self, project: str) -> None:
        """A file, and then the page that names it."""
        self.number += 1
        content = f"{project} {self.number}".encode() * 50
        name, sha256 = f"{project}-{self.number}.whl", hashlib.sha256(content).hexdigest()
        place = self.path(name, sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, content)
        self.named.setdefault(project, {})[name] = sha256
        self.write(project)

    def remove(self, project: str) -> None:
        """The page without the oldest file, and later that file."""
        if not self.named.get(project):
            return
        name, sha256 = next(iter(self.named[project].items()))
        del self.named[project][name]
        self.write(project)
        self.removed.append((time.monotonic() + self.kept_s, self.path(name, sha256)))

    def delete_old(self) -> None:
        """Delete the files that no page has named for long enough."""
        now = time.monotonic()
        for _, path in [it for it in self.removed if it[0] <= now]:
            path.unlink()
        self.removed = [it for it in self.removed if it[0] > now]

    def write(self, project: str) -> None:
        text = "\n".join(f"{name} {sha256}" for name, sha256 in self.named[project].items())
        for page in (f"simple/{project}/index.html", "simple/index.html"):
            (self.root / page).parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.root / page, text.encode())

    def path(self, name: str, sha256: str) -> Path:
        return self.root / "packages" / sha256[:2] / name


def check(copy: Path) -> int:
    """Every file that a page of a copy names is there, with its hash; gives their number."""
    found = 0
    for page in copy.glob("simple/*/index.html"):
        try:
            lines = page.read_text().splitlines()
        except FileNotFoundError:
            continue  # the page was removed
        for name, sha256 in map(str.split, lines):
            content = (copy / "packages" / sha256[:2] / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha256, name
            found += 1
    return found


@dataclass(frozen=True)
class Mirror:
    """The printed script, for a copy of a site."""

    script: Path
    copy: Path

    def run(self, *, expect: int = 0, **environ: str) -> str:
        done = subprocess.run(
            ["sh", str(self.script)],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
            env={**os.environ, **environ},
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr


def mirror_of(source: str, folder: Path, kept_s: float = 60.0) -> Mirror:
    found = Mirror(folder / "mirror.sh", folder / "copy")
    parts = render_mirror(
        source=source, root=found.copy, script=found.script, user="root", kept_s=kept_s
    )
    found.script.write_text(parts["script"])
    return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "www")
    for project in ("left", "right"):
        site.add(project)
    return site


@contextmanager
def rsync_daemon(site: Site, folder: Path) -> Iterator[str]:
    """rsync's daemon with the printed module; gives the source for a mirror."""
    config, port = folder / "rsyncd.conf", free_port()
    module = render_rsyncd(site.root)
    if os.getuid() != 0:
        module = re.sub(r"(?m)^ *(uid|gid|use chroot).*\n", "", module) + "\n    use chroot = no\n"
    config.write_text(f"pid file = {folder}/rsyncd.pid\n{module}\n")
    for place in (folder, *folder.parents[:2]):  # its account is nobody
        place.chmod(place.stat().st_mode | 0o755)
    command = [
        *(find_program("rsync"), "--daemon", "--no-detach", f"--config={config}"),
        *("--address=127.0.0.1", f"--port={port}", f"--log-file={folder}/rsyncd.log"),
    ]
    with subprocess.Popen(command) as process:
        try:
            source = f"rsync://127.0.0.1:{port}/piwheels"
            deadline = time.monotonic() + WAIT_S
            while subprocess.run(["rsync", source], capture_output=True, check=False).returncode:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield source
        finally:
            process.terminate()


def test_a_page_that_is_published_between_the_passes_waits_for_its_files(
    site: Site, tmp_path: Path
) -> None:
    """A program in rsync's place publishes before each pass, which is the worst moment."""
    mirror = mirror_of(str(site.root), tmp_path)
    mirror.run()
    assert check(mirror.copy) == 2
    new = site.root / "new"
    new.mkdir()
    content = b"between the passes"
    sha256 = hashlib.sha256(content).hexdigest()
    between = tmp_path / "bin" / "rsync"
    between.parent.mkdir()
    page, place = site.root / "simple/left/index.html", site.path("b.whl", sha256)
    between.write_text(
        f"#!/bin/sh\n[ -e {new}/done ] && {{ mkdir -p {place.parent}; printf '%s' '{content.decode()}'"
        f" > {place}; echo 'b.whl {sha256}' >> {page}.next; mv {page}.next {page}; }}\n"
        f'touch {new}/done\nexec {find_program("rsync")} "$@"\n'
    )
    between.chmod(0o755)
    mirror.run(PATH=f"{between.parent}:{os.environ['PATH']}")
    assert check(mirror.copy) == 2, "the page as it was before its file was copied"
    assert "b.whl" not in (mirror.copy / "simple/left/index.html").read_text()
    mirror.run()
    assert "b.whl" in (mirror.copy / "simple/left/index.html").read_text()
    assert check(mirror.copy) == 2


@pytest.mark.parametrize(
    ("number", "failure", "status"),
    [
        (1, '{rsync} "$@"; rm -r {copy}/.mirror/pages/simple/left; exit 23', 23),
        (2, "exit 12", 12),
        (2, "exit 23", 23),
        (3, "exit 10", 10),
        (4, "exit 11", 11),
    ],
)
def test_a_pass_that_fails_ends_the_run_and_its_pages_are_not_put_in_place(
    site: Site, tmp_path: Path, number: int, failure: str, status: int
) -> None:
    mirror = mirror_of(str(site.root), tmp_path)
    mirror.run()
    before = (mirror.copy / "simple/left/index.html").read_text()
    site.add("left")
    failing, rsync = tmp_path / "bin" / "rsync", find_program("rsync")
    failing.parent.mkdir()
    failing.write_text(
        f"#!/bin/sh\necho call >> {tmp_path}/calls\n"
        f"[ $(wc -l < {tmp_path}/calls) = {number} ] && {{ "
        f'{failure.format(rsync=rsync, copy=mirror.copy)}; }}\nexec {rsync} "$@"\n'
    )
    failing.chmod(0o755)
    mirror.run(expect=status, PATH=f"{failing.parent}:{os.environ['PATH']}")
    assert check(mirror.copy) == 2
    assert (mirror.copy / "simple/left/index.html").read_text() == before
    mirror.run()
    assert check(mirror.copy) == 3


def test_a_folder_with_other_files_does_not_become_a_mirror(site: Site, tmp_path: Path) -> None:
    mirror = mirror_of(str(site.root), tmp_path)
    (mirror.copy / "lost+found").mkdir(parents=True)
    other = mirror.copy / "thesis.txt"
    other.write_text("the only copy")
    assert "is not empty and no mirror" in mirror.run(expect=1)
    assert other.read_text() == "the only copy"
    other.unlink()
    mirror.run()
    assert check(mirror.copy) == 2
    assert (mirror.copy / "lost+found").exists(), "of a disk of its own"


def test_a_farm_whose_disk_of_wheels_is_not_mounted_deletes_none_here(
    site: Site, tmp_path: Path
) -> None:
    mirror = mirror_of(str(site.root), tmp_path)
    mirror.run()
    page = mirror.copy / "simple/left/index.html"
    before = page.read_text()
    shutil.rmtree(site.root / "packages")
    (site.root / "packages" / "lost+found").mkdir(parents=True)
    site.named["left"] = {}
    site.write("left")
    for _ in range(2):
        assert "has no packages" in mirror.run(expect=1)
    assert check(mirror.copy) == 2
    assert page.read_text() == before
    shutil.rmtree(mirror.copy / "packages")
    mirror.run()
    assert page.read_text() == ""


def test_a_farm_places_no_links_and_no_devices_here(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the mirror")
    (site.root / "simple/left/key.html").symlink_to(secret)
    (site.root / "packages/away").symlink_to("/")
    os.mkfifo(site.root / "packages/pipe")
    mirror = mirror_of(str(site.root), tmp_path)
    mirror.run()
    assert check(mirror.copy) == 2
    odd = [
        it for it in mirror.copy.rglob("*") if it.is_symlink() or not (it.is_file() or it.is_dir())
    ]
    assert odd == []


def test_a_file_is_deleted_when_two_runs_did_not_find_it_and_an_empty_source_deletes_nothing(
    site: Site, tmp_path: Path
) -> None:
    mirror = mirror_of(str(site.root), tmp_path)
    (site.root / ".new-1").touch()
    mirror.run()
    assert not (mirror.copy / ".new-1").exists(), "a file that is being written"
    (name, sha256), *_ = site.named["left"].items()
    site.kept_s = 0.0
    site.remove("left")
    site.delete_old()
    copied = mirror.copy / "packages" / sha256[:2] / name
    mirror.run()
    assert copied.exists(), "clients may have read the page that names it"
    mirror.run()
    assert not copied.exists()
    site.root.rename(tmp_path / "away")
    site.root.mkdir()
    assert "has no simple/index.html" in mirror.run(expect=1)
    assert check(mirror.copy) == 1
    with (mirror.copy / ".mirror/lock").open("w") as lock:
        subprocess.run(["flock", str(lock.fileno())], check=True, pass_fds=[lock.fileno()])
        assert "another run copies" in mirror.run()


@pytest.mark.slow
def test_readers_of_a_mirror_never_miss_a_file_while_the_farm_publishes_and_removes(
    site: Site, tmp_path: Path
) -> None:
    site.kept_s, stopped = 3.0, threading.Event()
    errors: list[Exception] = []
    checked: list[int] = []

    def publish() -> None:
        pick = random.Random(7)
        while not stopped.is_set():
            action = pick.choice((site.add, site.add, site.remove))
            action(pick.choice(("left", "right", "third", "fourth")))
            site.delete_old()
            time.sleep(0.003)

    def read() -> None:
        while not stopped.is_set():
            checked.append(check(mirror.copy))

    with rsync_daemon(site, tmp_path) as source:
        mirror = mirror_of(source, tmp_path, site.kept_s)
        mirror.run()
        threads = [
            threading.Thread(target=_keep_error, args=(each, errors)) for each in (publish, read)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(25):
                mirror.run()
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
    assert not errors, errors
    assert len(checked) > 100
    assert max(checked) > 20
    assert site.number > 40


def _keep_error(function: object, errors: list[Exception]) -> None:
    assert callable(function)
    try:
        function()
    except Exception as error:  # noqa: BLE001 - the test's thread asserts that there is none
        errors.append(error)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"source": "-e sh"}, "cannot be read by rsync"),
        ({"source": "host:/a b"}, "cannot be read by rsync"),
        ({"source": "h:/$(x)"}, "cannot be read by rsync"),
        ({"kept_s": 0.0}, "deletion_delay_s"),
    ],
)
def test_what_cannot_be_mirrored_is_one_line(changes: dict[str, object], error: str) -> None:
    options = {"source": "rsync://h/m", "root": Path("/m"), "script": Path("/s"), "user": "u"}
    with pytest.raises(ConfigError, match=error):
        render_mirror(**({"kept_s": 60.0, **options, **changes}))  # type: ignore[arg-type]


@requires_program("shellcheck")
def test_the_script_is_sound(tmp_path: Path) -> None:
    script = render_mirror(
        source="m@farm:/var/www/piwheels/",
        root=tmp_path,
        script=tmp_path / "s",
        user="u",
        kept_s=300.0,
        limit_kb_s=500,
    )["script"]
    assert "--bwlimit=500 " in script
    assert 'source="m@farm:/var/www/piwheels"' in script
    done = subprocess.run(
        [find_program("shellcheck"), "-"], input=script, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
