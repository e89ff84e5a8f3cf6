"""Page data for tests: empty, with one of each, and with hostile text."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import msgspec

from piwheels.model import (
    BuildSummary,
    DownloadTotals,
    FailureCause,
    FailureClass,
    FarmTotals,
    FileSummary,
    JobsAhead,
    MemberChange,
    MemberDifference,
    Outcome,
    Patch,
    ProjectDay,
    ProjectDownloads,
    ProjectListing,
    ProjectStatusRow,
    Recipe,
    ReleaseStatusRow,
    Reproduction,
    ReproductionResult,
    Struct,
    TargetStatusRow,
)
from piwheels.release_status import StatusContext
from piwheels.website.charts import Chart, Series
from piwheels.website.page_data import (
    HomeData,
    PackagesData,
    ProjectData,
    Site,
    StatsData,
)

SITE = Site(url="https://wheels.example.org/")
NOW = datetime(2026, 11, 25, 16, 40, tzinfo=UTC)
CP311, CP313 = "cp311-trixie-aarch64", "cp313-trixie-aarch64"
#: Untrusted text.
HOSTILE = (
    "</title><script>alert(1)</script><a href=\"javascript:alert(1)\" onclick='x'>&amp;"
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj\N{ZERO WIDTH SPACE}\x1b[31m\0\n{{ 7 * 7 }}{% raw %}"
)
#: How it is shown.
SHOWN = HOSTILE.translate({ord(char): "\ufffd" for char in "\u202e\u200b\x1b\0\n"})


def a_target(name: str = CP311, **facts: Any) -> TargetStatusRow:
    known: dict[str, Any] = {
        "target": name,
        "target_skip_reason": None,
        "jobs_outdated": False,
        "python_allowed": True,
        "covered_by": None,
        "to_be_rebuilt": None,
        "queued": False,
        "claimed_by": None,
        "claimed_at": None,
        "current_build_id": None,
        "retry_at": None,
        "attempts": 0,
        "last_build_id": None,
        "last_outcome": None,
        "last_reason": None,
        "last_final": False,
        "last_duration_s": None,
    }
    return TargetStatusRow(**(known | facts))


def a_release(version: str = "1.0", *targets: TargetStatusRow, **facts: Any) -> ReleaseStatusRow:
    known: dict[str, Any] = {
        "version": version,
        "has_sdist": True,
        "yanked": None,
        "skip_reason": None,
        "requires_python": ">=3.9",
        "released_at": NOW,
        "targets": targets or (a_target(CP311), a_target(CP313)),
    }
    return ReleaseStatusRow(**(known | facts))


def project_facts(*releases: ReleaseStatusRow, **facts: Any) -> ProjectStatusRow:
    known: dict[str, Any] = {
        "project": "demo",
        "display_name": "Demo",
        "skip_reason": None,
        "status": "active",
        "status_reason": "",
        "releases": releases,
    }
    return ProjectStatusRow(**(known | facts))


def a_wheel(version: str = "1.0", **facts: Any) -> FileSummary:
    known: dict[str, Any] = {
        "filename": f"demo-{version}-cp311-cp311-linux_aarch64.whl",
        "sha256": "ab" * 32,
        "size_bytes": 12_345,
        "metadata_sha256": "cd" * 32,
        "tags": "cp311-cp311-linux_aarch64",
        "requires_python": ">=3.9",
        "debian_packages": (),
        "version": version,
        "build_id": 7,
        "rebuild_requested": False,
        "released_at": NOW,
        "yanked": None,
        "published_at": NOW,
    }
    return FileSummary(**(known | facts))


def an_ended_build(**facts: Any) -> BuildSummary:
    known: dict[str, Any] = {
        "build_id": 7,
        "ended_at": NOW,
        "builder": "pi4-kitchen",
        "project": "demo",
        "version": "1.0",
        "target": CP311,
        "outcome": "built",
        "duration_s": 75.0,
        "reason": "",
        "files": ("demo-1.0-cp311-cp311-linux_aarch64.whl",),
    }
    return BuildSummary(**(known | facts))


def a_project(*releases: ReleaseStatusRow, **content: Any) -> ProjectData:
    facts = content.pop("facts", None) or project_facts(*releases)
    known: dict[str, Any] = {
        "facts": facts,
        "files": (),
        "builds": (),
        "aliases": (),
        "recipes": (),
        "status_context": StatusContext(served_targets=frozenset({CP311, CP313})),
        "written_at": NOW,
        "downloads": project_downloads(),
        "days": (),
        "wheel_downloads": {},
    }
    return ProjectData(**(known | content))


def built_project() -> ProjectData:
    """A project with one wheel that was built and downloaded."""
    built = a_target(
        covered_by=a_wheel().filename,
        last_build_id=7,
        last_outcome=Outcome.BUILT,
        last_duration_s=75.0,
    )
    return a_project(
        a_release(
            "1.0", built, a_target(CP313, queued=True, jobs_ahead=JobsAhead(least=3, most=3))
        ),
        files=(a_wheel(debian_packages=("libfoo1", "libbar2")),),
        builds=(an_ended_build(),),
        aliases=("Demo",),
        downloads=project_downloads(downloads=12, last_30_days=5),
        days=(
            ProjectDay(day=date(2026, 11, 20), downloads=2),
            ProjectDay(day=date(2026, 11, 23), downloads=3),
        ),
        wheel_downloads={a_wheel().filename: 12},
    )


def a_reproduction(**facts: Any) -> Reproduction:
    """A wheel that was built again with another content."""
    changed = MemberDifference(
        member=facts.pop("member", "demo.py"),
        change=MemberChange.CONTENT,
        how=facts.pop("how", "line 1: 'a' became 'b'"),
    )
    known: dict[str, Any] = {
        "reproduction_id": 1,
        "filename": a_wheel().filename,
        "project": "demo",
        "version": "1.0",
        "target": CP311,
        "sha256": a_wheel().sha256,
        "original_builder": "pi1",
        "builder": "pi2",
        "asked_by": "ann@secret",
        "asked_at": NOW,
        "ended_at": NOW,
        "result": ReproductionResult.DIFFERS,
        "rebuilt_sha256": "cd" * 32,
        "differences": (changed,),
    }
    return Reproduction(**(known | facts))


def hostile_project() -> ProjectData:
    """A project with hostile text in every untrusted field."""
    failed = a_target(
        last_build_id=8,
        last_outcome=Outcome.FAILED,
        last_reason=HOSTILE,
        last_final=True,
        last_cause=a_cause(f"header {HOSTILE}", packages=(HOSTILE,)),
    )
    release = a_release(
        "1.0",
        failed,
        a_target(CP313, target_skip_reason=HOSTILE, last_build_id=9, last_outcome=Outcome.FAILED),
        yanked=HOSTILE,
        requires_python=HOSTILE,
    )
    skipped = a_release("0.9", yanked="", skip_reason=HOSTILE)
    name = "x" * 200 + HOSTILE
    return a_project(
        facts=project_facts(
            release,
            skipped,
            project="demo",
            display_name=name,
            status="archived",
            status_reason=HOSTILE,
        ),
        files=(
            a_wheel(
                filename=f"demo-1.0-{HOSTILE}.whl",
                tags=HOSTILE,
                requires_python=HOSTILE,
                debian_packages=(HOSTILE,),
            ),
        ),
        builds=(hostile_build(),),
        aliases=(HOSTILE,),
        recipes=(hostile_recipe(),),
        wheel_downloads={},
        reproductions={
            f"demo-1.0-{HOSTILE}.whl": a_reproduction(
                member=HOSTILE, how=HOSTILE, result=ReproductionResult.FAILED, reason=HOSTILE
            )
        },
    )


def a_cause(*missing: str, packages: tuple[str, ...] = ()) -> FailureCause:
    """Why a build failed that lacked packages."""
    return FailureCause(
        failure_class=FailureClass.MISSING_PACKAGE,
        missing=missing,
        packages=packages,
        line_number=231,
    )


def hostile_recipe() -> Recipe:
    return Recipe(
        project="demo",
        packages=(HOSTILE,),
        constraints=(HOSTILE,),
        environment=((HOSTILE, HOSTILE),),
        patches=(Patch(name=HOSTILE, sha256=HOSTILE, text=HOSTILE),),
        versions=HOSTILE,
        targets=(HOSTILE,),
        skip=HOSTILE,
        contact=HOSTILE,
    )


def hostile_build() -> BuildSummary:
    return an_ended_build(
        project=HOSTILE, version=HOSTILE, target=HOSTILE, outcome=HOSTILE, reason=HOSTILE,
        builder=HOSTILE, files=(HOSTILE,), cause=a_cause(HOSTILE, packages=(HOSTILE,)),
        will_retry=False,
    )  # fmt: skip


def _zeros(struct: type[Struct], **figures: Any) -> dict[str, Any]:
    return {field.name: 0 for field in msgspec.structs.fields(struct)} | figures


def project_downloads(**figures: Any) -> ProjectDownloads:
    return ProjectDownloads(**_zeros(ProjectDownloads, project="demo", **figures))


def download_totals(**figures: Any) -> DownloadTotals:
    known = {"record_date": None, "since": None}
    return DownloadTotals(**_zeros(DownloadTotals, **(known | figures)))


def a_home(**content: Any) -> HomeData:
    known: dict[str, Any] = {
        "farm": farm_totals(),
        "downloads": download_totals(),
        "targets": (),
        "recent": (),
    }
    return HomeData(**_zeros(HomeData, **(known | content)))


def farm_totals(**figures: Any) -> FarmTotals:
    return FarmTotals(**_zeros(FarmTotals, **figures))


def some_stats(*, charts: tuple[Chart, ...] = (), **figures: Any) -> StatsData:
    return StatsData(
        downloads=download_totals(**figures), time_charts=charts, line_charts=(), share_charts=()
    )


def a_chart(key: str = "years", label: str = "2026") -> Chart:
    series = (Series(name="Downloads", values=(3,)),)
    return Chart(key=key, title=f"By {label}", label_heading="Year", labels=(label,), series=series)


def a_listing(name: str = "demo", **facts: Any) -> ProjectListing:
    known: dict[str, Any] = {"files": 3, "downloads": 12, "recent_downloads": 5}
    return ProjectListing(name=name, **(known | facts))


def some_packages(**content: Any) -> PackagesData:
    known: dict[str, Any] = {"projects": 0, "with_wheels": 0, "top": (), "newest": ()}
    return PackagesData(**(known | content))


class Reader(HTMLParser):
    """The elements of a page with their attributes, and the text between."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)

    def only(self, tag: str) -> dict[str, str | None]:
        (found,) = self.all(tag)
        return found

    def meta(self) -> dict[str | None, str | None]:
        return {item["name"]: item["content"] for item in self.all("meta") if "name" in item}

    def links(self) -> list[str]:
        return [attributes["href"] or "" for attributes in self.all("a")]


def assert_harmless(page: bytes) -> Reader:
    """Parse a page, and assert that it has only its own scripts and no event handlers."""
    reader = Reader(page)
    for attributes in reader.all("script"):
        assert (attributes["src"] or "").startswith(
            ("static/", "../static/", "../../static/", "../../../static/", "/static/")
        )
    for tag, attributes in reader.elements:
        assert tag != "style"
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            assert "javascript:" not in (attributes.get(name) or "").lower().replace(" ", "")
    for char in page.decode():
        assert char == "\n" or char.isprintable(), f"{char!r} is hidden"
    return reader
