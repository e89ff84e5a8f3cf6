"""What `piw deploy` prints, judged by the programs that read it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from piwheels.config import Loaded, load, to_toml
from piwheels.deploy import ROLES, systemd, web_server
from piwheels.errors import ConfigError
from piwheels.host import MOST_OPEN_FILES
from piwheels.webroot import Webroot
from tests.clients.servers import program as server_program
from tests.clients.servers import serving
from tests.needs import needs, program

SERVERS = ("nginx", "apache", "caddy")
FOLDERS = ("farm", "a farm of mine", "hof-für-räder", "a#b;c", "o'farm")

each_server = pytest.mark.parametrize(
    "server", [pytest.param(name, marks=needs(server_program(name))) for name in SERVERS]
)


def configured(folder: Path) -> Loaded:
    """The configuration of a farm that keeps everything in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "piwheels.toml"
    file.write_text(
        to_toml(
            {
                "webroot.root": "www",
                "master.control": "ipc://run/control.sock",
                "master.keys": "keys",
                "master.spool": "spool",
                "builder.work": "work",
            }
        )
    )
    return load(file, environ={})


def entries(unit: str, key: str) -> list[str]:
    """The values of a key in a unit, in order, without their quotes."""
    lines = (line.partition("=") for line in unit.splitlines())
    return [value.strip('"') for name, _, value in lines if name == key]


def site(server: str, root: Path, access_log: Path, **options: str) -> str:
    known = {"server_name": "_", **options}
    return web_server(server, root=root, port=8088, access_log=access_log, **known)


# --- systemd ---


@needs("systemd-analyze")
@pytest.mark.parametrize("folder", ["farm", "a farm of mine", "hof-für-räder"])
@pytest.mark.parametrize("role", ROLES)
def test_systemd_accepts_a_unit_without_a_word(tmp_path: Path, role: str, folder: str) -> None:
    unit = tmp_path / f"piwheels-{role}.service"
    loaded = configured(tmp_path / folder)
    unit.write_text(systemd(loaded, user="root", roles=[role]))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    # It also tells of the machine's own units.
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


def test_a_unit_starts_this_piw_with_the_configuration_at_hand(tmp_path: Path) -> None:
    loaded = configured(tmp_path)
    for role in ROLES:
        unit = systemd(loaded, user="farmer", roles=[role])
        (command,) = entries(unit, "ExecStart")
        piw, *words = command.split()
        assert (Path(piw).name, Path(piw).is_absolute()) == ("piw", True)
        follows = ["--follow", "/var/log/nginx/piwheels.log"] if role == "accesslog" else []
        assert words == [role, *follows, "--config", f"{tmp_path}/piwheels.toml"]
        assert entries(unit, "User") == ["farmer"]


def test_the_master_may_write_all_of_its_folders_and_no_others(tmp_path: Path) -> None:
    unit = systemd(configured(tmp_path), user="farmer", roles=["master"])
    writable = {path.removeprefix("-") for path in entries(unit, "ReadWritePaths")}
    assert writable == {f"{tmp_path}/{name}" for name in ("www", "spool", "keys", "run")}


def test_the_masters_folder_of_keys_is_made_before_it_is_made_writable(tmp_path: Path) -> None:
    unit = systemd(configured(tmp_path), user="farmer", roles=["master"])
    (command,) = entries(unit, "ExecStartPre")
    assert command.startswith("+/usr/bin/install -d -m 0700 "), "as root, outside the confinement"
    assert command.split()[-2:] == ['"farmer"', f'"{tmp_path}/keys']


@pytest.mark.parametrize("role", ["master", "builder"])
def test_a_daemon_with_many_connections_may_open_many_files(tmp_path: Path, role: str) -> None:
    assert entries(systemd(configured(tmp_path), user="farmer", roles=[role]), "LimitNOFILE") == [
        str(MOST_OPEN_FILES)
    ]


def test_a_builder_may_write_its_work_folder_alone(tmp_path: Path) -> None:
    unit = systemd(configured(tmp_path), user="farmer", roles=["builder"])
    assert entries(unit, "ReadWritePaths") == [f"-{tmp_path}/work"]


def test_the_log_reader_follows_the_log_asked_for_and_writes_its_spool_alone(
    tmp_path: Path,
) -> None:
    loaded = configured(tmp_path)
    unit = systemd(
        loaded, user="farmer", roles=["accesslog"], access_log=Path("/var/log/x y/z.log")
    )
    (command,) = entries(unit, "ExecStart")
    assert '--follow "/var/log/x y/z.log"' in command
    assert entries(unit, "ReadWritePaths") == [f"-{loaded.config.accesslog.spool}"]


