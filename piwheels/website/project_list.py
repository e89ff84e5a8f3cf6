"""The list of all projects, in pages by first letter, for people without JavaScript (pure).

An added project changes the pages of its letter that follow it, and no others.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from string import ascii_lowercase

from piwheels.model import ListedProject
from piwheels.website import html
from piwheels.website.page_data import Site

PAGE_PROJECTS = 500
#: The name of each group of pages: a first letter, or all digits.
DIGITS = "0-9"
GROUPS = (DIGITS, *ascii_lowercase)


def group_of(name: str) -> str:
    """The group that a normalized name is listed in."""
    return name[0] if name and name[0] in ascii_lowercase else DIGITS


def page_file(group: str, number: int) -> str:
    """The name of a page in `projects/`."""
    return f"{group}.html" if number == 1 else f"{group}-{number}.html"


def list_files(names: Iterable[str]) -> Iterator[str]:
    """The names of all pages of the list of some projects."""
    counts = Counter(map(group_of, names))
    for group in GROUPS:
        yield from group_files(group, counts[group])


def group_files(group: str, projects: int) -> list[str]:
    """The names of the pages of a group of so many projects; there is at least one."""
    pages = max(1, -(-projects // PAGE_PROJECTS))
    return [page_file(group, number) for number in range(1, pages + 1)]


def group_page(
    site: Site, group: str, number: int, files: Sequence[str], projects: Sequence[ListedProject]
) -> bytes:
    """A page of a group.

    Args:
        site: the farm's.
        group: its name.
        number: of the page, the first is 1.
        files: the names of all pages of the group.
        projects: those of this page.
    """
    return html.render(
        "projects.html",
        root="../",
        site=site,
        group=group,
        groups=[(name, page_file(name, 1)) for name in GROUPS],
        projects=projects,
        number=number,
        files=files,
    )
