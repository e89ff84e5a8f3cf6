"""Parsing of project pages: pip's results are found, and problems are reported."""

import contextlib
import hashlib
import html
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pip._internal.index.collector import IndexContent, parse_links
from pip._internal.index.package_finder import LinkEvaluator, LinkType
from pip._internal.models.link import Link
from pip._internal.models.target_python import TargetPython
from pip._internal.utils.unpacking import SUPPORTED_EXTENSIONS

from piwheels.errors import RejectedError
from piwheels.index_client.fields import HASH_ALGORITHMS
from piwheels.index_client.filenames import canonical_version
from piwheels.index_client.page import FileKind, ProjectPage
from piwheels.index_client.page_parser import MAX_PROBLEMS, parse_page
from piwheels.model import ProjectStatus
from tests.fake_index import HTML, JSON

URL = "https://index.example/simple/demo/"
SHA256 = "a" * 64
_EVALUATOR = LinkEvaluator(
    project_name="demo",
    canonical_name="demo",  # type: ignore[arg-type]
    formats=frozenset({"source"}),
    target_python=TargetPython(),
    allow_yanked=True,
    ignore_requires_python=True,
)


def entry(filename: Any = "demo-1.0.tar.gz", **fields: Any) -> dict[str, Any]:
    """An entry of a JSON page; a field that is `...` is left out."""
    whole = {
        "filename": filename,
        "url": f"../../files/{filename}",
        "hashes": {"sha256": SHA256},
        "size": 7,
        "upload-time": "2026-01-28T18:14:54.428400Z",
        "requires-python": ">=3.8",
        "yanked": False,
        "core-metadata": {"sha256": "b" * 64},
        **fields,
    }
    return {key: value for key, value in whole.items() if value is not ...}


def json_page(*entries: object, **fields: Any) -> ProjectPage:
    """A parsed page with these entries, and with top-level fields replaced."""
    page = {"meta": {"api-version": "1.1"}, "name": "demo", "files": list(entries), **fields}
    page = {key: value for key, value in page.items() if value is not ...}
    return parse_page("demo", URL, json.dumps(page).encode(), {"Content-Type": JSON})


def html_page(body: str, content_type: str = HTML, encoding: str = "utf-8") -> ProjectPage:
    content = f"<!DOCTYPE html><html><body>{body}</body></html>".encode(encoding)
    return parse_page("demo", URL, content, {"Content-Type": content_type})


def sdists(page: ProjectPage) -> list[str]:
    """The versions that a page has sdists of."""
    return sorted(file.version for file in page.files if file.kind is FileKind.SDIST)


# --- as pip reads ---


def _can_be_fetched(link: Link) -> bool:
    try:
        parts = urlsplit(link.url)
        return parts.scheme in {"http", "https"} and bool(parts.netloc) and parts.port != 0
    except ValueError:
        return False


def _versions_for_pip(links: Iterator[Link | None]) -> set[str]:
    """The sdists that pip would take from links, as far as it can fetch them."""
    found = set()
    for link in links:
        if link is None or not _can_be_fetched(link):
            continue
        try:
            kind, detail = _EVALUATOR.evaluate_link(link)
        except (AttributeError, TypeError):  # a field of a type that pip does not bear
            continue
        is_archive = link.ext in SUPPORTED_EXTENSIONS and link.ext != ".whl"
        if kind is LinkType.candidate and is_archive and canonical_version(detail):
            found.add(canonical_version(detail))
    return found


def _pip_reads_json(entries: list[Any]) -> Iterator[Link | None]:
    """Each entry by itself: pip reads nothing of a page if one of its entries makes it fail."""
    for item in entries:
        try:
            yield Link.from_json(item, URL)
        except (AttributeError, TypeError, ValueError, AssertionError):
            continue


