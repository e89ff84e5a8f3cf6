"""The command line as a shell sees it: help, exit codes, configuration, keys and completion."""

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from piwheels.cli import cli
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S

HEAVY_MODULES = ("psycopg", "textual", "zmq", "httpx", "jinja2")
#: Prints for each command line on standard input the first line of its help, and what was imported.
_PRINT_HELP_AND_IMPORTS = """
import contextlib, io, json, sys
from piwheels.cli.main import main
for line in sys.stdin:
    sys.argv = ["piw", *line.split(), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        main()
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps([output.getvalue().splitlines()[:1], modules]))
"""
_TOML = """
[master]
control_bind = "ipc://nobody.sock"
key_dir = "master-keys"
spool_dir = "spool"
[webroot]
root = "www"
[builder]
key_dir = "builder-keys"
work_dir = "work"
"""

Done = subprocess.CompletedProcess[str]
Piw = Callable[..., Done]


def command_paths(
    group: click.Group = cli, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Every verb, those of groups included."""
    yield prefix
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from command_paths(command, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.fixture
def piw(tmp_path: Path) -> Piw:
    """Runs the command in a folder of its own, whose piwheels.toml keeps it there."""
    (tmp_path / "piwheels.toml").write_text(_TOML)
    program = Path(sys.executable).with_name("piw")
    ours = {name: text for name, text in os.environ.items() if not name.startswith("PIWHEELS_")}

    def run(*arguments: str, stdin: str = "", **environ: str) -> Done:
        done = subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env={**ours, "HOME": str(tmp_path), **environ},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


# --- help ---


def test_help_of_every_command_imports_no_heavy_library() -> None:
    paths = [" ".join(path) for path in command_paths()]
    done = subprocess.run(
        [sys.executable, "-c", _PRINT_HELP_AND_IMPORTS],
        input="\n".join(paths),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(paths)
    for path, (usage, modules) in zip(paths, answers, strict=True):
        assert usage[0].startswith(f"Usage: piw {path}".rstrip()), path
        assert not set(HEAVY_MODULES) & set(modules), path


def test_every_command_and_option_has_help() -> None:
    silent = []
    for path in command_paths():
        command: click.Command = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        silent += [] if command.help else [path]
        silent += [
            (*path, parameter.name or "")
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.help and not parameter.hidden
        ]
    # What these mean is in their names.
    message = {"host", "port", "server_name", "access_log"}
    assert [path for path in silent if path[-1] not in message] == []


def test_every_command_with_output_has_json_and_destructive_ones_ask_for_confirmation() -> None:
    options = {}
    for path in command_paths():
        command: click.Command = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        if not isinstance(command, click.Group):
            options[" ".join(path)] = {parameter.name for parameter in command.params}
    without = {verb for verb, names in options.items() if "as_json" not in names}
    assert without == {
        *("up", "serve", "master run", "builder run", "tui", "completion", "metrics"),
        *("config systemd", "config nginx", "config apache", "config caddy", "stats export"),
        *("setup master", "setup builder", "setup remove"),
        *("config prometheus", "config grafana", "config slurm", "config worker"),
        *("config mirror", "config kubernetes"),
        *("config get", "config set", "db upgrade", "db recount"),
        *("key generate", "key authorize", "key revoke", "root remove", "recipe export"),
        *("key rotate", "master adopt"),
    }
    asking = {verb for verb, names in options.items() if "yes" in names}
    assert asking == {
        *("remove", "master stop", "key revoke", "key rotate", "root remove"),
        "master adopt",
        *("setup master", "setup builder", "setup remove"),
        *("builder sleep", "builder cancel", "builder kill", "builder restart"),
    }


def test_version_is_printed(piw: Piw) -> None:
    done = piw("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "piw,")


# --- what is typed wrong ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["status", "--frobnicate"], "No such option '--frobnicate'"),
        (["key", "frobnicate"], "No such command 'frobnicate'"),
        (["config", "show", "extra"], "unexpected extra argument"),
        (["log"], "Missing argument 'BUILD'"),
        (["log", "zero"], "'zero' is not a valid integer"),
        (["log", "0"], "0 is not in the range"),
        (["up", "x", "--latest", "0"], "0 is not in the range"),
        (["up", "x", "--latest", "2", "--all-releases"], "exclude each other"),
        (["add", "x", "--latest", "2", "--all-releases"], "exclude each other"),
        (["up", "x", "--port", "65536"], "65536 is not in the range"),
        (["add"], "name a PROJECT"),
        (["skip"], "name a PROJECT[==VERSION] or a --target"),
        (["import", "nothing.whl"], "'nothing.whl' does not exist"),
        (["builder", "restart", "pi1", "--max-parallel", "0"], "0 is not in the range"),
        (["builds", "-n", "0"], "0 is not in the range"),
        (["events", "--before", "x"], "'x' is not a valid integer"),
        (["prioritize"], "Missing argument 'PROJECT[==VERSION]'"),
        (["serve", "piwheels.toml"], "is a file"),
        (["config", "nginx", "--port", "0"], "0 is not in the range"),
        (["config", "systemd", "--role", "cook"], "'cook' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_are_printed_below_the_usage_and_exit_2(
    piw: Piw, arguments: list[str], message: str
) -> None:
    done = piw(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: piw ")
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a>=1",
        "a==1.*",
        "a==1,==2",
        "a===one",
        "a @ http://example.org/a.tar.gz",
        'a==1; python_version < "3"',
        "a[extra]",
        "../a",
        "a\x1b[31m",
        "\udcff",
    ],
)
def test_an_invalid_release_is_rejected(piw: Piw, text: str) -> None:
    done = piw("explain", text)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.isprintable()


@pytest.mark.parametrize("verb", [["remove", "--yes"], ["unskip"], ["retry"]])
def test_urls_in_requirements_are_rejected_by_commands(piw: Piw, verb: list[str]) -> None:
    done = piw(*verb, "a @ http://example.org/a.tar.gz")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is more than PROJECT" in done.stderr


def test_an_interrupt_during_imports_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", "status"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("no_color", [True, False])
@pytest.mark.parametrize("arguments", [["config", "show"], ["status", "--config", "/no/such.toml"]])
def test_color_is_used_on_terminals_unless_no_color_is_set(
    arguments: list[str], no_color: bool
) -> None:
    reading, writing = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environ["TERM"] = "xterm"
    subprocess.run(
        [sys.executable, "-m", "piwheels", *arguments],
        env=environ | ({"NO_COLOR": "1"} if no_color else {}),
        stdout=writing,
        stderr=writing,
        check=False,
    )
    message = os.read(reading, 4096)
    os.close(reading)
    os.close(writing)
    assert message
    assert (b"\x1b[" in message) is not no_color


def test_a_closed_output_is_not_reported_as_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [Path(sys.executable).with_name("piw"), "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["builder", "kill"], "name builders, or use --all"),
        (["builder", "drain", "pi1", "--all"], "name builders, or use --all"),
        (
            ["prioritize", "demo", "--by", "soon"],
            "'soon' is not a duration; write 90s, 15m, 2h or 1d",
        ),
        (["builds", "--slower-than", "1w"], "'1w' is not a duration"),
        (["config", "worker", "--bucket", "x"], "is not the http or https URL of a bucket"),
        (["config", "mirror", "--source", "-x y"], "write rsync://HOST/MODULE"),
        (["config", "mirror", "--origin", "x"], "write http://HOST or https://HOST"),
        (["config", "mirror", "--origin", "http://x", "--cache-size", "5"], "write 500m or 50g"),
        (["setup", "master", "--print", "--server-name", "http://x/"], "is no host name"),
    ],
    ids=" ".join,
)
def test_invalid_values_are_one_line_and_exit_2(
    piw: Piw, arguments: list[str], message: str
) -> None:
    done = piw(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line


def test_an_unknown_log_level_is_one_line(piw: Piw) -> None:
    done = piw("pause", PIWHEELS_LOG="loud")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "piw: PIWHEELS_LOG='loud': use debug, info, warning or error\n"


# --- piw config ---


def test_each_setting_has_its_value_and_its_origin(piw: Piw, tmp_path: Path) -> None:
    done = piw(
        "config",
        "show",
        "--json",
        PIWHEELS_BUILDER_BUILD_TIMEOUT_S="60",
        PIWHEELS_BUILDER_INTERPRETERS="a,b",
    )
    settings = json.loads(done.stdout)
    assert settings["webroot.root"] == {"value": str(tmp_path / "www"), "origin": "piwheels.toml"}
    assert settings["builder.build_timeout_s"] == {
        "value": 60,
        "origin": "PIWHEELS_BUILDER_BUILD_TIMEOUT_S",
    }
    assert settings["builder.interpreters"]["value"] == ["a", "b"]
    assert settings["master.max_attempts"]["origin"] == "default"


def test_config_show_has_the_same_keys_as_its_json(piw: Piw) -> None:
    lines = piw("config", "show").stdout.splitlines()
    keys = [line.partition(" ")[0] for line in lines]
    assert keys == list(json.loads(piw("config", "show", "--json").stdout))
    assert all(line.isprintable() and "  # " in line for line in lines)


def test_a_given_file_is_used_instead_of_the_nearest(piw: Piw, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[master]\nmax_attempts = 7\n")
    for done in (
        piw("config", "show", "--json", "--config", "other.toml"),
        piw("config", "show", "--json", PIWHEELS_CONFIG="other.toml"),
    ):
        found = json.loads(done.stdout)["master.max_attempts"]
        assert found == {"value": 7, "origin": "other.toml"}


# --- piw key ---


def test_a_builder_is_authorized_and_revoked(piw: Piw, tmp_path: Path) -> None:
    public = piw("key", "generate").stdout.strip()
    assert len(bytes.fromhex(public)) == 32
    allowed = piw("key", "authorize", "pi1", public)
    assert allowed.returncode == 0
    listed = json.loads(piw("key", "list", "--json").stdout)
    assert [(item["role"], item["name"]) for item in listed] == [
        ("master", "master"),
        ("builder", "pi1"),
    ]
    assert listed[0]["public"] in allowed.stdout, "the builder has to know the master's key"
    assert listed[1]["public"] == public
    assert public in piw("key", "list").stdout
    assert piw("key", "revoke", "pi1", "--yes").returncode == 0
    assert public not in piw("key", "list").stdout


def test_a_console_is_authorized_with_a_role_that_can_be_changed(piw: Piw) -> None:
    for options, role in (
        (("--role", "operate"), "operate"),
        (("--role", "watch"), "watch"),
        (("--operator",), "administer"),  # the former option let its key do everything
    ):
        assert piw("key", "authorize", "desk", "ab" * 32, *options).returncode == 0
        listed = json.loads(piw("key", "list", "--json").stdout)
        assert [it["role"] for it in listed if it["name"] == "desk"] == [role]
    refused = piw("key", "authorize", "desk", "cd" * 32, "--role", "builder")
    assert refused.returncode == 2
    assert "'watch', 'operate', 'administer'" in refused.stderr


def test_secret_keys_are_private_and_never_printed(piw: Piw, tmp_path: Path) -> None:
    printed = piw("key", "generate").stdout + piw("key", "authorize", "pi1", "ab" * 32).stdout
    printed += piw("key", "list").stdout + piw("key", "list", "--json").stdout
    secrets = list(tmp_path.rglob("*.secret"))
    assert {path.parent.name for path in secrets} == {"builder-keys", "master-keys"}
    for path in secrets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        secret = path.read_text().splitlines()[1].partition(" = ")[2].strip('"')
        assert len(secret) == 64
        assert secret not in printed


def test_a_key_is_never_overwritten(piw: Piw, tmp_path: Path) -> None:
    piw("key", "generate")
    (path,) = tmp_path.rglob("*.secret")
    before = path.read_bytes()
    done = piw("key", "generate")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(path) in done.stderr
    assert path.read_bytes() == before


def test_the_signing_key_is_replaced_after_confirmation(piw: Piw, tmp_path: Path) -> None:
    first = piw("key", "rotate", "signing", "--yes").stdout.strip()
    (path,) = tmp_path.rglob("signing-keys.json")
    before = json.loads(path.read_bytes())
    assert piw("key", "rotate", "signing", stdin="n\n").returncode == 130
    assert json.loads(path.read_bytes()) == before
    second = piw("key", "rotate", "signing", stdin="y\n").stdout.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    new, old = json.loads(path.read_bytes())
    assert (new["public"]["keyid"], old["public"]["keyid"]) == (second, first)
    assert new["private"] not in {"", before[0]["private"]}
    assert old["private"] == ""
    assert old["public"]["valid_until"] == new["public"]["valid_from"]
    assert piw("key", "rotate", "other", "--yes").returncode == 2


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 130, 1), ("", 130, 1)])
def test_revoke_asks_for_confirmation(piw: Piw, answer: str, code: int, left: int) -> None:
    piw("key", "authorize", "pi1", "ab" * 32)
    assert piw("key", "revoke", "pi1", stdin=answer).returncode == code
    assert piw("key", "list").stdout.count("ab" * 32) == left


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "../outside"],
        ["authorize", "../outside", "ab" * 32],
        ["authorize", "pi1", "no key"],
        ["revoke", "nobody", "--yes"],
    ],
    ids=" ".join,
)
def test_an_invalid_name_or_key_is_one_line_and_leaves_no_files(
    piw: Piw, tmp_path: Path, arguments: list[str]
) -> None:
    done = piw("key", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["piwheels.toml"]


# --- completion ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(piw: Piw, shell: str) -> None:
    done = piw("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_PIW_COMPLETE={shell}_complete" in done.stdout


@requires_program("bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("exp", ["explain"]),
        ("key re", ["revoke"]),
        ("config s", ["set", "show", "slurm", "systemd"]),
        ("completion z", ["zsh"]),
        ("remove --s", ["--skip"]),
    ],
)
def test_bash_completes_commands_and_options(typed: str, offered: list[str]) -> None:
    script = f"""
        eval "$(piw completion bash)"
        COMP_WORDS=(piw {typed}{"''" if typed.endswith(" ") else ""})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _piw_completion piw
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [find_program("bash"), "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.split()) == offered


def test_debug_mode_shows_where_an_error_was_raised(tmp_path: Path) -> None:
    """Also where it replaced another one, which users are not shown."""
    config = tmp_path / "broken.toml"
    config.write_text("[master\n")
    piw = Path(sys.executable).with_name("piw")
    command = [str(piw), "config", "show", "--config", str(config)]
    quiet, message = (
        subprocess.run(
            command, env={"PATH": "/bin", **more}, capture_output=True, text=True, check=False
        )
        for more in ({}, {"PIWHEELS_DEBUG": "1"})
    )
    assert (quiet.returncode, message.returncode) == (1, 1)
    assert quiet.stderr.count("\n") == 1
    assert "in _parse" in message.stderr or "tomllib" in message.stderr
    assert "TOMLDecodeError" in message.stderr
    assert message.stderr.splitlines()[-1] == quiet.stderr.strip()
