"""The single pages of the website: home, projects, statistics, FAQ, JSON, 404."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from piwheels.model import ProjectListing, projection
from piwheels.website import charts, compatible_json, html, json_documents
from piwheels.website.page_data import HomeData, PackagesData, Site, StatsData
from piwheels.website.platforms import platform_matrix
from piwheels.website.project_list import GROUPS, page_file
from piwheels.website.sitemaps import robots_txt

_DOCUMENTS = (
    ("project/<name>/v1.json", json_documents.ProjectJson),
    ("stats.json", json_documents.StatsJson),
    ("packages-v1.json", json_documents.PackagesJson),
)


def home_pages(site: Site, content: HomeData) -> dict[str, bytes]:
    """The home page."""
    return {
        "index.html": html.render(
            "home.html",
            root="",
            site=site,
            content=content,
            matrix=platform_matrix(content.targets),
        )
    }


def packages_pages(
    site: Site, content: PackagesData, listed: Sequence[ProjectListing]
) -> Iterator[tuple[str, bytes]]:
    """The lists of all projects as JSON, and the page of projects, one after the other."""
    yield (
        "packages.json",
        compatible_json.packages_json(
            (item.name, item.recent_downloads, item.downloads) for item in listed
        ),
    )
    yield (
        "packages-v1.json",
        json_documents.packages_json((item.name, item.files, item.downloads) for item in listed),
    )
    yield (
        "packages.html",
        html.render(
            "packages.html",
            root="",
            site=site,
            content=content,
            groups=_group_files(),
        ),
    )


def _group_files() -> list[tuple[str, str]]:
    """The groups of the list of all projects, and the first page of each."""
    return [(name, page_file(name, 1)) for name in GROUPS]


def stats_pages(site: Site, content: StatsData) -> dict[str, bytes]:
    """The statistics: a page, a JSON document, and a JSON file for each chart."""
    kinds = (
        (charts.column_chart, content.time_charts),
        (charts.line_chart, content.line_charts),
        (charts.bar_chart, content.share_charts),
    )
    every = [chart for _, group in kinds for chart in group]
    pictures = {
        chart.key: draw(chart, json_url=_chart_file(chart))
        for draw, group in kinds
        for chart in group
    }
    document = projection(
        json_documents.StatsJson,
        content.downloads,
        format=json_documents.FORMAT_VERSION,
        saved_s=round(content.downloads.saved_s, 1),
        charts={chart.title: f"{site.url}{_chart_file(chart)}" for chart in every},
    )
    return {
        **{_chart_file(chart): charts.to_json(chart) + b"\n" for chart in every},
        "stats.json": json_documents.encode(document),
        "stats.html": html.render(
            "stats.html", root="", site=site, content=content, pictures=pictures
        ),
    }


def _chart_file(chart: charts.Chart) -> str:
    return f"stats/{chart.key}.json"


def static_pages(site: Site) -> dict[str, bytes]:
    """The pages that change only with the version of piwheels."""
    schemas = {name: json_documents.schema(kind) for name, kind in _DOCUMENTS}
    return {
        "robots.txt": robots_txt(site),
        # It is served at any URL.
        "404.html": html.render("404.html", root=urlsplit(site.url).path or "/", site=site),
        "find.html": html.render("find.html", root="", site=site, groups=_group_files()),
        "faq.html": html.render("faq.html", root="", site=site),
        **{
            _schema_file(name): msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
            for name, schema in schemas.items()
        },
        "json.html": html.render(
            "json.html",
            root="",
            site=site,
            documents=[
                {
                    "name": name,
                    "kind": kind.__name__,
                    "schema": _schema_file(name),
                    "structs": _describe_schema(schemas[name], kind.__name__),
                }
                for name, kind in _DOCUMENTS
            ],
        ),
    }


def _schema_file(name: str) -> str:
    word = name.replace("-", "/").partition("/")[0].partition(".")[0]
    return f"schema/{word}.json"


def _describe_schema(schema: dict[str, Any], first: str) -> list[dict[str, Any]]:
    """The structs of a schema, the outermost first, with their fields and types."""
    found = schema["$defs"]
    order = [first, *(name for name in found if name != first)]
    return [
        {
            "name": name,
            "what": found[name].get("description", "").replace("`", ""),
            "fields": [
                (field, _type_markup(described), described.get("description", ""))
                for field, described in found[name]["properties"].items()
            ],
        }
        for name in order
    ]


def _type_markup(schema: dict[str, Any]) -> Markup:
    """A type in words, linked to the struct that it names."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_type_markup(item) for item in schema["anyOf"])
    if schema.get("type") == "array" and "prefixItems" in schema:
        items = Markup(", ").join(_type_markup(item) for item in schema["prefixItems"])
        return Markup("[{}]").format(items)
    if schema.get("type") == "array":
        return Markup("array of {}").format(_type_markup(schema.get("items", {})))
    if "additionalProperties" in schema and schema.get("type") == "object":
        return Markup("object of {}").format(_type_markup(schema["additionalProperties"]))
    type_name = str(schema.get("type", "anything"))
    if "format" in schema:
        return Markup("{} ({})").format(type_name, schema["format"])
    return Markup("{}").format(type_name)