def _pip_reads_html(content: bytes, content_type: str) -> Iterator[Link | None]:
    try:
        yield from parse_links(
            IndexContent(content, content_type, None, URL, cache_link_parsing=False)
        )
    except (UnicodeDecodeError, ValueError, AssertionError):
        return


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [2**70, "", " ", "true", "\x00", "\ud800", "x" * 5000, ">=3.8\x00", "1" * 40]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
_FILENAMES = st.sampled_from(
    [
        "demo-1.0.tar.gz",
        "Demo-1.0.zip",
        "demo-1.1.tar.bz2",
        "de.mo-1.0.tar.gz",
        "demo-2.0rc1.tgz",
        "demo-1.0.linux-x86_64.tar.gz",
        "demo-1.0-py3-none-any.whl",
        "demo-1.0.egg",
        "demo.tar.gz",
        "other-1.0.tar.gz",
        "demo-1.0+local.tar.gz",
        "demo-v3.tar",
        "demo--1.tar.gz",
        "demo-1.0.TAR.GZ",
    ]
)
_URLS = st.sampled_from(
    [
        "{0}",
        "/{0}",
        "../../x/{0}",
        "https://x.example/{0}?token=a b#sha256=" + SHA256,
        "http://x:port/{0}",
        "http://[::1/{0}",
        "ftp://x.example/{0}",
        "//x.example/{0}",
        "https://u:p@x.example/a%2Fb/{0}",
        "{0}#egg=demo-4.0",
        "v1.0.zip#egg=demo-5.0",
        "{0}/",
        " {0}",
        "https://x.example/download?name={0}",
        "https://x.example/%7e/{0}#md5=" + "c" * 32,
        "#main",
        "",
    ]
)


@st.composite
def _entries(draw: st.DrawFn) -> object:
    filename = draw(_FILENAMES)
    item = entry(filename, url=draw(_URLS).format(filename))
    for key in draw(st.lists(st.sampled_from(sorted(item)), max_size=2)):
        if draw(st.booleans()):
            item[key] = draw(_VALUES)
        else:
            item.pop(key, None)
    return item if draw(st.integers(0, 9)) else draw(_VALUES)


@settings(deadline=None)
@given(
    st.lists(_entries(), max_size=4),
    st.dictionaries(
        st.sampled_from(["meta", "name", "versions", "project-status", "alternate-locations"]),
        _VALUES,
        max_size=2,
    ),
)
def test_whatever_pip_finds_on_a_json_page_is_found(
    entries: list[Any], fields: dict[str, Any]
) -> None:
    page = json_page(*entries, **fields)
    assert _versions_for_pip(_pip_reads_json(entries)) <= set(sdists(page))
    _is_storable(page)


@st.composite
def _links(draw: st.DrawFn) -> str:
    filename = draw(_FILENAMES)
    href = html.escape(draw(_URLS).format(filename))
    tag = draw(st.sampled_from(["a", "A"]))
    text = draw(st.sampled_from([filename, f"<b>{filename}</b>", "download", "", "&lt;&#x110000;"]))
    attributes = draw(
        st.lists(
            st.sampled_from(
                [
                    "data-yanked",
                    'data-yanked="bad"',
                    'data-requires-python="&gt;=3"',
                    "href",
                    "HREF='x'",
                    'data-core-metadata="true"',
                    'data-core-metadata="sha256=zz"',
                    "class=x" * 200,
                    "=",
                    "<",
                ]
            ),
            max_size=3,
        )
    )
    first = draw(
        st.sampled_from(['<base href="/deep/">', "<base>", "<!-- x -->", "<![x[", "<p>", ""])
    )
    return f'{first}<{tag} href="{href}" {" ".join(attributes)}>{text}</{tag}>'


@settings(deadline=None)
@given(
    st.lists(_links(), max_size=4),
    st.binary(max_size=6),
    st.sampled_from(["text/html", "TEXT/HTML; charset=latin-1", "text/html; charset=none", HTML]),
)
def test_whatever_pip_finds_on_an_html_page_is_found(
    links: list[str], noise: bytes, content_type: str
) -> None:
    content = "\n".join(links).encode() + noise
    expected = _versions_for_pip(_pip_reads_html(content, content_type))
    try:
        page = parse_page("demo", URL, content, {"Content-Type": content_type})
    except RejectedError:
        assert not expected
        return
    assert expected <= set(sdists(page))
    _is_storable(page)


