"""Single pages: empty, with data, with hostile text."""

import gzip
import json
from datetime import UTC, date, datetime
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from msgspec.structs import replace

from piwheels import formatting
from piwheels.model import NamedCount, State
from piwheels.website import (
    assets,
    feeds,
    filters,
    json_documents,
    project_list,
    site_pages,
    sitemaps,
)
from piwheels.website.page_data import Site
from piwheels.website.release_matrix import state_label
from tests.website.factories import (
    HOSTILE,
    SHOWN,
    SITE,
    Reader,
    a_chart,
    a_home,
    a_listing,
    an_ended_build,
    assert_harmless,
    download_totals,
    farm_totals,
    hostile_build,
    some_packages,
    some_stats,
)

SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def test_the_home_page_of_an_empty_farm() -> None:
    reader = assert_harmless(site_pages.home_pages(SITE, a_home())["index.html"])
    assert "pip install --extra-index-url https://wheels.example.org/simple/ PROJECT" in reader.text
    assert (
        "--index-strategy unsafe-best-match --index https://wheels.example.org/simple/ PROJECT"
        in reader.text
    )
    assert "None yet." in reader.text


def test_the_home_page_has_every_figure() -> None:
    home = a_home(
        farm=farm_totals(
            projects=1_234, releases=5_678, files=91_011, files_bytes=5_000_000_000, builds=121_314
        ),
        downloads=download_totals(
            downloads=1_000_000_001, last_30_days=171_819, today=2_021, record_day=1_060_767,
            record_date=date(2022, 10, 4), saved_s=344 * 86400.0, saved_today_s=3 * 3600.0,
        ),
        queued=15, building=16, disk_free_bytes=7_000_000_000,
        targets=("cp313-trixie-aarch64",), recent=(an_ended_build(),),
    )  # fmt: skip
    message = " ".join(Reader(site_pages.home_pages(SITE, home)["index.html"]).text.split())
    for words in (
        "1,234", "5,678 releases", "91,011", "5.0 GB", "121,314", "16 running, 15 queued",
        "1,000,000,001", "171,819", "2,021", "1,060,767", "4 October 2022", "344 days",
        "3 hours today", "7.0 GB", "Raspberry Pi OS 13 (trixie), 64-bit", "1 minute 15 seconds",
    ):  # fmt: skip
        assert words in message


@pytest.mark.parametrize(
    ("url", "trust"),
    [
        ("https://wheels.example.org/", ""),
        ("http://127.0.0.1:8080/", ""),
        ("http://[::1]:8080/", ""),
        ("http://localhost/", ""),
        ("http://wheels.example.org:8080/", "--trusted-host wheels.example.org "),
    ],
)
def test_trusted_host_is_set_for_a_farm_without_tls(url: str, trust: str) -> None:
    site = Site(url=url)
    for page in (
        site_pages.home_pages(site, a_home())["index.html"],
        site_pages.static_pages(site)["faq.html"],
    ):
        text = assert_harmless(page).text
        assert f"pip install {trust}--extra-index-url {url}simple/ " in text
        assert ("pip config set global.trusted-host wheels.example.org" in text) is bool(trust)


def test_the_home_page_is_small() -> None:
    recent = tuple(an_ended_build(build_id=number) for number in range(12))
    assert len(site_pages.home_pages(SITE, a_home(recent=recent))["index.html"]) < 20_000


def test_the_first_paint_of_the_home_page_loads_less_than_20_kb() -> None:
    """The page, and the style and the script that it waits for, as they are sent."""
    recent = tuple(an_ended_build(build_id=number) for number in range(12))
    targets = tuple(f"cp3{n}-{s}-{a}" for n in (9, 11, 13) for s in "abc" for a in "def")
    files = assets.static_files()
    home = site_pages.home_pages(SITE, a_home(recent=recent, targets=targets))["index.html"]
    blocking = [home, files["style.css"], files["site.js"], files["favicon.svg"]]
    assert sum(len(gzip.compress(content, 9)) for content in blocking) < 20_000


