"""What `piw config` prints, judged by the programs that read it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from piwheels.config import LoadedConfig, load, to_toml
from piwheels.config_templates import (
    BACKUP_TIMER,
    ROLES,
    WebServerSite,
    render,
    render_backup_service,
    render_units,
    render_web_server_config,
    render_worker,
)
from piwheels.config_templates.batch_systems import render_slurm
from piwheels.errors import EXIT_STAYS_ENDED, ConfigError, UsageError
from piwheels.media_types import MEDIA_TYPES, OTHER_MEDIA_TYPE, media_type
from piwheels.system.open_files import MAX_OPEN_FILES
from piwheels.webroot import Webroot
from tests.clients.servers import program as server_program
from tests.clients.servers import serving
from tests.requires import find_program, requires_program

SERVERS = ("nginx", "apache", "caddy")
FOLDERS = ("farm", "a farm of mine", "hof-für-räder", "a#b;c", "o'farm")

each_server = pytest.mark.parametrize(
    "server", [pytest.param(name, marks=requires_program(server_program(name))) for name in SERVERS]
)


def load_test_config(folder: Path) -> LoadedConfig:
    """The configuration of a farm that keeps everything in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "piwheels.toml"
    file.write_text(
        to_toml(
            {
                "webroot.root": "www",
                "master.control_bind": "ipc://run/control.sock",
                "master.key_dir": "keys",
                "master.spool_dir": "spool",
                "builder.work_dir": "work",
                "builder.key_dir": "keys",
            }
        )
    )
    return load(file, environ={})


def unit_values(unit: str, key: str) -> list[str]:
    """The values of a key in a unit, in order, without their quotes."""
    lines = (line.partition("=") for line in unit.splitlines())
    return [value.strip('"') for name, _, value in lines if name == key]


def render_site(server: str, root: Path, access_log: Path, **options: str) -> str:
    known = {"server_name": "_", "url": "", **options}
    return render_web_server_config(
        server,
        WebServerSite(
            root=root,
            port=8088,
            access_log=access_log,
            server_name=known["server_name"],
            url=known["url"],
        ),
    )


# --- systemd ---


