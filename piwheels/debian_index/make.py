"""Makes the table of a Debian release from the Contents lists of an archive.

    python -m piwheels.debian_index.make bookworm trixie
    python -m piwheels.debian_index.make trixie --mirror https://deb.debian.org/debian

The lists are checked with the checksums of the suite's Release file. The same lists give the same
bytes, so a table that is made again changes only if the archive changed.
"""

import argparse
import gzip
import hashlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from piwheels.debian_index.contents import reduce_contents
from piwheels.debian_index.rules import load_rules
from piwheels.debian_index.table import EntryKind, compress_table
from piwheels.errors import PiwheelsError, RejectedError, TransientError

MIRROR = "https://deb.debian.org/debian"
DATA = Path(__file__).with_name("data")
_COMPONENT = "main"
#: Packages of the other architectures have files of the same names.
_ARCHITECTURES = ("amd64", "all")
_TIMEOUT_S = 60.0


def make_table(mirror: str, suite: str) -> tuple[str, bytes]:
    """The code name of a suite, and the bytes of its table.

    Raises TransientError if the archive does not answer, and RejectedError if a list is not the
    one that its Release file describes.
    """
    base = f"{mirror.rstrip('/')}/dists/{suite}"
    release = _download(f"{base}/Release").decode()
    named = load_rules().packages
    entries = reduce_contents(_read_lists(base, release), named)
    lacking = named - {entry.name for entry in entries if entry.kind is EntryKind.PACKAGE}
    if lacking:
        print(f"{suite} lacks of the rules' packages: {', '.join(sorted(lacking))}")
    codename = re.search(r"^Codename: ([a-z]+)$", release, re.MULTILINE)
    return codename[1] if codename else suite, compress_table(entries)


def _read_lists(base: str, release: str) -> Iterator[str]:
    for architecture in _ARCHITECTURES:
        name = f"{_COMPONENT}/Contents-{architecture}.gz"
        packed = _download(f"{base}/{name}")
        match = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", release, re.MULTILINE)
        if match is None or match[1] != hashlib.sha256(packed).hexdigest():
            raise RejectedError(
                f"{base}/{name} is not the list that {base}/Release describes;"
                " the mirror is being updated, or has no such list"
            )
        with gzip.open(io.BytesIO(packed), "rt", encoding="utf-8") as lines:
            yield from lines


def _download(url: str) -> bytes:
    try:
        response = httpx.get(url, timeout=_TIMEOUT_S, follow_redirects=True)
        return response.raise_for_status().content
    except httpx.HTTPError as error:
        raise TransientError(f"{url} cannot be read: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Make the tables that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m piwheels.debian_index.make",
        description="Make the tables of Debian packages again.",
    )
    parser.add_argument("suites", nargs="+", metavar="SUITE", help="bookworm, trixie, stable")
    parser.add_argument("--mirror", default=MIRROR, help="archive to read (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=DATA, help="folder for the tables")
    options = parser.parse_args(arguments)
    for suite in options.suites:
        try:
            codename, table = make_table(options.mirror, suite)
        except PiwheelsError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        path = options.output / f"{codename}.xz"
        path.write_bytes(table)
        print(f"{path}: {len(table):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