def _is_storable(page: ProjectPage) -> None:
    """Every text is printable and bounded, every number fits; as a database wants them."""
    texts = [page.display_name, page.status_reason, *page.problems]
    for file in page.files:
        texts += [file.filename, file.url, file.requires_python, file.yanked or ""]
        assert file.size_bytes is None or 0 <= file.size_bytes < 2**63
        assert len(file.version) <= 2 * 200
        assert file.url.startswith(("http://", "https://"))
    assert all(text.isprintable() and len(text) < 13_000 for text in texts)
    assert page.serial is None or 0 < page.serial < 2**63
    assert len(page.problems) == min(page.problem_count, MAX_PROBLEMS)


@settings(deadline=None)
@given(st.binary(max_size=60) | _VALUES.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("declared", [JSON, HTML, ""])
def test_any_content_is_a_page_or_rejected(declared: str, content: bytes) -> None:
    with contextlib.suppress(RejectedError):
        _is_storable(parse_page("demo", URL, content, {"Content-Type": declared}))


# --- what becomes of odd fields ---


@pytest.mark.parametrize("value", [..., None, 1, [], {}, "x", True, {"sha256": None}, "\ud800"])
@pytest.mark.parametrize("key", sorted(set(entry()) - {"url"}))
def test_a_file_is_kept_with_any_invalid_field(key: str, value: object) -> None:
    odd = {key: val for key, val in (entry() | {key: value}).items() if val is not ...}
    page = json_page(odd, entry("demo-2.0.tar.gz"))
    assert sdists(page) == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        (entry(url=None), "has no url; ignored"),
        (entry(url=["x"]), "has no url; ignored"),
        (entry(url="http://x:port/demo-1.0.tar.gz"), "has an unusable url; ignored"),
        (entry(url="http://my wiki/demo-1.0.tar.gz"), "has an unusable url; ignored"),
        (entry(url="javascript:x/demo-1.0.tar.gz"), "has an unusable url; ignored"),
        (entry(hashes=["sha256"]), "hashes are not an object"),
        (entry(hashes={"sha256": "short"}), "its sha256 is not a hash"),
        (entry(size=1e300), "its size is not a number of bytes"),
        (entry(size="7"), "its size is not a number of bytes"),
        (entry(size=False), "its size is not a number of bytes"),
        (entry(size=True), "its size is not a number of bytes"),
        (entry(size=1.9), "its size is not a number of bytes"),
        (entry(**{"upload-time": "yesterday"}), "its upload-time is not a time"),
        (entry(**{"upload-time": 1_700_000_000}), "its upload-time is not a time"),
        (entry(**{"requires-python": 3}), "its requires-python is not a version specifier"),
        (
            entry(**{"requires-python": "x" * 5000}),
            "its requires-python is not a version specifier",
        ),
        (entry("other-1.0.tar.gz"), "is not the name of a release of demo"),
        (entry(f"demo-{'1' * 5000}.tar.gz"), "has an unusable url; ignored"),
        (entry("demo-1.0.whl"), "is not the name of a release of demo"),
        ("an entry", "is not an object; ignored"),
        (None, "is not an object; ignored"),
    ],
)
def test_a_malformed_entry_is_reported_with_its_number(odd: object, problem: str) -> None:
    page = json_page(entry("demo-2.0.tar.gz"), odd)
    assert "2.0" in sdists(page)
    (message,) = page.problems
    assert message.startswith("entry 2")
    assert problem in message


_ODD_HOSTS = (
    "[::1]\ud800",
    "[::1]\x00",
    "a\ud800[::1]",
    '[::1]"><b>:80',
    "[::1]]",
    "[::1",
    "[v1.x]",
    "[fe80::1%\x00]",
    "[fe80::1%\ud800]",
    "h:80\ud800",
    "h\x00",
    "h:0",
    "h:99999",
)


