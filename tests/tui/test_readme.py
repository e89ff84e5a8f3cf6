"""The README's table of keys is the list of all actions."""

from pathlib import Path

from piwheels.tui.model.action_types import Group
from piwheels.tui.model.actions import ACTIONS
from piwheels.tui.model.keys import key_labels


def table() -> str:
    """The table as the README has to have it."""
    lines = ["| key | what it does |", "|---|---|"]
    for group in Group:
        lines.append(f"| | **{group.value}** |")
        for action in ACTIONS:
            if action.group is group:
                keys = ", ".join(f"`{text}`" for text in key_labels(action.keys))
                lines.append(f"| {keys} | {action.help} |")
    return "\n".join(lines)


def test_the_readme_documents_every_key(repository: Path) -> None:
    assert table() in (repository / "README.md").read_text(), f"it should hold\n{table()}"


def test_the_readme_opens_with_a_picture_that_is_there(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    picture = repository / "docs" / "console.svg"
    assert "(docs/console.svg)" in text[:1000]
    assert picture.read_text().startswith("<svg")
    assert "url(" not in picture.read_text().replace("url(#", ""), "it needs nothing from elsewhere"