def test_hostile_text_stays_text_on_every_single_page() -> None:
    build = hostile_build()
    pages = {
        **site_pages.home_pages(SITE, a_home(recent=(build,), targets=(HOSTILE,))),
        **dict(
            site_pages.packages_pages(
                SITE,
                some_packages(top=(NamedCount(name=HOSTILE, count=1),), newest=(build,)),
                [a_listing(HOSTILE)],
            )
        ),
        **site_pages.stats_pages(SITE, some_stats(charts=(a_chart(label=HOSTILE),))),
    }
    for name in ("index.html", "packages.html", "stats.html"):
        assert SHOWN in assert_harmless(pages[name]).text, name
    assert json.loads(pages["packages-v1.json"])["projects"] == [[HOSTILE, 3, 12]]
    failures = ET.fromstring(feeds.failures_feed(SITE, [build]))
    assert SHOWN in "".join(failures.itertext())
    ((_, urls), _) = sitemaps.sitemap_files(SITE, [HOSTILE])
    addresses = [element.text or "" for element in ET.fromstring(urls).iter(f"{SITEMAP}loc")]
    assert all(address.isascii() and " " not in address for address in addresses)


def test_statistics_have_svg_and_json_for_each_chart() -> None:
    charts = (a_chart("years"), a_chart("months", "2026-11"))
    pages = site_pages.stats_pages(
        SITE, some_stats(charts=charts, downloads=3, since=date(2026, 1, 2))
    )
    reader = assert_harmless(pages["stats.html"])
    assert len(list(reader.all("figure"))) == len(list(reader.all("table"))) == 2
    assert {"stats/years.json", "stats/months.json"} <= set(reader.links())
    assert json.loads(pages["stats/years.json"])["series"][0]["values"] == [3]
    assert set(pages) == {"stats.html", "stats.json", "stats/years.json", "stats/months.json"}


def test_the_pages_of_statistics_and_projects_render_without_data() -> None:
    assert_harmless(site_pages.stats_pages(SITE, some_stats())["stats.html"])
    pages = dict(site_pages.packages_pages(SITE, some_packages(), []))
    assert "No builds yet." in assert_harmless(pages["packages.html"]).text
    assert json.loads(pages["packages-v1.json"])["projects"] == []
    assert json.loads(pages["packages.json"]) == []


ONE_CHART = some_stats(charts=(a_chart(),), record_date=date(2026, 1, 2))
DOCUMENTS = [
    (json_documents.StatsJson, site_pages.stats_pages(SITE, some_stats())["stats.json"]),
    (json_documents.StatsJson, site_pages.stats_pages(SITE, ONE_CHART)["stats.json"]),
    (
        json_documents.PackagesJson,
        json_documents.packages_json([]),
    ),
    (
        json_documents.PackagesJson,
        json_documents.packages_json([("a", 1, 2), ("b", 0, 0)]),
    ),
]


@pytest.mark.parametrize(("kind", "document"), DOCUMENTS)
def test_json_matches_its_schema(kind: type, document: bytes) -> None:
    schema = json_documents.schema(kind)
    jsonschema.validate(json.loads(document), schema, cls=jsonschema.Draft202012Validator)


def test_the_page_about_json_describes_every_field_and_links_the_schemas() -> None:
    pages = site_pages.static_pages(SITE)
    reader = assert_harmless(pages["json.html"])
    for name in ("schema/project.json", "schema/stats.json", "schema/packages.json"):
        assert name in reader.links()
        for struct in json.loads(pages[name])["$defs"].values():
            assert struct["description"].replace("`", "") in reader.text
            assert all(field in reader.text for field in struct["properties"])


@pytest.mark.parametrize(
    ("settings", "link"),
    [
        ({"request_url": "https://example.org/ask"}, "https://example.org/ask"),
        ({"contact": "wheels@example.org"}, "mailto:wheels@example.org"),
        (
            {"contact": "https://example.org/", "request_url": "javascript:x"},
            "https://example.org/",
        ),
    ],
)
def test_the_404_page_tells_how_to_ask_for_a_project(settings: dict[str, str], link: str) -> None:
    site = Site(url="https://wheels.example.org/", **settings)
    reader = assert_harmless(site_pages.static_pages(site)["404.html"])
    assert "nobody has asked this farm for it yet" in reader.text
    assert link in reader.links()


def test_the_404_page_of_a_farm_without_contact_names_the_command() -> None:
    site = Site(url="https://wheels.example.org/", contact="room 12")
    assert "build it: room 12." in Reader(site_pages.static_pages(site)["404.html"]).text
    assert "piw add NAME" in Reader(site_pages.static_pages(SITE)["404.html"]).text


