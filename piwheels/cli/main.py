"""The `piw` command itself: its groups, exit codes and errors."""

import os
import sys

import click

from piwheels.cli.aliases import rewrite

INTERRUPTED = 130
_DEBUG_VARIABLE = "PIWHEELS_DEBUG"
_LOG_VARIABLE = "PIWHEELS_LOG"
_LEVELS = ("debug", "info", "warning", "error")

#: The headings of `piw --help`, and the commands below each; others come last.
_SECTIONS = (
    (
        "Everyday commands",
        ("up", "status", "add", "remove", "explain", "log", "tui", "pause", "resume", "retry"),
    ),
    (
        "Projects and builds",
        (
            "builds",
            "failures",
            "alerts",
            "metrics",
            "events",
            "skip",
            "unskip",
            "policy",
            "prioritize",
            "rebuild",
            "alias",
            "import",
            "pages",
            "recipe",
            "classify",
            "reclassify",
            "reproduce",
            "verify",
        ),
    ),
    ("Services", ("master", "builder", "accesslog", "serve")),
    (
        "Setup",
        (
            "setup",
            "upgrade",
            "root",
            "config",
            "db",
            "audit",
            "retention",
            "key",
            "stats",
            "completion",
        ),
    ),
)


class RootGroup(click.Group):
    """Lists its commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write one block of the help for each heading."""
        listed = {name for _, names in _SECTIONS for name in names}
        others = tuple(name for name in self.commands if name not in listed)
        for title, names in (*_SECTIONS, ("Other commands", others)):
            rows = [
                (name, self.commands[name].get_short_help_str(limit=200))
                for name in names
                if name in self.commands and not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-v", "--verbose", is_flag=True, help="Log more (debug messages).")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings and errors only.")
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS),
    help=f"Log messages from this level on; also ${_LOG_VARIABLE}.",
)
@click.version_option(package_name="piwheels", prog_name="piw")
def cli(verbose: bool, quiet: bool, log_level: str | None) -> None:
    """Build Python wheels on your own machines, and serve them to pip and uv.

    \b
    Try it, without any setup:
        piw up markupsafe wrapt
    Set up a farm:
        sudo piw setup master --server-name HOST
        sudo piw setup builder
    See what it does:
        piw status
        piw explain PROJECT
        piw log BUILD
    """  # noqa: D301 - \b is click's mark for lines to keep
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet exclude each other")
    level = log_level or ("debug" if verbose else "warning" if quiet else "")
    if level:
        os.environ[_LOG_VARIABLE] = level  # the processes that `piw up` starts follow it too


def main() -> None:
    """Run the command; what goes wrong is one line on standard error and an exit code."""
    from piwheels.errors import PiwheelsError

    try:
        arguments, notice = rewrite(sys.argv[1:])
        if notice:
            _print_error(notice)
        code = cli(arguments, standalone_mode=False, color=_color())
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
    except Exception as error:  # noqa: BLE001 - its name is printed, and its traceback on request
        code = _internal_error(error)
    sys.exit(code or 0)


def _internal_error(error: Exception) -> int:
    _show_traceback(error)
    name = type(error).__name__
    _print_error(f"internal error: {name}: {error} (set {_DEBUG_VARIABLE}=1 for the traceback)")
    return 1


def _color() -> bool | None:
    """No color where NO_COLOR is set; else click's choice, which is color on terminals alone."""
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
        f"{error.name or error} is not installed; install the extra for this command "
        "in a clone"
        " (pip install '.[local]', [master], [builder], [console], [verify] or [stats])"
    )
