"""Trees for the browser that need no farm: the site's frame, the search, and names to find."""

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from piwheels.webroot import Webroot
from piwheels.website import assets, search_files
from piwheels.website.word_index import DescribedProject
from tests.website.factories import SITE

_PAGE = """
{% extends "base.html" %}
{% block title %}Search{% endblock %}
{% block main %}<h1>Search</h1>
{% include "search.html" %}
<div class="command"><code>pip install numpy</code><button type="button" class="copy">Copy</button>
</div>{% endblock %}
{% block scripts %}{% include "search-script.html" %}{% endblock %}
"""
_KNOWN = ("numpy", "pandas", "scipy", "django", "requests", "opencv-python", "python-dateutil")
_WORDS = ("py", "python", "django", "aio", "flask", "num", "data", "cloud", "mini", "open", "auto")


def project_names(count: int) -> Iterator[tuple[str, int]]:
    """Project names with downloads: some that everybody knows, and made-up words."""
    for at, name in enumerate(_KNOWN):
        yield name, 10**8 >> at
    for number in range(count - len(_KNOWN)):
        word, rest = _WORDS[number % len(_WORDS)], number // len(_WORDS)
        yield f"{word}{'-' * (number % 3 > 0)}{syllables(rest)}", 10**6 // (number + 1)


def described_projects() -> list[DescribedProject]:
    """Some known projects with what they say about themselves."""
    summaries = {
        "numpy": "Fundamental package for array computing",
        "pandas": "Data structures for analysis of tables",
        "opencv-python": "Wrapper package for computer vision bindings",
        "scipy": "Algorithms for computing",
    }
    return [
        DescribedProject(name=name, summary=summaries.get(name, ""), downloads=10**8 >> at)
        for at, name in enumerate(_KNOWN)
    ]


def syllables(number: int) -> str:
    """A number as something that can be said."""
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    message = ""
    number += 1
    while number:
        number, at = divmod(number, len(consonants) * len(vowels))
        message += consonants[at // len(vowels)] + vowels[at % len(vowels)]
    return message


def make_search_tree(root: Path, count: int = 20_000) -> Path:
    """A tree with a page that searches so many projects."""
    webroot = Webroot(root)
    assets.write(webroot)
    search_files.write_search_files(webroot, dict(project_names(count)).items())
    search_files.write_word_files(webroot, described_projects())
    templates = Environment(
        loader=PackageLoader("piwheels.website"), autoescape=True, undefined=StrictUndefined
    )
    page = templates.from_string(_PAGE).render(root="", site=SITE, assets=assets.hashed_names())
    webroot.write_page(root / "index.html", page.encode())
    for name in _KNOWN:
        webroot.write_page(root / "project" / name / "index.html", f"<h1>{name}</h1>".encode())
    return root