def test_a_builders_unit_leaves_bubblewrap_what_it_needs(tmp_path: Path) -> None:
    unit = systemd(configured(tmp_path), user="farmer", roles=["builder"])
    assert entries(unit, "ProtectKernelTunables") == []
    assert entries(unit, "RestrictNamespaces") == []


def test_all_units_are_printed_and_each_says_where_it_belongs(tmp_path: Path) -> None:
    lines = systemd(configured(tmp_path), user="farmer").splitlines()
    titles = [line for line in lines if line.startswith("# /etc/systemd/system/")]
    assert [Path(title).name for title in titles] == [
        "piwheels-master.service",
        "piwheels-accesslog.service",
        "piwheels-builder.service",
    ]


# --- web servers ---


@needs("nginx")
@pytest.mark.parametrize("folder", FOLDERS)
def test_nginx_accepts_its_configuration(tmp_path: Path, folder: str) -> None:
    work = tmp_path / folder
    work.mkdir()
    temporary = "".join(
        f'{kind}_temp_path "{work}";' for kind in ("client_body", "proxy", "fastcgi", "uwsgi")
    )
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f'pid "{work}/pid"; error_log "{work}/error.log"; events {{}}\n'
        f'http {{ {temporary} scgi_temp_path "{work}";\n'
        f"{site('nginx', work / 'www', work / 'access.log')}\n}}\n"
    )
    done = subprocess.run(
        [program("nginx"), "-t", "-q", "-p", work, "-c", conf],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module", params=["a farm of mine", "o'farm #1; é"])
def tree(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A tree of one page, with a name that wants quoting, that any account can read."""
    above = Path(tempfile.mkdtemp(prefix="piwheels-deploy-"))
    above.chmod(0o755)
    root = above / request.param
    root.mkdir()
    webroot = Webroot(root)
    webroot.write_page(webroot.simple("demo") / "index.html", b"<html>")
    webroot.write_page(webroot.simple("demo") / "index.v1_json", b"{}")
    yield root
    shutil.rmtree(above)


@each_server
def test_a_tree_is_served_whatever_its_folder_is_called(server: str, tree: Path) -> None:
    work = tree.parent / server
    work.mkdir(exist_ok=True)
    work.chmod(0o777)
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with serving(server, tree, work) as address, httpx.Client(base_url=address) as client:
        page = client.get("simple/demo/", headers=accept)
        assert (page.status_code, page.content) == (200, b"{}")
        assert page.headers["content-encoding"] == "gzip"
        assert client.get("simple/demo/").content == b"<html>"


@pytest.mark.parametrize("server", SERVERS)
def test_the_tree_the_log_and_the_name_are_those_asked_for(server: str, tmp_path: Path) -> None:
    text = site(server, tmp_path / "www", tmp_path / "log", server_name="wheels.example")
    for wanted in (f'"{tmp_path}/www"', f'"{tmp_path}/log"', "wheels.example", "8088"):
        assert wanted in text


@pytest.mark.parametrize("server", SERVERS)
def test_relative_paths_are_made_absolute(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = site(server, Path("www"), Path("log"))
    assert f'"{tmp_path}/www"' in text
    assert f'"{tmp_path}/log"' in text


# --- what no format can hold ---

UNWRITABLE = ['a"b', "a\\b", "a$b", "a%b", "a{b}", "a\nb", "a\0b"]


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_path_that_a_format_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    for server in SERVERS:
        with pytest.raises(ConfigError, match=r"webroot\.root"):
            site(server, tmp_path / name, tmp_path / "log")
        with pytest.raises(ConfigError, match="access log"):
            site(server, tmp_path / "www", tmp_path / name)
    file = configured(tmp_path).file
    loaded = load(file, options={"webroot.root": tmp_path / name}, environ={})
    with pytest.raises(ConfigError, match=r"webroot\.root") as error:
        systemd(loaded, user="farmer")
    assert str(error.value).isprintable(), "it is one line"


@pytest.mark.parametrize("name", ["a\nRoot=b", "a;b", "a{", 'a"'])
def test_no_name_adds_a_line_of_its_own(tmp_path: Path, name: str) -> None:
    for server in SERVERS:
        with pytest.raises(ConfigError, match="server name"):
            site(server, tmp_path, tmp_path / "log", server_name=name)
    with pytest.raises(ConfigError, match="user"):
        systemd(configured(tmp_path), user=name)