def test_every_page_says_who_runs_the_farm() -> None:
    site = Site(
        url="https://wheels.example.org/",
        name=f"Farm {HOSTILE}",
        operator=HOSTILE,
        contact=HOSTILE,
        notice="Maintenance on Friday",
    )
    pages = {**site_pages.static_pages(site), **site_pages.home_pages(site, a_home())}
    for name, page in pages.items():
        if name.endswith(".html"):
            text = assert_harmless(page).text
            assert f"This farm is run by {SHOWN}." in text, name
            assert "Maintenance on Friday" in text, name
            assert text.count(f"Farm {SHOWN}") >= 2, name


def test_the_404_page_has_urls_that_work_at_any_path() -> None:
    reader = assert_harmless(site_pages.static_pages(SITE)["404.html"])
    local = [link for link in reader.links() if not link.startswith("#")]
    assert local
    assert all(link.startswith("/") for link in local)


def test_the_404_page_tells_why_a_project_has_none() -> None:
    text = Reader(site_pages.static_pages(SITE)["404.html"]).text
    assert "nobody has asked this farm for it yet" in text
    assert "A project that the farm was asked for has a page" in text


def test_the_faq_renders() -> None:
    assert "libfoo" not in assert_harmless(site_pages.static_pages(SITE)["faq.html"]).text


def test_robots_txt_allows_pages_and_names_the_sitemap() -> None:
    robots = site_pages.static_pages(SITE)["robots.txt"].decode()
    assert "Sitemap: https://wheels.example.org/sitemap.xml" in robots
    assert "Disallow: /packages/" in robots


# --- sitemaps ---


@pytest.mark.parametrize("count", [0, 1, sitemaps.MAX_URLS, 3 * sitemaps.MAX_URLS])
def test_sitemaps_list_every_page_once(count: int) -> None:
    names = [f"project-{number}" for number in range(count)]
    files = dict(sitemaps.sitemap_files(SITE, names))
    index = ET.fromstring(files.pop("sitemap.xml"))
    assert index.tag == f"{SITEMAP}sitemapindex"
    assert [element.text for element in index.iter(f"{SITEMAP}loc")] == [
        f"https://wheels.example.org/{name}" for name in files
    ]
    addresses: list[str] = []
    for content in files.values():
        part = [element.text or "" for element in ET.fromstring(content).iter(f"{SITEMAP}loc")]
        assert 0 < len(part) <= 50_000
        assert len(content) <= 50 * 2**20
        addresses += part
    lists = list(project_list.list_files(names))
    assert len(addresses) == len(set(addresses)) == count + 5 + len(lists)
    assert "https://wheels.example.org/projects/p.html" in addresses
    if names:
        assert "https://wheels.example.org/project/project-0/" in addresses


# --- text ---


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (-3, "0 seconds"), (0.4, "0 seconds"), (1, "1 second"), (59, "59 seconds"),
        (61, "1 minute 1 second"), (3600, "1 hour"), (12 * 3600 + 59, "12 hours"),
        (2 * 86400 + 3600, "2 days 1 hour"), (400 * 86400, "1 year 35 days"),
        (5000 * 365 * 86400, "5,000 years"),
    ],
)  # fmt: skip
def test_durations_use_the_largest_units(seconds: float, message: str) -> None:
    assert formatting.spell_duration(seconds) == message


def test_invisible_characters_are_marked() -> None:
    assert (
        filters.mark_invisible("a\u202eb\u200b\x07\ud800\uffff c")
        == "a\ufffdb\ufffd\ufffd\ufffd\ufffd c"
    )
    assert filters.mark_invisible("Grüße, 世界 🐍") == "Grüße, 世界 🐍"


def test_the_url_of_a_log_matches_its_path() -> None:
    assert filters.log_path(7) == "logs/0000/0007/7.txt"
    assert filters.log_path(1_234_567_890) == "logs/123456/7890/1234567890.txt"


def test_times_are_formatted_in_utc() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (formatting.format_utc_minute(moment), formatting.format_rfc3339(moment)) == (
        "2026-01-02 03:04",
        "2026-01-02T03:04:05Z",
    )