@pytest.mark.parametrize("host", _ODD_HOSTS)
def test_a_url_has_no_text_around_its_host(host: str) -> None:
    address = f"https://{host}/demo-1.0.tar.gz"
    page = json_page(entry("demo-2.0.tar.gz", provenance=address), entry(url=address))
    assert sdists(page) == ["2.0"]
    assert page.files[0].attestations_url == ""
    assert [problem.partition(": ")[0][:7] for problem in page.problems] == ["entry 1", "entry 2"]


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("Files.Example", "files.example"),
        ("user:\ud800@h:0080", "h:80"),
        ("h:", "h"),
        ("[2001:DB8::0:1]:81", "[2001:db8::1]:81"),
        ("user@[::1]", "[::1]"),
    ],
)
def test_the_host_of_a_url_is_kept_in_its_usual_form(host: str, kept: str) -> None:
    page = json_page(entry(url=f"https://{host}/demo-1.0.tar.gz"))
    assert [file.url for file in page.files] == [f"https://{kept}/demo-1.0.tar.gz"]


_ANY_TEXT = st.text(st.characters(codec=None), max_size=9) | st.sampled_from(_ODD_HOSTS)


@given(st.lists(_ANY_TEXT, min_size=6, max_size=6))
def test_every_text_of_a_page_can_be_stored(texts: list[str]) -> None:
    host, path, name, reason, version, key = texts
    odd = entry(
        f"demo-1.0{name}.tar.gz",
        url=f"https://{host}/{path}/demo-1.0.tar.gz?{name}#{key}",
        provenance=f"https://{host}/{path}",
        yanked=reason,
        **{"requires-python": reason, "upload-time": version, "hashes": {key: name}},
    )
    page = json_page(odd, name=name, **{"project-status": {"status": key, "reason": reason}})
    stored = json.dumps(msgspec.to_builtins(page), ensure_ascii=False)
    assert "\\u0000" not in stored
    assert stored.encode()  # PostgreSQL stores neither NUL nor a lone surrogate


@pytest.mark.parametrize("letter", ["a", "\u4e2d"])
def test_a_long_base_address_is_not_copied_to_each_file(letter: str) -> None:
    links = "".join(f'<a href="demo-{number}.tar.gz">x</a>' for number in range(1000))
    content = f'<base href="https://h/{letter * 3000}/{letter * 3000}/">{links}'.encode()
    page = parse_page("demo", URL, content, {"Content-Type": "text/html; charset=utf-8"})
    assert (page.files, page.problem_count) == ((), 1000)
    short = content.replace(f"{letter * 3000}/".encode(), b"", 1)
    page = parse_page("demo", URL, short, {"Content-Type": "text/html; charset=utf-8"})
    assert all(len(file.url) <= 4000 for file in page.files)


@pytest.mark.parametrize(
    ("project", "name"),
    [("a-b", f"a{'-_.' * 100_000}b"), ("kivy", "\u212aivy"), ("a-b", "a-b\n"), ("a-b", "-a-b")],
)
def test_a_display_name_is_a_valid_name(project: str, name: str) -> None:
    content = json.dumps({"name": name, "files": []}).encode()
    assert parse_page(project, URL, content, {"Content-Type": JSON}).display_name == project


@pytest.mark.parametrize("depth", [1, 300, 900])
def test_nested_lists_in_texts_are_reported_in_a_line(depth: int) -> None:
    nested: Any = "x"
    for _ in range(depth):
        nested = [nested]
    odd = entry(url=nested, yanked=nested, hashes={"sha256": nested}, provenance=nested)
    page = json_page(odd, **{"project-status": nested, "meta": {"api-version": nested}})
    assert page.problem_count == 3
    assert all(len(problem) < 200 for problem in page.problems)


