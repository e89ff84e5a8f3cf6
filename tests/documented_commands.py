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
    """The words after `piw` of every command line, indented or between backticks."""
    inline = re.findall(r"`[^`\n]*piw [^`\n]+`", _prose(page))
    return typed_commands(page) + [words for line in inline for words in _commands(line.strip("`"))]


def typed_commands(page: Path) -> list[list[str]]:
    """The words after `piw` of the command lines that readers type, which are indented."""
    lines = re.findall(r"^    .*", _prose(page), re.MULTILINE)
    return [words for line in lines for words in _commands(line.strip())]


def _prose(page: Path) -> str:
    text = page.read_text("utf-8")
    generated = r"^```.*?^```|<!-- generated: .*?<!-- end -->"
    return re.sub(generated, "", text, flags=re.MULTILINE | re.DOTALL)


def _commands(line: str) -> list[list[str]]:
    found = []
    for match in _PIW.finditer(line):
        command = re.split(r"\s+[#>]\s|\s*[|&;)]|\s*$", line[match.end() :])[0]
        if words := [word for word in _split(command) if word != "..."]:
            found.append(words)
    return found


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that belongs to what is around the command
        return command.split()
