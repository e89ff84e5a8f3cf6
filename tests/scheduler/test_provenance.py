"""Statements of published wheels: written before pages name them, and verified over HTTP."""

import asyncio
import base64
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.audit.statements import StatementCheck
from piwheels.cli import cli
from piwheels.config.sections import MasterSection
from piwheels.db import bucket_changes, catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.errors import ConfigError, UsageError
from piwheels.master.statement_fill import PAUSE_S, StatementFill
from piwheels.master.statement_renewal import StatementRenewal
from piwheels.model import IMPORT_MAKER, RESTORE_MAKER, WheelFile
from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import BuildFacts, Subject
from piwheels.provenance.verification import verify
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.known_keys import KeyRecorder, known_keys
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.wheel.inspect import inspect_wheel
from tests.clients.servers import serving
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release
from tests.provenance.factories import FACTS
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness
from tests.wheel.factories import make_wheel

#: Publishes a wheel and is killed at a call of the web root: argument 4 says before which file.
_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from piwheels.db.database import Database
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot
from piwheels.wheel.inspect import inspect_wheel
from tests.provenance.factories import FACTS

dsn, root, wheel, suffix = sys.argv[1:]

class Killed(Webroot):
    def write(self, path, content):
        if path.name.endswith(suffix):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(path, content)

async def main():
    webroot = Killed(Path(root))
    writer = StatementWriter(SigningKeys(Path(wheel).parent / "keys"), webroot, "https://w/")
    async with await Database.connect(dsn, role="killed") as db:
        publisher = WheelPublisher(db, webroot, writer)
        await publisher.install(inspect_wheel(Path(wheel)), Path(wheel), build=FACTS)

