"""A project's pages on several platforms, without a farm."""

from pathlib import Path

from piwheels.model import Outcome, ProjectMetadata, ReleaseStatusRow
from piwheels.webroot import Webroot
from piwheels.website import assets, search_files, site_pages
from piwheels.website.project_page import render_project
from tests.website.factories import (
    SITE,
    a_home,
    a_listing,
    a_project,
    a_release,
    a_target,
    a_wheel,
    some_packages,
)

BULLSEYE, BOOKWORM, TRIXIE = (
    "cp39-bullseye-armv7l",
    "cp311-bookworm-aarch64",
    "cp313-trixie-aarch64",
)
TARGETS = (BULLSEYE, BOOKWORM, TRIXIE)
RELEASES = 45
#: A word without a place for a line break.
ABOUT = ProjectMetadata(name="demo", summary="x" * 180)


def write_platform_pages(root: Path) -> Path:
    """Write the pages of project `demo` and the home page; trixie lacks the newest release."""
    webroot = Webroot(root)
    assets.write(webroot)
    releases = [_release(number) for number in range(RELEASES, 0, -1)]
    files = tuple(
        a_wheel(release.version, filename=target.covered_by)
        for release in releases
        for target in release.targets
        if target.covered_by
    )
    demo = a_project(*releases, files=files, metadata=ABOUT)
    pages = {
        **{f"project/demo/{name}": content for name, content in render_project(SITE, demo).items()},
        **site_pages.home_pages(SITE, a_home(targets=TARGETS)),
        **site_pages.static_pages(SITE),
        **dict(site_pages.packages_pages(SITE, some_packages(), [a_listing()])),
    }
    for name, content in pages.items():
        webroot.write_page(root / name, content)
    search_files.write_search_files(webroot, [("demo", 5)])
    search_files.write_word_files(webroot, [])
    return root


def _release(number: int) -> ReleaseStatusRow:
    version = f"{number}.0"
    failed = a_target(
        TRIXIE, last_build_id=5, last_outcome=Outcome.FAILED, last_final=True, last_reason="no rust"
    )
    built = [
        a_target(target, covered_by=f"demo-{version}-{target.replace('-', '_')}.whl")
        for target in TARGETS
    ]
    return a_release(version, *built[:2], failed if number == RELEASES else built[2])
