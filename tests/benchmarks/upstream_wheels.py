"""How much the policy `missing` saves: python -m tests.benchmarks.upstream_wheels NAME...

Reads the pages of projects from the upstream index that pip uses here, and prints for each platform
how many of their newest releases with an sdist need no build because the upstream has a wheel.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import ProjectPage
from piwheels.index_client.pip_config import pip_index_url
from piwheels.model import Release, Target, UpstreamWheelPolicy
from piwheels.upstream.selection import newest_release, releases_of
from piwheels.upstream.wheels import counting_wheels
from piwheels.wheel.tags import PackagingRules, make_target

RULES = PackagingRules()
_AT_ONCE = 4
#: Raspberry Pi OS and Debian: the system, its Python and its glibc.
_SYSTEMS = (("bookworm", 11, "2.36"), ("trixie", 13, "2.41"))
_ARCHITECTURES = ("x86_64", "aarch64", "armv7l")


def main() -> None:
    """Read pages, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.upstream_wheels")
    parser.add_argument("names", nargs="*", help="projects")
    parser.add_argument("--names-file", type=Path, help="with a project on each line")
    parser.add_argument("--index", default="", help="URL of the index; default: pip's")
    options = parser.parse_args()
    names = [*options.names]
    if options.names_file:
        names += options.names_file.read_text().split()
    pages = asyncio.run(read_pages(options.index or pip_index_url(), names))
    print(table(pages))


async def read_pages(url: str, names: Sequence[str]) -> list[ProjectPage]:
    """The pages of projects; those that cannot be read are left out."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(index: SimpleIndex, name: str) -> ProjectPage | None:
        async with limit:
            try:
                return await index.project(name)
            except (RejectedError, TransientError) as error:
                print(f"{name}: {error}")
                return None

    async with SimpleIndex(url) as index:
        found = await asyncio.gather(*(read(index, name) for name in names))
    return [page for page in found if page is not None]


def table(pages: Sequence[ProjectPage]) -> str:
    """How many releases need no build, by system and architecture."""
    newest = [(page, release) for page in pages if (release := _buildable(page))]
    lines = [
        f"{len(pages)} projects, {len(newest)} whose newest release has an sdist",
        f"{'target':<24}{'wanted':>8}{'upstream has it':>17}{'left to build':>15}",
    ]
    for target in _targets():
        counts = Counter(_need(page, release, target) for page, release in newest)
        wanted = counts["upstream"] + counts["build"]
        share = f" ({counts['upstream'] / wanted:.0%})" if wanted else ""
        upstream = f"{counts['upstream']}{share}"
        lines.append(f"{target.name:<24}{wanted:>8}{upstream:>17}{counts['build']:>15}")
    return "\n".join(lines)


def _targets() -> list[Target]:
    return [
        make_target(
            python_full=f"3.{minor}.2",
            implementation="cp",
            abi=f"cp3{minor}",
            arch=arch,
            os=system,
            glibc=glibc,
        )
        for system, minor, glibc in _SYSTEMS
        for arch in _ARCHITECTURES
    ]


def _buildable(page: ProjectPage) -> Release | None:
    release = newest_release(releases_of(page, seen_at=datetime.now(UTC)))
    return release if release is not None and release.sdist is not None else None


def _need(page: ProjectPage, release: Release, target: Target) -> str:
    """What a release needs for a target: nothing, the upstream's wheel, or a build."""
    if not RULES.allows_python(release.requires_python, target):
        return "excluded"
    covered = any(
        RULES.tag_rank(wheel.compatibility, target) is not None
        and RULES.allows_python(wheel.requires_python, target)
        for wheel in counting_wheels(page, UpstreamWheelPolicy.MISSING)
        if wheel.version == release.version
    )
    return "upstream" if covered else "build"


if __name__ == "__main__":
    main()
