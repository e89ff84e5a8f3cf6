"""Old command and option names: each still works, with one line that names the new one."""

import click
import pytest

from piwheels.cli import cli
from piwheels.cli.aliases import ALIASES, Alias, rewrite


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for word in path:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: " ".join((*alias.old, alias.option)))
def test_an_old_form_becomes_an_existing_command(alias: Alias) -> None:
    words, notice = rewrite([*alias.old, *filter(None, [alias.option])])
    assert tuple(words[: len(alias.new)]) == alias.new
    command = command_at(alias.new)
    assert notice == alias.notice
    assert notice.count("\n") == 0
    if alias.new_option:
        options = {option for parameter in command.params for option in parameter.opts}
        assert alias.new_option.partition("=")[0] in options
        assert words[-1] == alias.new_option


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: " ".join((*alias.old, alias.option)))
def test_old_forms_are_not_in_the_help(alias: Alias) -> None:
    context = click.Context(cli, info_name="piw", **cli.context_settings)
    if len(alias.old) == 1 and alias.old != alias.new and not alias.option:
        assert f"  {alias.old[0]} " not in cli.get_help(context)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("kill pi1 --yes", "builder kill pi1 --yes"),
        ("drain --all --rolling 2", "builder restart --all --max-parallel 2"),
        ("drain --all --rolling=2", "builder restart --all --max-parallel=2"),
        ("-v drain pi1", "-v builder drain pi1"),
        ("--log-level debug abandon pi1", "--log-level debug builder cancel pi1"),
        ("skip demo --lift", "unskip demo"),
        ("skip demo --lift --reason fixed", "unskip demo"),
        ("skip --reason=fixed --target cp27 --lift", "unskip --target cp27"),
        ("retry demo --built", "rebuild demo"),
        ("rebuild --part home", "pages rebuild --kind home"),
        ("rebuild", "pages rebuild"),
        ("add demo --all --json", "add demo --all-releases --json"),
        ("config", "config show"),
        ("config --json", "config show --json"),
        ("deploy nginx --port 8000", "config nginx --port 8000"),
        ("key new builder", "key generate builder"),
    ],
)
def test_an_old_command_line_is_rewritten(typed: str, meant: str) -> None:
    words, notice = rewrite(typed.split())
    assert words == meant.split()
    assert notice


@pytest.mark.parametrize(
    "typed",
    [
        "builder kill pi1",
        "skip demo --reason --lift-off",
        "add -- --all",
        "config --help",
        "config show",
        "rebuild demo",
        "status",
        "",
        "--version",
    ],
)
def test_a_current_command_line_is_unchanged(typed: str) -> None:
    assert rewrite(typed.split()) == (typed.split(), "")
