"""Every address in the pages of a real farm leads somewhere, and would under any prefix."""

import gzip
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

#: 404.html is shown under any address, so its own addresses begin at the root.
ROOTED = "404.html"


class Addresses(HTMLParser):
    """The addresses that a page has, and the ids that it can be entered at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "href" and (dict(attrs).get("rel") or "").startswith("external"):
                continue
            if name in {"href", "src", "action", "data-shards", "data-projects"} and value:
                self.found.append(value)
            if name == "id" and value:
                self.ids.add(value)


def pages(tree: Path) -> Iterator[tuple[Path, Addresses]]:
    for page in sorted(tree.rglob("*.html")):
        yield page, Addresses(page.read_text())


def target(tree: Path, page: Path, address: str) -> Path:
    """The file that an address of a page leads to."""
    path = unquote(urlsplit(address).path)
    if not path:
        return page
    place = tree / path.removeprefix("/") if page.name == ROOTED else page.parent / path
    if path.endswith("/") or place == tree:
        place /= "index.html"
    if place.parts[-4:-3] == ("logs",):  # asked for as text, stored packed
        place = place.with_name(f"{place.name}.gz")
    return place.resolve()


def test_every_url_is_relative_and_leads_to_a_file(farmed_tree: Path) -> None:
    tree = farmed_tree.resolve()
    count = 0
    for page, addresses in pages(tree):
        for address in addresses.found:
            parts = urlsplit(address)
            assert not parts.scheme, (page, address)
            assert not parts.netloc, (page, address)
            rooted = address.startswith(("/", "#"))
            assert rooted if page.name == ROOTED else not address.startswith("/"), (page, address)
            place = target(tree, page, address)
            assert tree in place.parents, f"{address} of {page} leads out of the tree"
            if place.parent.name not in {"search", "project"}:
                assert place.is_file(), f"{address} of {page} leads to nothing"
            count += 1
    assert count > 150


def test_every_fragment_exists(farmed_tree: Path) -> None:
    tree = farmed_tree.resolve()
    ids = {page: addresses.ids for page, addresses in pages(tree)}
    for page, addresses in pages(tree):
        for address in addresses.found:
            fragment = unquote(urlsplit(address).fragment)
            place = target(tree, page, address)
            if fragment and place in ids and not fragment.startswith("sha256="):
                assert fragment in ids[place], f"{address} of {page}"


@pytest.mark.parametrize("name", ["index.html", "index.v1_json"])
def test_pages_and_gz_files_have_the_same_content(farmed_tree: Path, name: str) -> None:
    found = list(farmed_tree.rglob(name))
    for page in found:
        twin = page.with_name(f"{page.name}.gz")
        assert gzip.decompress(twin.read_bytes()) == page.read_bytes()
    assert len(found) >= 4
