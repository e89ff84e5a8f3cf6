"""What the configuration accepts, where it looks, and how it refuses."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.config import (
    RENAMED_SETTINGS,
    RootSection,
    Setting,
    env_var_name,
    load,
    named_sections_text,
    static_sections,
    to_toml,
)
from piwheels.config.sources import read_toml
from piwheels.errors import ConfigError
from tests.unprivileged import inaccessible

#: Relative ipc:// addresses are resolved, so they are not read back as written.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"))).filter(
    lambda text: not text.startswith("ipc://")
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def setting(settings: tuple[Setting, ...], key: str) -> Setting:
    return next(item for item in settings if item.key == key)


def test_without_a_file_every_setting_has_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(environ={"HOME": str(tmp_path)})
    assert loaded.file is None
    assert {item.origin for item in loaded.settings} == {"default"}


def test_options_override_variables_which_override_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "piwheels.toml",
        '[database]\ndsn = "file"\n[builder]\nmaster = "file"\nbuild_timeout_s = 5\n',
    )
    environ = {"PIWHEELS_DATABASE_DSN": "variable", "PIWHEELS_BUILDER_MASTER": "variable"}
    loaded = load(
        file, options={"builder.master": "option", "builder.label": None}, environ=environ
    )
    found = {
        key: (setting(loaded.settings, key).value, setting(loaded.settings, key).origin)
        for key in ("builder.master", "database.dsn", "builder.build_timeout_s", "builder.sandbox")
    }
    assert found == {
        "builder.master": ("option", "option"),
        "database.dsn": ("variable", "PIWHEELS_DATABASE_DSN"),
        "builder.build_timeout_s": (5.0, str(file)),
        "builder.sandbox": (True, "default"),
    }
    assert loaded.config.builder.master == "option"


def test_standard_paths_are_searched_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    in_home = write(home / ".config/piwheels/piwheels.toml", "")
    assert load(environ={"HOME": str(home)}).file == in_home
    write(here / "piwheels.toml", "")
    assert load(environ={"HOME": str(home)}).file == Path("piwheels.toml")
    named = write(tmp_path / "other.toml", "")
    environ = {"HOME": str(home), "PIWHEELS_CONFIG": str(named)}
    assert load(environ=environ).file == named


def test_inaccessible_directories_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "piwheels.toml", "")
    monkeypatch.chdir(tmp_path)
    with inaccessible(tmp_path):
        assert load(environ={"HOME": str(tmp_path)}).file is None


def test_an_inaccessible_given_file_is_reported(tmp_path: Path) -> None:
    named = write(tmp_path / "piwheels.toml", "")
    with (
        inaccessible(tmp_path),
        pytest.raises(ConfigError, match=r"--config names .*piwheels\.toml: Permission denied"),
    ):
        load(named, environ={})


def test_a_file_that_may_not_be_read_names_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = write(folder / "piwheels.toml", "")
    with (
        inaccessible(folder),
        pytest.raises(ConfigError, match="Permission denied: run this as"),
    ):
        read_toml(file)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "piwheels.toml",
        '[webroot]\nroot = "www"\n[master]\ncontrol_bind = "ipc://run/c"\nkey_dir = "/k"\n',
    )
    config = load(file, environ={}).config
    assert config.webroot.root == tmp_path / "www"
    assert config.master.control_bind == f"ipc://{tmp_path}/run/c"
    assert config.master.key_dir == Path("/k")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[database\n", "not valid TOML"),
        (f"x = {'[' * 5000}", "not valid TOML"),
        ("[databse]\n", r"unknown section \[databse\]"),
        ('[database]\ndns = "x"\n', "unknown key database.dns; .* has dsn"),
        ("[database]\ndsn = 5\n", "database.dsn: Expected `str`, got `int`"),
        ('[builder]\nbuild_timeout_s = "long"\n', "builder.build_timeout_s"),
        ("[builder]\nextra_readonly_paths = [1]\n", "builder.extra_readonly_paths"),
        ('database = "x"\n', "unknown section"),
        ("[builder]\nmaster_port = 99999\n", "master_port: Expected `int` <= 65535"),
        (
            "[master]\nevent_retention_days = 1000000\n",
            "event_retention_days: Expected `int` <= 36500",
        ),
        (
            "[accesslog]\nretention_months = 99999\n",
            "retention_months: Expected `int` <= 1200",
        ),
        ("[builder]\nbuild_timeout_s = nan\n", "build_timeout_s: Expected `float` > 0"),
        ("[master]\nmax_attempts = 0\n", "max_attempts: Expected `int` >= 1"),
        ('[upstream]\nmethod = "rss"\n', "method: Invalid enum value 'rss'"),
        ('[builder]\nwork_dir = "~nobody-at-all/x"\n', "home directory in '~nobody-at-all/x'"),
    ],
)
def test_an_invalid_file_is_rejected_with_its_name_and_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = write(tmp_path / "piwheels.toml", text)
    with pytest.raises(ConfigError, match=complaint) as error:
        load(file, environ={})
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config names"):
        load(tmp_path / "none.toml", environ={})
    with pytest.raises(ConfigError, match=r"\$PIWHEELS_CONFIG names"):
        load(environ={"PIWHEELS_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PIWHEELS_DATABASE_DNS", "x", "PIWHEELS_DATABASE_DNS: did you mean PIWHEELS_DATABASE_DSN"),
        ("PIWHEELS_DATABSE_DSN", "x", "PIWHEELS_DATABSE_DSN: did you mean PIWHEELS_DATABASE_DSN"),
        ("PIWHEELS_XYZZY", "x", "unknown environment variable PIWHEELS_XYZZY: `piw config show`"),
        (
            "PIWHEELS_BUILDER_BUILD_TIMEOUT_S",
            "soon",
            "PIWHEELS_BUILDER_BUILD_TIMEOUT_S: builder.build_timeout_s",
        ),
    ],
)
def test_an_invalid_variable_is_named(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(environ={name: value})


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "piwheels.toml"
    file.write_bytes(b"\xef\xbb\xbf[builder]\nmaster = 'pi'\n")
    assert load(file, environ={}).config.builder.master == "pi"


def test_variables_can_hold_lists_and_switches() -> None:
    environ = {
        "PIWHEELS_BUILDER_INTERPRETERS": "python3.11, python3.13",
        env_var_name("builder.sandbox"): "0",
    }
    config = load(environ=environ).config
    assert config.builder.interpreters == ("python3.11", "python3.13")
    assert config.builder.sandbox is False


@given(
    dsn=TEXTS,
    pythons=st.lists(TEXTS),
    timeout=st.floats(1, 1e6),
    sandbox=st.booleans(),
)
def test_written_settings_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    dsn: str,
    pythons: list[str],
    timeout: float,
    sandbox: bool,
) -> None:
    values = {
        "database.dsn": dsn,
        "builder.interpreters": tuple(pythons),
        "builder.build_timeout_s": timeout,
        "builder.sandbox": sandbox,
    }
    file = tmp_path_factory.mktemp("c") / "piwheels.toml"
    file.write_text(to_toml(values), encoding="utf-8")
    loaded = load(file, environ={})
    assert {key: setting(loaded.settings, key).value for key in values} == values


# --- former names ---


def example(key: str) -> tuple[str, object]:
    """A valid value of a setting that is not the default, as TOML and converted."""
    default = next(item.value for item in load(environ={"HOME": "/"}).settings if item.key == key)
    match default:
        case bool():
            return "true", True
        case int() | float():
            return "7", 7
        case tuple():
            return '["/x"]', type(default)([Path("/x")] if "paths" in key else ["/x"])
        case Path():
            return '"/x"', Path("/x")
        case _:
            text = "poll" if key == "upstream.method" else "x"
            return f'"{text}"', text


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS.items())
def test_a_former_key_and_variable_still_work_and_name_the_new_one(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old not in RENAMED_SETTINGS.values(), "a former name is no current one"
    toml, value = example(new)
    section, _, name = old.partition(".")
    file = write(tmp_path / "piwheels.toml", f"[{section}]\n{name} = {toml}\n")
    loaded = load(file, environ={})
    assert setting(loaded.settings, new).value == value
    assert loaded.deprecations == (f"{file}: {old} is now called {new}",)

    text = toml.strip('["]')
    loaded = load(environ={"HOME": str(tmp_path), env_var_name(old): text})
    assert setting(loaded.settings, new).value == value
    assert loaded.deprecations == (f"{env_var_name(old)} is now called {env_var_name(new)}",)


def test_a_current_name_is_not_a_former_one(tmp_path: Path) -> None:
    file = write(tmp_path / "piwheels.toml", '[builder]\ninterpreters = ["python3"]\n')
    assert load(file, environ={"PIWHEELS_BUILDER_WORK_DIR": "/w"}).deprecations == ()


@pytest.mark.parametrize(
    ("text", "environ", "complaint"),
    [
        (
            '[builder]\npython = ["a"]\ninterpreters = ["b"]\n',
            {},
            r"builder\.python and builder\.interpreters are the same setting",
        ),
        (
            "",
            {"PIWHEELS_BUILDER_WORK": "/a", "PIWHEELS_BUILDER_WORK_DIR": "/b"},
            "PIWHEELS_BUILDER_WORK and PIWHEELS_BUILDER_WORK_DIR are the same setting",
        ),
    ],
)
def test_a_setting_under_both_of_its_names_is_rejected(
    tmp_path: Path, text: str, environ: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(write(tmp_path / "piwheels.toml", text), environ=environ)


def test_a_variable_overrides_the_former_key_of_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "piwheels.toml", '[builder]\nwork = "/file"\n')
    loaded = load(file, environ={"PIWHEELS_BUILDER_WORK_DIR": "/variable"})
    assert loaded.config.builder.work_dir == Path("/variable")


def test_every_setting_has_a_description() -> None:
    sections = [*(section.type for section in static_sections()), RootSection]
    for section in sections:
        for field in msgspec.structs.fields(section):
            described = [meta for meta in field.type.__metadata__ if meta.description]
            assert len(described) == 1, field.name


def test_roots_are_sections_of_their_own(tmp_path: Path) -> None:
    text = (
        '[root.desk]\narch = "arm64"\nfolder = "system"\n'
        '[[root.desk.archives]]\nurl = "http://deb.debian.org/debian"\nsuites = ["trixie"]\n'
    )
    root = load(write(tmp_path / "piwheels.toml", text), environ={}).config.root["desk"]
    assert root.folder == tmp_path / "system"
    assert root.archives[0].components == ("main",)
    assert load(write(tmp_path / "other.toml", ""), environ={}).config.root == {}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[root]\narch = 3\n", r"root.arch is no section: write \[root.NAME\]"),
        ('[root."A B"]\n', "lower-case letters"),
        ("[root.x]\nsuite = 'trixie'\n", "unknown key root.x.suite; .*archives"),
        ("[root.x]\npackages = ['-o=x']\n", r"\[root.x\]: .*regex"),
    ],
)
def test_a_wrong_root_is_one_line(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        load(write(tmp_path / "piwheels.toml", text), environ={})


def test_pools_are_sections_of_their_own(tmp_path: Path) -> None:
    text = '[pool.arm64]\ntargets = ["*-aarch64"]\noptions = ["--partition=arm64"]\n'
    pool = load(write(tmp_path / "piwheels.toml", text), environ={}).config.pool["arm64"]
    assert (pool.targets, pool.options) == (("*-aarch64",), ("--partition=arm64",))
    copied = write(tmp_path / "copy.toml", named_sections_text(tmp_path / "piwheels.toml"))
    assert load(copied, environ={}).config.pool == {"arm64": pool}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[pool]\nmemory_mb = 3\n", r"pool.memory_mb is no section: write \[pool.NAME\]"),
        ("pool = 3\n", r"pool is no section: write \[pool.NAME\]"),
        ("[pool.A]\n", "begins with a lower-case letter"),
        ("[pool.x]\nmemory_mb = 0\n", r"\[pool.x\]: .*>= 1"),
        ("[pool.x]\nslots = 2\n", "unknown key pool.x.slots; .*max_builders"),
    ],
)
def test_a_wrong_pool_is_one_line(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        load(write(tmp_path / "piwheels.toml", text), environ={})
