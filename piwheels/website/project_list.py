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
        for number in range(1, _page_count(counts[group]) + 1):
            yield page_file(group, number)


def _page_count(projects: int) -> int:
    return max(1, -(-projects // PAGE_PROJECTS))


def group_pages(
    site: Site, group: str, projects: Sequence[ListedProject]
) -> Iterator[tuple[str, bytes]]:
    """The pages of a group by file name; there is at least one."""
    count = _page_count(len(projects))
    for number in range(1, count + 1):
        start = (number - 1) * PAGE_PROJECTS
        page = html.render(
            "projects.html",
            root="../",
            site=site,
            group=group,
            groups=[(name, page_file(name, 1)) for name in GROUPS],
            projects=projects[start : start + PAGE_PROJECTS],
            number=number,
            files=[page_file(group, each) for each in range(1, count + 1)],
        )
        yield page_file(group, number), page