def test_a_valid_page_has_no_problems() -> None:
    files = ["demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl", "demo-1.0.egg", "demo-1.0.win32.exe"]
    old = ["demo-0.1.linux-x86_64.tar.gz", "demo-2004d.tar.gz"]
    page = json_page(*map(entry, files), *map(entry, old))
    assert (page.problem_count, len(page.files)) == (0, 6)


def test_the_problems_of_a_page_are_bounded_and_counted() -> None:
    page = json_page(*[None] * 5000)
    assert (len(page.problems), page.problem_count) == (MAX_PROBLEMS, 5000)


@pytest.mark.parametrize(
    "meta", [..., None, {}, [], "1.0", {"api-version": 1.0}, {"api-version": None}]
)
def test_a_page_with_invalid_meta_is_read(meta: object) -> None:
    assert sdists(json_page(entry(), meta=meta)) == ["1.0"]


def test_another_major_version_is_read_and_reported() -> None:
    page = json_page(entry(), meta={"api-version": "2.0"})
    assert sdists(page) == ["1.0"]
    assert "API version is '2.0'" in page.problems[0]


@pytest.mark.parametrize(
    ("status", "read", "problems"),
    [
        (None, ProjectStatus.ACTIVE, 0),
        ({}, ProjectStatus.ACTIVE, 0),
        ({"status": None}, ProjectStatus.ACTIVE, 0),
        ("archived", ProjectStatus.ARCHIVED, 0),
        ({"status": "Quarantined", "reason": ["x"]}, ProjectStatus.QUARANTINED, 0),
        ({"status": "frozen"}, ProjectStatus.ACTIVE, 1),
        (["archived"], ProjectStatus.ACTIVE, 1),
    ],
)
def test_a_project_status_is_read_in_any_form(
    status: object, read: ProjectStatus, problems: int
) -> None:
    page = json_page(entry(), **{"project-status": status})
    assert (page.status, page.problem_count) == (read, problems)


@pytest.mark.parametrize(
    ("serial", "read"),
    [
        (5, 5),
        ("42", 42),
        (None, None),
        ("x", None),
        (2**64, None),
        (-1, None),
        (True, None),
        ([], None),
    ],
)
def test_a_serial_is_a_number_or_text(serial: object, read: int | None) -> None:
    assert json_page(meta={"_last-serial": serial}).serial == read


@pytest.mark.parametrize(
    ("yanked", "read"),
    [(None, None), (False, None), ("", None), (True, ""), ("bad", "bad"), ([1], "")],
)
def test_a_yank_is_read_as_pip_reads_it(yanked: object, read: str | None) -> None:
    assert json_page(entry(yanked=yanked)).files[0].yanked == read


def test_a_time_without_a_zone_is_utc() -> None:
    page = json_page(entry(**{"upload-time": "2024-01-28 18:14:54"}))
    assert page.files[0].uploaded_at == datetime(2024, 1, 28, 18, 14, 54, tzinfo=UTC)


@pytest.mark.parametrize("algorithm", HASH_ALGORITHMS)
def test_the_strongest_hash_is_kept(algorithm: str) -> None:
    value = hashlib.new(algorithm, b"x").hexdigest()
    offered = {"md5": "c" * 32, algorithm: value.upper(), "unknown": "x"}
    (file,) = json_page(entry(hashes=offered)).files
    expected = ("", f"{algorithm}={value}") if algorithm != "sha256" else (value, "")
    assert (file.sha256, file.digest) == expected


def test_of_two_entries_with_one_name_the_one_with_a_hash_counts() -> None:
    page = json_page(entry(hashes={}), entry(), entry(hashes={"sha256": "e" * 64}))
    assert [file.sha256 for file in page.files] == [SHA256]
    assert page.problem_count == 2


def test_the_name_of_a_file_is_that_of_its_url_or_its_entry() -> None:
    addresses = ["blob/1#sha256=" + SHA256, "demo-2.0.tar.gz"]
    page = json_page(*[entry(url=address) for address in addresses])
    assert sdists(page) == ["1.0", "2.0"]


