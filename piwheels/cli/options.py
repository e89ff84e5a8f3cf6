"""What commands share: options, loading the configuration, running and exiting."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from piwheels.config import Config, LoadedConfig

TERMINATED = 143
_STANDARD_INPUT = "-"

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The piwheels.toml to use (default: the first that exists; see `piw config show`).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
dsn_option = click.option(
    "--dsn",
    help="Database DSN (overrides the configuration); one with a password better in the variable "
    "PIWHEELS_DATABASE_DSN.",
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
files_option = click.option(
    "-r",
    "--requirement",
    "requirement_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A requirements.txt with further projects; repeatable.",
)
latest_option = click.option(
    "--latest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Build the N newest final releases of each project instead of one.",
)
all_releases_option = click.option(
    "--all-releases", is_flag=True, help="Build every final release of each project."
)

python_option = click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="An interpreter to build for; repeatable (default: this one).",
)
no_sandbox_option = click.option(
    "--no-sandbox",
    is_flag=True,
    help="Build without a sandbox: only for code that you trust with this account.",
)


target_option = click.option(
    "--target", help="Only this target: its name, or its ABI tag where that is unique."
)
builder_name_option = click.option(
    "--name",
    default="",
    metavar="NAME",
    help="The builder's name (default: that of this host).",
)


token_argument = click.argument("token", default="", metavar="[TOKEN|-]")
token_file_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="A file with the token, or - for standard input.",
)


def given_token(token: str, file: Path | None) -> str:
    """The token of a command: its argument, a file, standard input or the environment.

    As an argument every account can see it in the list of processes, and a shell remembers it.

    Returns:
        The token; "" if none was given, and nobody is there to be asked.
    """
    if token and file:
        raise click.UsageError("give the token once: TOKEN and --token-file exclude each other")
    if token and token != _STANDARD_INPUT:
        return token
    if token:
        file = Path(token)
    if file is None and (token := os.environ.get("PIWHEELS_TOKEN", "").strip()):
        return token
    if file is None and not sys.stdin.isatty():
        return ""
    return read_secret(file or Path(_STANDARD_INPUT), "Token")


def no_token() -> click.UsageError:
    """The error of a command that needs a token, and got none."""
    return click.UsageError(
        "give the token that `piw builder invite` printed on the master: on standard input with -, "
        "by --token-file, or in the variable PIWHEELS_TOKEN"
    )


def read_secret(file: Path, what: str) -> str:
    """The first line of a file, or of standard input for `-`; a person is asked for it.

    Raises:
        UsageError: it cannot be read, or is empty.
    """
    try:
        if str(file) != _STANDARD_INPUT:
            text = file.read_text(encoding="utf-8")
        elif sys.stdin.isatty():
            text = click.prompt(what, hide_input=True, err=True)
        else:
            text = sys.stdin.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    lines = text.strip().splitlines()
    if not lines:
        raise click.UsageError(
            f"{'standard input' if str(file) == _STANDARD_INPUT else file} is empty"
        )
    return str(lines[0].strip())


def tls_options(command: Any) -> Any:
    """The options that say how a site is encrypted; see config_templates.tls_of()."""
    mode = click.option(
        "--tls",
        "mode",
        type=click.Choice(["caddy"]),
        help="TLS with certificates that Caddy gets and renews by itself.",
    )
    certificate = click.option(
        "--certificate",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="TLS with this certificate, with those that signed it (fullchain.pem).",
    )
    key = click.option(
        "--certificate-key",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The certificate's private key (privkey.pem).",
    )
    return mode(certificate(key(command)))


def given_duration(text: str) -> float:
    """The seconds of an option: `90`, `90s`, `15m`, `2h`, `1d`, or one with a minus before it.

    Raises:
        UsageError: it is none.
    """
    from piwheels.errors import UsageError
    from piwheels.formatting import parse_duration

    number = text.strip()
    sign, number = (-1, number[1:]) if number[:1] == "-" else (1, number.removeprefix("+"))
    seconds = parse_duration(f"{number}s" if number[-1:].isdecimal() else number)
    if seconds is None:
        raise UsageError(f"{text!r} is not a duration; write 90s, 15m, 2h or 1d")
    return sign * seconds


def release_count(latest: int | None, *, all_releases: bool) -> int:
    """How many releases of each project to build; 0 is all of them.

    Raises:
        UsageError: `--latest` and `--all-releases` were both given.
    """
    if latest and all_releases:
        raise click.UsageError("--latest and --all-releases exclude each other")
    return 0 if all_releases else latest or 1


def options_before_subcommand(subcommand: str) -> click.UsageError:
    """The error of a group whose options were given before the name of its command."""
    return click.UsageError(f"put the options after `{subcommand}`")


def load_config_with_origins(config_file: Path | None, **options: Any) -> "LoadedConfig":
    """Every setting and its origin; an option `section__key` that is not None comes first.

    Raises:
        ConfigError: a file, a variable or an option holds something unusable.
    """
    from piwheels.config import load

    loaded = load(
        config_file, options={key.replace("__", "."): value for key, value in options.items()}
    )
    for line in loaded.deprecations:
        click.echo(f"piw: note: {line}", err=True)
    return loaded


def load_config(config_file: Path | None, **options: Any) -> "Config":
    """The configuration alone, as load_config_with_origins() finds it."""
    return load_config_with_origins(config_file, **options).config


def refuse_root(*folders: Path) -> None:
    """Let root do no work in folders of a farm's account, which may have put links there.

    Raises:
        UsageError: this is root, and another account controls one of the folders.
    """
    import pwd

    from piwheels.webroot import controlling_account

    for folder in folders:
        account = controlling_account(folder) if os.geteuid() == 0 else 0
        if account:
            try:
                name = pwd.getpwuid(account).pw_name
            except KeyError:
                name = f"'#{account}'"
            raise click.UsageError(
                f"{folder} is in a folder of another account: run this as that (sudo -u {name} "
                "piw ...)"
            )


def run_and_exit(coroutine: "Coroutine[Any, Any, int]") -> NoReturn:
    """Run a command that returns its exit code, and exit with that."""
    import asyncio

    from piwheels.errors import ConfigError
    from piwheels.log_setup import configure_logging

    try:
        configure_logging("warning")
    except ConfigError:
        coroutine.close()
        raise
    try:
        code = asyncio.run(coroutine)
    except asyncio.CancelledError:
        code = TERMINATED
    sys.exit(code)
