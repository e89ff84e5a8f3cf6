"""Lookups for what real builds reported as missing, on both releases, with the rate."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels.debian_index import load_index, releases
from piwheels.system.os_release import os_codename

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))
RELEASES = ("bookworm", "trixie")


def is_right(found: tuple[str, ...], expected: str | list[str]) -> bool:
    """Whether the preferred package is an expected one; `|` separates beginnings of names."""
    first = found[0] if found else ""
    if isinstance(expected, list):
        return first in expected
    return first == expected or ("|" in expected and first.startswith(tuple(expected.split("|"))))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", CASES)
def test_the_preferred_package_repairs_the_build(kind: str, release: str) -> None:
    index = load_index(release)
    wrong = {
        name: found
        for name, expected in CASES[kind].items()
        if not is_right(found := index.find_packages(kind, name), expected)
    }
    assert not wrong


# --- against the packages that are installed here ---

_FILES = {
    "header": re.compile(r"/usr/include/(?:[^/]*-linux-gnu\w*/)?((?:[^/]+/)?[^/]+\.h)"),
    "library": re.compile(r"/usr/lib/[^/]*-linux-gnu\w*/lib([^/]+)\.so"),
    "pkg-config": re.compile(r"/usr/(?:lib/[^/]+|share)/pkgconfig/([^/]+)\.pc"),
    "program": re.compile(r"/usr/bin/([^/]+-config)"),
}
#: Whatever has the file, another package is what to install.
_NOT_ASKED_FOR = re.compile(r"libc6-dev|linux-libc-dev|libpython3.*|.*-cross|libgcc-.*|libstdc.*")


def installed_files() -> Iterator[tuple[str, str, str]]:
    """Kind, name and package of every file of the -dev packages that are installed."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\\n", "*-dev"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for package in sorted(set(listed.stdout.split())):
        if _NOT_ASKED_FOR.fullmatch(package):
            continue
        files = subprocess.run(
            ["dpkg-query", "-L", package], check=False, capture_output=True, text=True
        )
        for path in files.stdout.splitlines():
            for kind, pattern in _FILES.items():
                if match := pattern.fullmatch(path):
                    yield kind, match[1], package


@pytest.mark.farm
@pytest.mark.skipif(
    shutil.which("dpkg-query") is None or os_codename() not in releases(),
    reason="no Debian release with a table",
)
def test_files_of_installed_packages_are_found_in_them() -> None:
    """One of the candidates is the package for 95 % of the files, and others for at most 3 %."""
    index = load_index(os_codename())
    count = right = wrong = 0
    for kind, name, package in installed_files():
        found = index.find_packages(kind, name)
        count += 1
        right += package in found
        wrong += bool(found) and package not in found
    assert right >= 0.95 * count, f"{right} of {count} right, {wrong} wrong"
    assert wrong <= 0.03 * count, f"{right} of {count} right, {wrong} wrong"