def assert_systemd_accepts(*units: Path) -> None:
    """Without a warning; those about the machine's own units do not count."""
    done = subprocess.run(
        [find_program("systemd-analyze"), "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    message = [line for line in (done.stdout + done.stderr).splitlines() if "piwheels" in line]
    assert (done.returncode, message) == (0, [])


@requires_program("systemd-analyze")
@pytest.mark.parametrize("folder", ["farm", "a farm of mine", "hof-für-räder"])
@pytest.mark.parametrize("role", ROLES)
def test_systemd_accepts_a_unit_without_warnings(tmp_path: Path, role: str, folder: str) -> None:
    unit = tmp_path / f"piwheels-{role}.service"
    loaded = load_test_config(tmp_path / folder)
    unit.write_text(render_units(loaded, user="root", roles=[role]))
    assert_systemd_accepts(unit)


@requires_program("systemd-analyze")
@pytest.mark.parametrize("folder", ["backups", "my backups"])
def test_systemd_accepts_the_units_of_a_daily_backup(tmp_path: Path, folder: str) -> None:
    loaded = load_test_config(tmp_path)
    service = render_backup_service(loaded, user="root", folder=tmp_path / folder, keep=14)
    (command,) = unit_values(service, "ExecStart")
    assert "db backup" in command
    assert "--keep 14" in command
    for name, content in (("service", service), ("timer", render(BACKUP_TIMER))):
        (tmp_path / f"piwheels-backup.{name}").write_text(content)
    units = [tmp_path / f"piwheels-backup.{name}" for name in ("service", "timer")]
    assert_systemd_accepts(*units)


def test_a_unit_starts_this_piw_with_the_current_configuration(tmp_path: Path) -> None:
    loaded = load_test_config(tmp_path)
    for role in ROLES:
        unit = render_units(loaded, user="farmer", roles=[role])
        (command,) = unit_values(unit, "ExecStart")
        piw, *words = command.split()
        assert (Path(piw).name, Path(piw).is_absolute()) == ("piw", True)
        follows = ["--follow", "/var/log/nginx/piwheels.log"] if role == "accesslog" else []
        assert words == [role, *follows, "--config", f"{tmp_path}/piwheels.toml"]
        assert unit_values(unit, "User") == ["farmer"]


def test_the_master_can_write_to_its_directories_and_no_others(tmp_path: Path) -> None:
    unit = render_units(load_test_config(tmp_path), user="farmer", roles=["master"])
    writable = {path.removeprefix("-") for path in unit_values(unit, "ReadWritePaths")}
    assert writable == {f"{tmp_path}/{name}" for name in ("www", "spool", "keys", "run")}


def test_no_unit_has_root_work_in_folders_of_the_account(tmp_path: Path) -> None:
    loaded = load_test_config(tmp_path)
    backup = render_backup_service(loaded, user="farmer", folder=tmp_path, keep=1)
    for unit in (render_units(loaded, user="farmer"), backup):
        started = [line for line in unit.splitlines() if line.startswith("Exec")]
        assert all(line.startswith("ExecStart=/") for line in started), "no `+`, and nothing before"


@pytest.mark.parametrize("role", ["master", "builder"])
def test_a_service_with_many_connections_can_open_many_files(tmp_path: Path, role: str) -> None:
    assert unit_values(
        render_units(load_test_config(tmp_path), user="farmer", roles=[role]), "LimitNOFILE"
    ) == [str(MAX_OPEN_FILES)]


def test_a_builder_can_write_only_to_its_work_and_key_directories(tmp_path: Path) -> None:
    unit = render_units(load_test_config(tmp_path), user="farmer", roles=["builder"])
    assert unit_values(unit, "ReadWritePaths") == [
        f"-{tmp_path}/work",
        f"-{tmp_path}/keys",
    ]


def test_the_log_reader_follows_the_given_log_and_writes_only_to_its_directories(
    tmp_path: Path,
) -> None:
    loaded = load_test_config(tmp_path)
    unit = render_units(
        loaded, user="farmer", roles=["accesslog"], access_log=Path("/var/log/x y/z.log")
    )
    (command,) = unit_values(unit, "ExecStart")
    assert '--follow "/var/log/x y/z.log"' in command
    own = loaded.config.accesslog
    assert unit_values(unit, "ReadWritePaths") == [f"-{own.spool_dir}", f"-{own.parquet_dir}"]


def test_the_unit_of_a_builder_allows_what_bubblewrap_needs(tmp_path: Path) -> None:
    unit = render_units(load_test_config(tmp_path), user="farmer", roles=["builder"])
    assert unit_values(unit, "ProtectKernelTunables") == []
    assert unit_values(unit, "RestrictNamespaces") == []
    assert unit_values(unit, "RestrictSUIDSGID") == [], "systemd would deny openat2()"


def test_a_builder_ended_by_an_operator_is_not_restarted(tmp_path: Path) -> None:
    unit = render_units(load_test_config(tmp_path), user="farmer", roles=["builder"])
    assert unit_values(unit, "Restart") == ["always"]
    assert unit_values(unit, "RestartPreventExitStatus") == [str(EXIT_STAYS_ENDED)]


def test_all_units_are_printed_with_their_paths(tmp_path: Path) -> None:
    lines = render_units(load_test_config(tmp_path), user="farmer").splitlines()
    titles = [line for line in lines if line.startswith("# /etc/systemd/system/")]
    assert [Path(title).name for title in titles] == [
        "piwheels-master.service",
        "piwheels-accesslog.service",
        "piwheels-builder.service",
    ]


# --- web servers ---


@requires_program("nginx")
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
        f"{render_site('nginx', work / 'www', work / 'access.log')}\n}}\n"
    )
    done = subprocess.run(
        [find_program("nginx"), "-t", "-q", "-p", work, "-c", conf],
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
    webroot.write_page(webroot.simple_dir("demo") / "index.html", b"<html>")
    webroot.write_page(webroot.simple_dir("demo") / "index.v1_json", b"{}")
    yield root
    shutil.rmtree(above)


@each_server
def test_a_web_root_with_any_name_is_served(server: str, tree: Path) -> None:
    work = tree.parent / server
    work.mkdir(exist_ok=True)
    work.chmod(0o777)
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with serving(server, tree, work) as address, httpx.Client(base_url=address) as client:
        page = client.get("simple/demo/", headers=accept)
        assert (page.status_code, page.content) == (200, b"{}")
        assert page.headers["content-encoding"] == "gzip"
        assert client.get("simple/demo/").content == b"<html>"


@each_server
def test_every_server_has_the_media_types_of_the_table(server: str, tree: Path) -> None:
    names = [f"static/file{ending}" for ending in (*MEDIA_TYPES, ".whl", ".unknown")]
    (tree / "static").mkdir(exist_ok=True)
    for name in names:
        (tree / name).write_bytes(b"<svg/>")
    work = tree.parent / f"types-{server}"
    work.mkdir(exist_ok=True)
    work.chmod(0o777)
    with serving(server, tree, work) as address, httpx.Client(base_url=address) as client:
        sent = {name: client.get(name).headers.get("content-type", "") for name in names}
    types = {name: kind.partition(";")[0] or OTHER_MEDIA_TYPE for name, kind in sent.items()}
    assert types == {name: media_type(name) for name in names}


@pytest.mark.parametrize("server", SERVERS)
def test_web_root_log_and_server_name_are_as_given(server: str, tmp_path: Path) -> None:
    text = render_site(server, tmp_path / "www", tmp_path / "log", server_name="wheels.example")
    for wanted in (f'"{tmp_path}/www"', f'"{tmp_path}/log"', "wheels.example", "8088"):
        assert wanted in text


@pytest.mark.parametrize("server", SERVERS)
def test_relative_paths_are_made_absolute(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = render_site(server, Path("www"), Path("log"))
    assert f'"{tmp_path}/www"' in text
    assert f'"{tmp_path}/log"' in text


# --- what no format can hold ---

UNWRITABLE = ['a"b', "a\\b", "a$b", "a%b", "a{b}", "a\nb", "a\0b"]


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_path_that_the_format_would_change_is_rejected(tmp_path: Path, name: str) -> None:
    for server in SERVERS:
        with pytest.raises(ConfigError, match=r"webroot\.root"):
            render_site(server, tmp_path / name, tmp_path / "log")
        with pytest.raises(ConfigError, match="access log"):
            render_site(server, tmp_path / "www", tmp_path / name)
    file = load_test_config(tmp_path).file
    loaded = load(file, options={"webroot.root": tmp_path / name}, environ={})
    with pytest.raises(ConfigError, match=r"webroot\.root") as error:
        render_units(loaded, user="farmer")
    assert str(error.value).isprintable(), "it is one line"


@pytest.mark.parametrize("name", ["a\nRoot=b", "a;b", "a{", 'a"'])
def test_no_name_can_add_a_line(tmp_path: Path, name: str) -> None:
    for server in SERVERS:
        with pytest.raises(ConfigError, match="server name"):
            render_site(server, tmp_path, tmp_path / "log", server_name=name)
    with pytest.raises(ConfigError, match="user"):
        render_units(load_test_config(tmp_path), user=name)


def slurm_parts(folder: Path, **changes: Any) -> dict[str, str]:
    """What `piw config slurm` prints, by default."""
    options: dict[str, Any] = {
        "script": folder / "slurm builder.sh",
        "builder_config": Path("/etc/piwheels/piwheels.toml"),
        "time_limit_s": 43_200.0,
        "idle_s": 120.0,
        "user": "root",
    }
    return render_slurm(load_test_config(folder), **(options | changes))


@requires_program("shellcheck")
def test_the_script_of_a_builder_on_slurm_is_its_builder_and_drains_in_time(tmp_path: Path) -> None:
    script = slurm_parts(tmp_path)["script"]
    checked = subprocess.run(
        [find_program("shellcheck"), "-"], input=script, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")
    assert "#SBATCH --time=720\n" in script
    assert "#SBATCH --signal=B:USR1@10800\n" in script
    assert script.startswith("#!/bin/sh\n")
    with pytest.raises(UsageError, match="--time has to be longer than"):
        slurm_parts(tmp_path, time_limit_s=3600.0)


@requires_program("systemd-analyze")
def test_systemd_accepts_the_units_that_scale_pools(tmp_path: Path) -> None:
    parts = slurm_parts(tmp_path)
    units = [tmp_path / f"piwheels-scale.{name}" for name in ("service", "timer")]
    for unit in units:
        unit.write_text(parts[unit.suffix[1:]])
    assert_systemd_accepts(*units)


@pytest.mark.parametrize(
    "bucket_url",
    [
        "", "storage.example.net/wheels", "ftp://storage.example.net/", "https:///wheels",
        "https://key:secret@storage.example.net/wheels", "https://storage.example.net/w?list-type=2",
        "https://storage.example.net/w#x", "https://storage.example.net/$uri", "https://a;b/",
        "https://storage.example.net/../etc", "https://storage.example.net/a b",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_bucket_is_refused(bucket_url: str) -> None:
    with pytest.raises(ConfigError):
        render_worker(bucket_url)


def test_apache_is_refused_in_front_of_a_bucket() -> None:
    with pytest.raises(ConfigError, match="use nginx, Caddy or a worker"):
        render_web_server_config(
            "apache",
            WebServerSite(
                root=Path("/srv"),
                server_name="_",
                port=80,
                access_log=Path("/var/log/x"),
                bucket_url="https://storage.example.net/wheels",
            ),
        )