def test_links_for_people_are_not_files() -> None:
    links = [
        "#main",
        "mailto:x@example.org",
        "javascript:void(0)",
        "../",
        "http://wiki:port/",
        "a b",
    ]
    body = "<a>none</a>" + "".join(f'<a href="{link}">{link}</a>' for link in links)
    page = html_page(body + '<a href="x/demo-1.0.tar.gz">demo</a>')
    assert [file.filename for file in page.files] == ["demo-1.0.tar.gz"]
    assert page.problems == ()


def test_html_and_json_pages_are_read_alike() -> None:
    page = html_page(
        '<META name="pypi:project-status" content="archived">'
        '<meta name="pypi:project-status-reason" content="done">'
        '<base href="/files/"><base href="/never/">'
        f'<A HREF="demo-1.0.tar.gz#sha256={SHA256.upper()}" data-yanked'
        ' data-requires-python="&gt;=3.9"'
        f' data-dist-info-metadata="sha256={"b" * 64}">text</A>'
    )
    (file,) = page.files
    assert (page.status, page.status_reason) == (ProjectStatus.ARCHIVED, "done")
    assert file.url == "https://index.example/files/demo-1.0.tar.gz"
    assert (file.sha256, file.requires_python, file.yanked) == (SHA256, ">=3.9", "")
    assert file.metadata_sha256 == "b" * 64


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("text/html; charset=utf-16", "utf-16"),
        ("text/html; charset=nonsense", "utf-8"),
        ("text/html; charset=hex", "utf-8"),
        ("text/html; charset=punycode", "utf-8"),  # takes the square of the time
        ("text/html; charset=", "utf-8"),
        ("", "utf-8"),
        ("text/html, text/html", "utf-8"),
        ('Text/HTML;charset="utf-8"', "latin-1"),
    ],
)
def test_a_page_in_any_declared_charset_is_read(declared: str, encoding: str) -> None:
    page = html_page('<a href="demo-1.0.tar.gz">Müller</a>', declared, encoding)
    assert sdists(page) == ["1.0"]


@pytest.mark.parametrize("declared", ["text/plain", "application/octet-stream", "image/png"])
def test_another_content_type_is_rejected(declared: str) -> None:
    with pytest.raises(RejectedError, match="its content type is"):
        html_page("", declared)


def test_a_huge_attribute_is_read_in_time() -> None:
    link = f'<a class="{"x" * 1_000_000}" href="demo-1.0.tar.gz">x</a>'
    assert sdists(html_page(link * 3 + "<!--" + "<" * 10_000)) == ["1.0"]


@given(
    st.text(max_size=30) | st.integers(1, sys.get_int_max_str_digits() * 2).map(lambda n: "1" * n)
)
def test_any_version_text_is_canonical_or_empty(text: str) -> None:
    found = canonical_version(text)
    assert canonical_version(found) == found


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_an_out_of_range_time_is_ignored(time: str) -> None:
    page = json_page(entry(**{"upload-time": time}))
    assert page.files[0].uploaded_at is None
    assert page.problems == ("entry 1 (demo-1.0.tar.gz): its upload-time is not a time; ignored",)
    headers = {"Content-Type": JSON, "Date": "Fri, 31 Dec 9999 23:59:59 GMT", "Age": "9" * 5000}
    page = parse_page("demo", URL, b'{"files": []}', headers)
    assert (page.answered_at, page.age_s) == (None, 0)


def test_a_long_validator_is_dropped() -> None:
    headers = {"Content-Type": JSON, "ETag": "e" * 50_000, "Last-Modified": "m" * 50_000}
    page = parse_page("demo", URL, b'{"files": []}', headers)
    assert (page.etag, page.modified) == ("", "")


def test_a_validator_that_cannot_be_sent_back_is_dropped() -> None:
    headers = {"Content-Type": JSON, "ETag": '"caf\xe9"', "Last-Modified": "\u0661"}
    page = parse_page("demo", URL, b'{"files": []}', headers)
    assert (page.etag, page.modified) == ("", "")
