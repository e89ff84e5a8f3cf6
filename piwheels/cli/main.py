"""The `piw` command itself: its exit codes, its errors, and the options that verbs share."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from piwheels.config import Config, LoadedConfig

INTERRUPTED = 130
TERMINATED = 143
_DEBUG_VARIABLE = "PIWHEELS_DEBUG"

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The piwheels.toml to use (default: the nearest that is found; see `piw config`).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
files_option = click.option(
    "-r",
    "--requirement",
    "requirement_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A requirements.txt with further projects; may be given again.",
)
latest_option = click.option(
    "--latest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Build the N newest final releases of each project, not just one.",
)
all_releases_option = click.option(
    "--all", "every", is_flag=True, help="Build every final release of each project."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask; for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="piwheels", prog_name="piw")
def cli() -> None:
    """Build Python wheels on your own machines, and serve them to pip and uv.

    \b
    To try it, with nothing set up beforehand:
        piw up markupsafe wrapt
    For a real farm:
        piw db upgrade; piw master; piw builder --master HOST; piw deploy --help
    To see how it does:
        piw status; piw explain PROJECT; piw log BUILD
    """  # noqa: D301 - \b is click's mark for lines to keep


def main() -> None:
    """Run the command; what goes wrong is one line on standard error and an exit code."""
    from piwheels.errors import PiwheelsError

    try:
        code = cli(standalone_mode=False, color=_color())
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.Abort:
        click.echo("piw: aborted", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except PiwheelsError as error:
        _show_traceback(error)
        _print_error(str(error))
        code = error.exit_code
    except ImportError as error:
        _show_traceback(error)
        _print_error(_missing_extra(error))
        code = 1
    except Exception as error:  # noqa: BLE001 - its name is printed, and where it was on request
        _show_traceback(error)
        _print_error(
            f"internal error: {type(error).__name__}: {error} (set {_DEBUG_VARIABLE}=1 for more)"
        )
        code = 1
    sys.exit(code or 0)


def _color() -> bool | None:
    """No colour where NO_COLOR is set; else click's choice, which is colour on terminals alone."""
    return False if os.environ.get("NO_COLOR") else None


def _show_traceback(error: BaseException) -> None:
    """With PIWHEELS_DEBUG, show where an error and those that it replaced were raised."""
    if not os.environ.get(_DEBUG_VARIABLE):
        return
    import traceback

    replaced: BaseException | None = error
    while replaced is not None:
        # `raise ... from None` hides from users what a developer wants to see.
        replaced.__suppress_context__ = replaced.__cause__ is not None
        replaced = replaced.__cause__ or replaced.__context__
    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


def _print_error(text: str) -> None:
    from piwheels.sanitize import strip_controls

    line = f"{click.style('piw:', fg='red')} {strip_controls(' '.join(text.split()))}"
    click.echo(line, err=True, color=_color())


def _missing_extra(error: ImportError) -> str:
    return (
        f"{error.name or error} is not installed here; install the extra of this role "
        "(pip install 'piwheels[local]', [master], [builder] or [console])"
    )


def release_count(latest: int | None, *, all_releases: bool) -> int:
    """How many releases of each project are meant; 0 is all of them.

    Raises:
        UsageError: `--latest` and `--all` were both given.
    """
    if latest and all_releases:
        raise click.UsageError("--latest and --all exclude each other")
    return 0 if all_releases else latest or 1


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
    """The configuration alone, as load_settings() finds it."""
    return load_config_with_origins(config_file, **options).config


def run_and_exit(coroutine: "Coroutine[Any, Any, int]") -> NoReturn:
    """Run a verb that returns its exit code, and exit with that."""
    import asyncio

    try:
        code = asyncio.run(coroutine)
    except asyncio.CancelledError:
        code = TERMINATED
    sys.exit(code)
