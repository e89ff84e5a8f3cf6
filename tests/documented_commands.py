"""The `piw` commands that the documents tell readers to type."""

import re
import shlex
from pathlib import Path

_REPOSITORY = Path(__file__).parents[1]
_PIW = re.compile(r"(?:^|[\s(/])piw (?=\S)")


def written_pages() -> list[Path]:
    """Every document that people write; generated ones and the changelog's past are left out."""
    pages = [*sorted(_REPOSITORY.glob("*.md")), *sorted((_REPOSITORY / "docs").glob("*.md"))]
    return [
        page
        for page in pages
        if page.name != "CHANGELOG.md" and "<!-- Generated" not in page.read_text("utf-8")
    ]


def commands_in(page: Path) -> list[list[str]]:
    """The words of each command line, indented or between backticks, after `piw`."""
    text = re.sub(
        r"^```.*?^```|<!-- generated: .*?<!-- end -->",
        "",
        page.read_text("utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    lines = re.findall(r"^    .*|`[^`\n]*piw [^`\n]+`", text, re.MULTILINE)
    return [words for line in lines for words in _commands(line.strip().strip("`"))]


def _commands(line: str) -> list[list[str]]:
    found = []
    for match in _PIW.finditer(line):
        command = re.split(r"\s+#\s|\s*[|&;)]|\s*$", line[match.end() :])[0]
        if words := [word for word in _split(command) if word != "..."]:
            found.append(words)
    return found


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that belongs to what is around the command
        return command.split()
