"""What the documents name exists: links, commands, options, settings, variables, events, modules."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec
import pytest

from piwheels.cli import cli
from piwheels.config import NON_SETTING_VARIABLES, env_var_name, static_sections
from tests import reference
from tests.documented_commands import commands_in, written_pages

SETTINGS = {
    f"{section.name}.{field.name}"
    for section in static_sections()
    for field in msgspec.structs.fields(section.type)
}
SECTIONS = "|".join(section.name for section in static_sections())

each_page = pytest.mark.parametrize("page", written_pages(), ids=lambda page: page.name)


def test_the_generated_reference_is_up_to_date() -> None:
    stale = [
        name
        for name, content in reference.pages().items()
        if (reference.REPOSITORY / name).read_text(encoding="utf-8") != content
    ]
    assert stale == [], "run python -m tests.reference"


def test_the_readme_is_short(repository: Path) -> None:
    assert len((repository / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_readme_starts_with_a_picture_without_external_files(repository: Path) -> None:
    assert "(docs/console.svg)" in (repository / "README.md").read_text("utf-8")[:1000]
    picture = (repository / "docs" / "console.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "url(" not in picture.replace("url(#", "")


@each_page
def test_links_have_targets(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text("utf-8"))
    for target in filter(None, (link or source for link, source in targets)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosting sites make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_documented_commands_and_options_exist(page: Path) -> None:
    for words in commands_in(page):
        _check_command(words)


def _check_command(words: list[str]) -> None:
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, words
        command = command.commands[rest.pop(0)]
        assert not command.hidden, f"{words} is a former name"
    options = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        name = word.partition("=")[0]
        assert not name.startswith("-") or name in options | {"-h", "--help", "--", "-"}, words


@each_page
def test_documented_settings_and_variables_exist(page: Path) -> None:
    text = _without_generated(page.read_text("utf-8"))
    for name in re.findall(rf"`((?:{SECTIONS})\.(?!secret)[a-z_]+)", text):
        assert name in SETTINGS or find_spec(f"piwheels.{name}"), name
    variables = {env_var_name(key) for key in SETTINGS} | set(NON_SETTING_VARIABLES)
    for name in re.findall(r"\bPIWHEELS_[A-Z_]+\b", text):
        assert name in variables, name


def _without_generated(text: str) -> str:
    return re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)


def test_summaries_are_not_cut_on_a_terminal_of_80_columns() -> None:
    for name, group, _ in reference.command_tree():
        if not isinstance(group, click.Group) or group is cli:
            continue
        width = 80 - 6 - max(map(len, group.commands))
        for word, command in group.commands.items():
            assert not command.get_short_help_str(width).endswith("..."), f"{name} {word}"


def test_documented_modules_exist(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", text))
    roots = {path.stem for path in (repository / "piwheels").iterdir()}
    for name in named:
        if name.partition(".")[0] in roots and name not in SETTINGS:
            assert find_spec(f"piwheels.{name}"), name


def test_documented_events_exist(repository: Path) -> None:
    """Each event is a text in the code, whose placeholders are written in capitals."""
    texts = "\n".join(
        node.value
        for path in (repository / "piwheels").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    section = (repository / "docs" / "operations.md").read_text("utf-8").partition("### Events")[2]
    rows = re.findall(r"^\| `([^`]+)` \|", section.partition("\n## ")[0], re.MULTILINE)
    assert rows
    for event in rows:
        for piece in re.split(r"\b[A-Z]+\b", event):
            assert piece.strip(" ,;:()") in texts, event
