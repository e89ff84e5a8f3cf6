"""What a user asks for: requirements as typed and in files, turned into Wanted."""

import re
from collections.abc import Sequence
from pathlib import Path

from piwheels import names
from piwheels.errors import ConfigError, RefusedError, UsageError
from piwheels.model import Wanted

_INCLUSION = re.compile(r"\s*(-r\s*|--requirement[\s=]\s*)(?P<file>\S.*?)\s*(\s#.*)?$")
_COMMENT = re.compile(r"(^|\s)#.*")
_DEEPEST = 20


def wanted(requirements: Sequence[str], files: Sequence[Path], *, latest: int) -> list[Wanted]:
    """Everything that arguments and requirements files ask for, each once, in order.

    Args:
        requirements: as typed: `name`, `name==1.0`, `name>=2,<3`.
        files: requirements files; constraints and options in them are passed over, as they say
            how to install and not what.
        latest: how many releases of each; 0 for all.

    Raises:
        UsageError: a requirement or a line is malformed.
        ConfigError: a file cannot be read.
    """
    found = [_wanted(text, text, latest) for text in requirements]
    for file in files:
        found += _from_file(file, latest, depth=0)
    return list(dict.fromkeys(item for item in found if item is not None))


def _from_file(file: Path, latest: int, depth: int) -> list[Wanted | None]:
    if depth > _DEEPEST:
        raise ConfigError(f"{file}: requirements files include each other without an end")
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError(f"{file}: {reason}") from None
    found: list[Wanted | None] = []
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), start=1):
        included = _included(line)
        if included:
            found += _from_file(file.parent / included, latest, depth + 1)
        else:
            found.append(_wanted(_bare(line), f"{file}, line {number}", latest))
    return found


def _included(line: str) -> str | None:
    """The file that a line includes, or None."""
    found = _INCLUSION.match(line)
    return found["file"] if found else None


def _bare(line: str) -> str:
    """A line without its comment and without options, such as --hash, behind a requirement."""
    words = _COMMENT.sub("", line).split()
    kept = []
    for word in words:
        if word.startswith("-"):
            break
        kept.append(word)
    return " ".join(kept)


def _wanted(text: str, where: str, latest: int) -> Wanted | None:
    if not text:
        return None
    try:
        requirement = names.requirement(text)
    except RefusedError as error:
        raise UsageError(f"{where}: {error}") from None
    if requirement.url:
        raise UsageError(f"{where}: {requirement.name} comes from an address, not from the index")
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    return Wanted(requirement=f"{requirement.name}{requirement.specifier}", latest=latest)