asyncio.run(main())
"""

_WITHOUT_CRYPTOGRAPHY = """
import sys
from pathlib import Path
sys.modules["cryptography"] = None
from piwheels.config import Config
from piwheels.config.sections import MasterSection
from piwheels.master import daemon
from piwheels.webroot import Webroot
required = sys.argv[2] == "required"
config = Config(master=MasterSection(key_dir=Path(sys.argv[1]), require_provenance=required))
print(daemon._statement_writer(config, Webroot(Path(sys.argv[1]))))
"""


class SignedSite(SiteHarness):
    """A farm without builders whose wheels are published with statements."""

    def __init__(self, db: Database, folder: Path, pool: ThreadPoolExecutor) -> None:
        super().__init__(db, folder / "www", pool)
        self.keys = SigningKeys(folder / "keys")
        writer = StatementWriter(
            self.keys, self.webroot, "https://wheels.example/", KeyRecorder(db.dsn)
        )
        self.writer = writer
        self.wheels = WheelPublisher(db, self.webroot, writer)
        self.made = make_wheel(folder)
        self.events: list[str] = []

    async def publish_signed(self, build: BuildFacts | None = FACTS) -> WheelFile:
        """Complete a build of `demo`, with a statement if its facts are known; write all pages."""
        await catalog.add_project(self.db, "demo", "demo")
        await catalog.add_releases(self.db, [make_release("demo")], RULES)
        job = await job_queue.claim(self.db, "builder", [TARGETS[0].name])
        assert job is not None
        arrived = self.made.with_name(f"arrived-{self.made.name}")
        shutil.copy(self.made, arrived)
        file = await self.wheels.install(inspect_wheel(self.made), arrived, build=build)
        assert await complete_as_built(self.db, job, "builder", file)
        await self.write_pages()
        return file

    async def write_pages(self) -> None:
        await self.publisher.write_pending()
        await self.write_website()

    async def fill(self) -> None:
        """Write the statements that are missing, as a master does after its start."""
        await StatementFill(self.db, self.webroot, self.writer, pause_s=0.0).run()
        await self.write_pages()

    async def publish_recorded(self) -> WheelFile:
        """Complete a build of `demo` whose statement says what is recorded of it."""
        file = await self.publish_signed(build=None)
        await self.fill()
        return file

    def renewal(self, pause_s: float = 0.0) -> StatementRenewal:
        """What signs statements of revoked keys again, with its events."""

        async def record(text: str) -> None:
            self.events.append(text)

        return StatementRenewal(self.db, self.webroot, self.writer, record, pause_s=pause_s)

    def provenance_urls(self) -> list[str | None]:
        """What the JSON of `demo` links to."""
        document = json.loads((self.webroot.project_dir("demo") / "v1.json").read_bytes())
        files = [file for release in document["releases"] for file in release["files"]]
        return [file["provenance_url"] for file in files]

    def statement(self, file: WheelFile) -> Path:
        return self.webroot.provenance_path(file.sha256, file.filename)


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[SignedSite]:
    await target_queries.add_target(database, TARGETS[0], RULES)
    await target_queries.recompute_jobs(database)
    with ThreadPoolExecutor(1) as pool:
        yield SignedSite(database, tmp_path, pool)


@pytest.fixture
def served(site: SignedSite, tmp_path: Path) -> Iterator[str]:
    """The address of the web root behind our own web server."""
    site.webroot.root.mkdir(exist_ok=True)
    with serving("own", site.webroot.root, tmp_path) as address:
        yield address


def piw_verify(*arguments: object) -> tuple[int, Any]:
    """The exit code and the JSON of `piw verify`."""
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", "verify", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


async def test_a_published_wheel_is_linked_with_its_statement_and_verified(
    site: SignedSite, served: str, tmp_path: Path
) -> None:
    file = await site.publish_signed()
    (linked,) = site.provenance_urls()
    path = f"packages/{file.sha256[:2]}/{file.sha256}/{file.filename}"
    assert linked is not None
    assert linked.endswith(f"/{path}.provenance.json")
    page = (site.webroot.project_dir("demo") / "index.html").read_text()
    assert f'{path}.provenance.json">provenance</a>' in page
    code, told = piw_verify(f"{served}{path}")
    assert (code, told["verified"], told["key_from"]) == (0, True, "index")
    assert told["statement"]["subject"][0]["digest"] == {"sha256": file.sha256}
    assert piw_verify(site.made, "--index", f"{served}simple/")[0] == 0
    pinned = tmp_path / "pinned.json"
    shutil.copy(site.webroot.provenance_keys_path(), pinned)
    site.keys.rotate()
    await asyncio.to_thread(site.writer.publish_keys)
    code, told = piw_verify(f"{served}{path}", "--key", pinned)
    assert (code, told["key_from"]) == (0, "file"), "what was signed before stays valid"


@pytest.mark.slow
async def test_each_reason_of_a_refusal_is_one_line_and_exit_code_1(
    site: SignedSite, served: str, tmp_path: Path
) -> None:
    file = await site.publish_signed()
    url = f"{served}packages/{file.sha256[:2]}/{file.sha256}/{file.filename}"
    other_key = tmp_path / "key"
    other_key.write_text(SigningKeys(tmp_path / "other").ensure().raw.hex())
    changed = tmp_path / "changed" / site.made.name
    changed.parent.mkdir()
    changed.write_bytes(site.made.read_bytes() + b"x")
    statement = site.statement(file)
    shutil.copy(statement, changed.with_name(statement.name))
    cases: list[tuple[str, tuple[object, ...]]] = [
        ("unknown-key", (url, "--key", other_key)),
        ("no-statement", (url.replace(file.filename, "other-1.0-py3-none-any.whl"),)),
        ("other-bytes", (changed, "--index", served)),
        ("unreadable", ("http://127.0.0.1:1/packages/x/y.whl",)),
        ("unreadable", (tmp_path / "missing.whl", "--index", served)),
    ]
    for problem, arguments in cases:
        code, told = piw_verify(*arguments)
        assert (code, told["verified"], told["problem"]) == (1, False, problem), told
        assert "\n" not in told["text"]
    statement.write_bytes(statement.read_bytes()[:-10])
    assert piw_verify(url)[1]["problem"] == "malformed"
    site.webroot.provenance_keys_path().unlink()
    assert piw_verify(url)[1]["problem"] == "no-keys"


async def test_what_cannot_be_found_is_a_wrong_command(site: SignedSite) -> None:
    for arguments in ((site.made,), (site.made, "--index", "wheels.example"), ("http://h/a.whl",)):
        code, told = piw_verify(*arguments)
        assert code == 2
        assert "--index" in told


@pytest.mark.parametrize("suffix", [".metadata", "keys.json", ".provenance.json"])
async def test_a_master_that_is_killed_between_wheel_and_statement_names_neither(
    site: SignedSite, dsn: str, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    wheel = Path(shutil.copy(site.made, folder))
    command = [sys.executable, "-c", _KILLED, dsn, str(site.webroot.root), str(wheel), suffix]
    done = await asyncio.to_thread(subprocess.run, command, check=False, timeout=2 * WAIT_S)
    assert done.returncode == -signal.SIGKILL
    await site.write_pages()
    installed = [path for path in site.webroot.root.rglob("*.whl*") if path.is_file()]
    assert installed, "the wheel was installed"
    assert not (site.webroot.simple_dir("demo") / "index.html").exists()
    await site.publisher.recover()
    await site.write_pages()
    assert not list(site.webroot.root.rglob("*.whl*"))
    file = await site.publish_signed()
    assert site.statement(file).is_file()
    assert len(site.provenance_urls()) == 1


async def test_a_statement_is_removed_with_its_wheel_after_the_page(site: SignedSite) -> None:
    file = await site.publish_signed()
    await catalog.remove_release(site.db, "demo", "1.0")
    await site.write_pages()
    assert not site.statement(file).parent.exists()


async def test_a_wheel_without_a_recorded_build_gets_no_statement(site: SignedSite) -> None:
    arrived = site.made.with_name(f"arrived-{site.made.name}")
    shutil.copy(site.made, arrived)
    file = await site.wheels.install(inspect_wheel(site.made), arrived)
    assert not file.has_provenance
    assert not site.statement(file).exists()


# --- wheels that were published before ---


async def test_wheels_without_a_statement_get_one_from_the_record(
    site: SignedSite, served: str
) -> None:
    file = await site.publish_signed(build=None)
    assert site.provenance_urls() == [None]
    await site.fill()
    assert len(list(filter(None, site.provenance_urls()))) == 1
    code, told = piw_verify(site.made, "--index", served)
    assert code == 0
    assert told["sha256"] == file.sha256
    build = told["statement"]["predicate"]["buildDefinition"]
    assert build["internalParameters"] == {"isFromRecord": True}
    assert build["externalParameters"]["target"] == TARGETS[0].name
    assert [item["name"] for item in build["resolvedDependencies"]] == ["demo-1.0.tar.gz"]
    before = site.statement(file).read_bytes()
    await site.fill()
    assert site.statement(file).read_bytes() == before


async def test_a_source_that_was_replaced_since_is_not_named(site: SignedSite, served: str) -> None:
    await site.publish_signed(build=None)
    await site.db.execute("UPDATE releases SET sdist_replaced_build_id = 1000")
    await site.fill()
    _, told = piw_verify(site.made, "--index", served)
    assert told["statement"]["predicate"]["buildDefinition"]["resolvedDependencies"] == []


@pytest.mark.parametrize("maker", [IMPORT_MAKER, RESTORE_MAKER])
async def test_imported_wheels_have_no_statement(site: SignedSite, maker: str) -> None:
    file = await site.publish_signed(build=None)
    await site.db.execute("UPDATE builds SET builder = %(maker)s", {"maker": maker})
    await site.fill()
    assert site.provenance_urls() == [None]
    assert not site.statement(file).exists()


async def test_no_statement_is_written_of_a_wheel_that_is_gone(site: SignedSite) -> None:
    file = await site.publish_signed(build=None)
    site.webroot.wheel_path(file.sha256, file.filename).unlink()
    await site.fill()
    assert site.provenance_urls() == [None]
    assert not site.statement(file).exists()


async def test_keys_that_cannot_be_read_leave_the_rest_to_the_next_start(
    site: SignedSite,
) -> None:
    file = await site.publish_signed(build=None)
    site.keys.ensure()
    site.keys.path.write_text("damaged")
    await site.fill()
    assert not site.statement(file).exists()
    site.keys.path.unlink()
    await site.fill()
    assert site.statement(file).exists()


def without_cryptography(keys: Path, whether: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT_CRYPTOGRAPHY, str(keys), whether],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def test_a_master_without_the_package_cryptography_does_not_start(tmp_path: Path) -> None:
    assert MasterSection().require_provenance
    done = without_cryptography(tmp_path / "keys", "required")
    assert done.returncode != 0
    error = done.stderr.strip().splitlines()[-1]
    for words in ("pip install cryptography", "python3-cryptography", "master.require_provenance"):
        assert words in error
    assert not (tmp_path / "keys").exists()


def test_a_master_that_need_not_sign_publishes_unsigned_wheels(tmp_path: Path) -> None:
    done = without_cryptography(tmp_path / "keys", "not required")
    assert done.stdout == "None\n", done.stderr
    assert "wheels are published without signed provenance" in done.stderr
    assert not (tmp_path / "keys").exists()


async def test_a_revoked_key_is_trusted_no_more_and_the_master_signs_again(
    site: SignedSite, served: str, tmp_path: Path
) -> None:
    file = await site.publish_recorded()
    url = f"{served}packages/{file.sha256[:2]}/{file.sha256}/{file.filename}"
    assert piw_verify(url)[0] == 0
    before = site.statement(file).read_bytes()
    old = site.keys.ensure().keyid
    config = tmp_path / "piwheels.toml"
    config.write_text('[master]\nkey_dir = "keys"\n')
    rotated = CliRunner().invoke(
        cli,
        ["key", "rotate", "signing", "--revoke", "current", "--reason", "stolen", "--yes",
         "--config", str(config)],
    )  # fmt: skip
    assert rotated.exit_code == 0, rotated.output
    await asyncio.to_thread(site.writer.publish_keys)
    code, said = piw_verify(url)
    assert (code, said["problem"]) == (1, "revoked-key")
    assert f"the key {old} was revoked" in said["text"]
    assert "(stolen)" in said["text"]
    renewal = site.renewal()
    await bucket_changes.follow(site.db, "s3://wheels")
    assert await renewal.renew(site.writer) == 1
    assert await site.db.value("SELECT subject FROM bucket_changes WHERE kind = 'wheel'") == (
        f"{file.sha256}/{file.filename}"
    )
    code, said = piw_verify(url)
    assert code == 0
    assert said["keyid"] == rotated.output.strip() != old
    assert json.loads(before)["payload"] == json.loads(site.statement(file).read_bytes())["payload"]
    # It is done, also for the next master; a statement that comes back is not trusted.
    assert await renewal.renew(site.writer) == 0
    site.statement(file).write_bytes(before)
    assert piw_verify(url)[1]["problem"] == "revoked-key"


async def test_signing_again_publishes_the_keys_once_and_pauses_after_each_batch(
    site: SignedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await site.publish_recorded()
    other = await site.publish("other")
    site.webroot.provenance_path(other.sha256, other.filename).write_bytes(b"{}")
    await site.db.execute("UPDATE files SET has_provenance = true")
    site.keys.rotate("current", "stolen")
    monkeypatch.setattr("piwheels.master.statement_renewal.BATCH_ROWS", 2)
    published, pauses = [], []
    publish_keys, sleep = StatementWriter.publish_keys, asyncio.sleep

    def count(writer: StatementWriter) -> object:
        published.append(writer)
        return publish_keys(writer)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0.0)

    monkeypatch.setattr(StatementWriter, "publish_keys", count)
    monkeypatch.setattr("piwheels.master.statement_renewal.asyncio.sleep", pause)
    renewal = site.renewal(PAUSE_S)
    assert await renewal.renew(site.writer) == 1
    assert len(published) == 2, "before the first batch, and for the only one"
    assert PAUSE_S in pauses
    assert site.keys.ensure().keyid in site.statement(file).read_text()


async def test_signing_again_goes_on_after_an_interruption(site: SignedSite) -> None:
    file = await site.publish_recorded()
    old = site.keys.ensure().keyid
    site.keys.rotate()
    site.keys.rotate(old[:8], "found in a backup")
    renewal = site.renewal()
    folder = site.statement(file).parent
    kept = site.keys.path.read_bytes()
    site.keys.path.write_text("damaged")
    with pytest.raises(ConfigError, match="holds no signing keys"):
        await renewal.renew(site.writer)
    site.keys.path.write_bytes(kept)
    assert await renewal.renew(site.writer) == 1
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    with pytest.raises(UsageError, match="no signing key has an id that begins with xyz"):
        site.keys.rotate("xyz")
    assert site.keys.revoked() == {old}


def changed_statement(site: SignedSite, file: WheelFile, change: Callable[[Any], None]) -> None:
    """What whoever has the signing key writes in place of a statement."""
    path = site.statement(file)
    envelope = json.loads(path.read_bytes())
    document = json.loads(base64.b64decode(envelope["payload"]))
    change(document["predicate"])
    path.write_bytes(dsse.seal(msgspec.json.encode(document), site.keys.load()[1]))


def set_in(*names: str, value: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for name in names[:-1]:
            document = document[name]
        document[names[-1]] = value

    return change


BUILD, RUN = "buildDefinition", "runDetails"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_in(BUILD, "externalParameters", "target", value="x"), "externalParameters.target"),
        (set_in(BUILD, "resolvedDependencies", value=[]), "resolvedDependencies"),
        (set_in(BUILD, "internalParameters", "path", value=["/tmp"]), "internalParameters.path"),
        (set_in(BUILD, "internalParameters", "isFromRecord", value=[1]), "isFromRecord is neither"),
        (set_in(BUILD, "internalParameters", "addedPackages", value=["x"]), "no package x"),
        (set_in(BUILD, "internalParameters", "addedPackages", value=[1]), "no list of names"),
        (set_in(RUN, "builder", "id", value="https://other/#builder=x"), "runDetails.builder.id"),
        (set_in(BUILD, "internalParameters", "addedPackages", value=["x=2"]), "no package x=2"),
        (
            set_in(BUILD, "internalParameters", "pip", value=None),
            "null as predicate.buildDefinition",
        ),
        (set_in(BUILD, "internalParameters", "more", value={}), "internalParameters.more"),
        (set_in(RUN, "builder", "id", value="ftp://wheels/#builder=builder"), "builder.id"),
        (set_in(RUN, "builder", "id", value="https://a b/#builder=builder"), "builder.id"),
        (set_in(RUN, "builder", "id", value="https://a#b/#builder=builder"), "builder.id"),
        (set_in(RUN, "builder", "id", value=f"https://{'a' * 2001}#builder=builder"), "builder.id"),
        (set_in(RUN, "builder", "version", value={"piwheels": "a b"}), "the version of the master"),
        (set_in(RUN, "builder", "version", value={"piwheels": "1", "x": "1"}), "the version of"),
        (set_in(RUN, "builder", "version", value={}), "the version of the master"),
        (set_in(RUN, "metadata", "invocationId", value="1000"), "runDetails.metadata.invocationId"),
        (set_in(RUN, "metadata", "finishedOn", value="2001-01-01T00:00:00Z"), "finishedOn"),
        (set_in("more", value="text"), "more"),
        (set_in("runDetails.builder.id", value="x"), "runDetails.builder.id"),
    ],
)
async def test_a_statement_that_differs_from_the_record_is_not_signed_again(
    site: SignedSite, change: Callable[[Any], None], problem: str
) -> None:
    file = await site.publish_recorded()
    changed_statement(site, file, change)
    before = site.statement(file).read_bytes()
    site.keys.rotate("current", "stolen")
    assert await site.renewal().renew(site.writer) == 0
    assert site.statement(file).read_bytes() == before
    (event,) = site.events
    assert event.startswith(f"the statement of {file.filename} is not signed again: ")
    assert problem in event
    assert "piw audit --fix" in event


async def test_a_statement_of_the_build_itself_agrees_with_the_record(site: SignedSite) -> None:
    """It was written before the build was recorded, and says more."""
    file = await site.publish_recorded()

    def as_built(predicate: Any) -> None:
        del predicate[BUILD]["internalParameters"]["isFromRecord"]
        predicate[RUN]["builder"]["version"] = {"piwheels": "2.0.dev1+local"}

    changed_statement(site, file, as_built)
    site.keys.rotate("current", "stolen")
    assert await site.renewal().renew(site.writer) == 1
    assert site.events == []


async def test_statements_are_signed_again_after_the_address_of_the_farm_changed(
    site: SignedSite,
) -> None:
    """As by the switch to TLS. Their texts stay, with the former address."""
    file = await site.publish_recorded()
    before = json.loads(site.statement(file).read_bytes())
    site.writer = replace(site.writer, farm_url="https://wheels.example:8443/farm/")
    site.keys.rotate("current", "stolen")
    assert await site.renewal().renew(site.writer) == 1
    assert site.events == []
    after = json.loads(site.statement(file).read_bytes())
    assert after["payload"] == before["payload"]
    assert after["signatures"] != before["signatures"]


async def test_a_statement_with_a_field_twice_is_not_signed_again(site: SignedSite) -> None:
    """Readers may take the first, and the comparison the last."""
    file = await site.publish_recorded()
    path = site.statement(file)
    payload = base64.b64decode(json.loads(path.read_bytes())["payload"])
    twice = payload.replace(b'"target":', b'"target":"other","target":', 1)
    assert twice != payload
    path.write_bytes(dsse.seal(twice, site.keys.load()[1]))
    site.keys.rotate("current", "stolen")
    assert await site.renewal().renew(site.writer) == 0
    assert "written in another way" in site.events[0]


async def test_statements_of_a_key_that_the_master_does_not_know_are_signed_again(
    site: SignedSite,
) -> None:
    """As after a restore of keys and database from before a rotation."""
    site.keys.ensure()
    copy = site.keys.path.read_bytes()
    newer = site.keys.rotate().keyid
    file = await site.publish_recorded()
    assert newer in site.statement(file).read_text()
    site.keys.path.write_bytes(copy)
    await asyncio.to_thread(site.writer.begin, [])
    assert site.keys.revoked() == {newer}
    assert await site.renewal().renew(site.writer) == 1
    assert site.keys.ensure().keyid in site.statement(file).read_text()


async def test_a_standby_with_an_older_copy_knows_newer_keys_from_the_database(
    site: SignedSite,
) -> None:
    site.keys.ensure()
    copy = site.keys.path.read_bytes()
    newer = site.keys.rotate().keyid
    await asyncio.to_thread(site.writer.publish_keys)
    await site.renewal().renew(site.writer)
    site.keys.path.write_bytes(copy)
    await asyncio.to_thread(site.writer.begin, await known_keys(site.db))
    assert site.keys.revoked() == frozenset()
    assert newer in {key.keyid for key in site.keys.load()[0].keys}


async def test_a_key_is_recorded_before_it_signs_and_survives_a_failover(
    site: SignedSite,
) -> None:
    """Also one of a rotation while the statements of another key are being signed again."""
    await asyncio.to_thread(site.writer.begin, None)
    copy = site.keys.path.read_bytes()
    newer = site.keys.rotate().keyid
    file = await site.publish_recorded()
    site.keys.path.write_bytes(copy)  # a standby takes over
    await asyncio.to_thread(site.writer.begin, await known_keys(site.db))
    assert site.keys.revoked() == frozenset()
    wheel = Subject(name=file.filename, sha256=file.sha256)
    trusted = {key.keyid: key for key in site.keys.load()[0].keys}
    assert verify(site.statement(file).read_bytes(), trusted, wheel).key.keyid == newer


async def test_nothing_is_signed_by_a_key_that_the_database_cannot_record(
    site: SignedSite,
) -> None:
    file = await site.publish_recorded()
    newer = site.keys.rotate("current", "stolen").keyid
    site.writer = replace(site.writer, record_keys=KeyRecorder("host=127.0.0.1 port=1"))
    before = site.webroot.provenance_keys_path().read_bytes()
    with pytest.raises(OSError, match="the database does not record signing keys"):
        await site.renewal().renew(site.writer)
    assert newer.encode() not in site.statement(file).read_bytes()
    assert site.webroot.provenance_keys_path().read_bytes() == before


async def test_two_masters_record_their_keys_together_and_a_revocation_stays(
    site: SignedSite, tmp_path: Path
) -> None:
    record, other = KeyRecorder(site.db.dsn), SigningKeys(tmp_path / "other")
    old = site.keys.ensure()
    other.ensure()
    before = site.keys.load()[0]
    site.keys.rotate("current", "stolen")
    for public in (site.keys.load()[0], other.load()[0], before):
        await asyncio.to_thread(record, public)
    found = {key.keyid: key for key in await known_keys(site.db) or []}
    assert len(found) == 3
    assert [key for key in found.values() if key.revoked_at] == [found[old.keyid]]


async def test_a_build_that_ended_while_the_clock_was_ahead_is_verified_after_a_rotation(
    site: SignedSite, tmp_path: Path
) -> None:
    """An audit writes its statement again: by its time, another key was in use."""
    file = await site.publish_signed(build=None)
    await site.db.execute("UPDATE builds SET ended_at = ended_at + interval '1 day'")
    await site.fill()
    wheel = Subject(name=file.filename, sha256=file.sha256)

    def key_of_statement() -> str:
        data = site.statement(file).read_bytes()
        published = site.keys.load()[0].keys
        return verify(data, {key.keyid: key for key in published}, wheel).key.keyid

    assert key_of_statement()
    newer = site.keys.rotate().keyid
    with pytest.raises(NotVerifiedError, match=r"was replaced at .*, before the build ended"):
        key_of_statement()
    await run_audit(
        site.db,
        site.webroot,
        tmp_path / "state",
        AuditOptions(projects=("demo",), fix=True, grace_s=0.0),
        statements=StatementCheck.of(site.writer),
    )
    assert key_of_statement() == newer