def test_nouns_are_singular_or_plural() -> None:
    home = a_home(
        farm=farm_totals(projects=1, releases=1, files=1, builds=1),
        downloads=download_totals(downloads=1),
    )
    message = " ".join(Reader(site_pages.home_pages(SITE, home)["index.html"]).text.split())
    for words in ("project1", "wheel1", "build1", "download1", "1 release "):
        assert words in message
    assert formatting.noun(2, "release") == "releases"


@pytest.mark.parametrize(
    ("operator", "message"),
    [("Anna & Ben", "Anna & Ben."), ("", "Its operators have not said so here.")],
)
def test_the_faq_lists_its_questions_and_says_who_runs_the_farm(
    operator: str, message: str
) -> None:
    page = site_pages.static_pages(replace(SITE, operator=operator))["faq.html"]
    reader = assert_harmless(page)
    questions = [heading["id"] for heading in reader.all("h2")]
    local = [link[1:] for link in reader.links() if link[0] == "#" and link != "#main"]
    assert list(dict.fromkeys(local)) == questions
    assert f"Who runs this farm?\n{message}" in reader.text


@pytest.mark.parametrize("state", State)
def test_the_faq_explains_every_state_that_a_project_page_shows(state: State) -> None:
    page = site_pages.static_pages(SITE)["faq.html"].decode()
    label, style = state_label(state)
    if state is State.COVERED:
        label, style = "wheel", "covered"
    assert f'<span class="state {style}">{label}</span>' in page


@pytest.mark.parametrize(
    ("contact", "request_url", "request_link", "contact_link"),
    [
        ("a@example.org", "https://a.example.org/new", "https://a.example.org/new",
         "mailto:a@example.org"),
        ("a@example.org", "", "mailto:a@example.org", "mailto:a@example.org"),
        ("", "", None, None),
        ("the office", "", None, None),
    ],
)  # fmt: skip
def test_the_faq_says_whom_to_ask_and_whom_to_tell(
    contact: str, request_url: str, request_link: str | None, contact_link: str | None
) -> None:
    site = replace(SITE, contact=contact, request_url=request_url)
    page = site_pages.static_pages(site)["faq.html"].decode()
    for key, address in (("request", request_link), ("report", contact_link)):
        answer = Reader(_section(page, key).encode())
        outside = [link for link in answer.links() if link.startswith(("https:", "mailto:"))]
        assert outside == ([address] if address else [])
        if contact == "the office":
            assert contact in answer.text
    if not contact:
        assert "have not said here how to reach them" in _section(page, "report")


def test_the_faq_says_how_a_wheel_is_verified() -> None:
    answer = _section(site_pages.static_pages(SITE)["faq.html"].decode(), "verify")
    assert "piw verify https://wheels.example.org/packages/" in answer
    assert "json.html#provenance" in answer


def _section(page: str, key: str) -> str:
    """The answer to a question of the FAQ."""
    return page.partition(f'<h2 id="{key}">')[2].partition("</section>")[0]


def test_every_page_leads_to_the_answers_about_missing_and_wrong_wheels() -> None:
    pages = {**site_pages.home_pages(SITE, a_home()), **site_pages.static_pages(SITE)}
    anchors = {
        name: {attributes.get("id") for _, attributes in Reader(pages[name]).elements}
        for name in ("faq.html", "json.html")
    }
    for name, page in pages.items():
        if not name.endswith(".html"):
            continue
        links = [link.removeprefix("/") for link in Reader(page).links()]
        assert {"faq.html#missing", "faq.html#report", "faq.html#trust", "json.html#feeds"} <= {
            *links
        }
        for link in links:
            file, hash_sign, anchor = link.partition("#")
            assert not hash_sign or file not in anchors or anchor in anchors[file], link


def test_the_search_says_how_to_ask_for_what_it_does_not_find() -> None:
    home = Reader(site_pages.home_pages(SITE, a_home())["index.html"])
    assert "faq.html#request" in home.links()


def test_no_line_of_a_command_ends_within_an_option() -> None:
    page = site_pages.home_pages(SITE, a_home())["index.html"].decode()
    assert '<span class="nowrap">--extra-index-url</span> https://wheels.example.org/' in page
    assert "pip install --extra-index-url https://wheels.example.org/simple/ PROJECT" in (
        Reader(page.encode()).text
    )
