"""Wheels that the farm publishes, and the pages of its index that list them."""

import re
from datetime import datetime

from piwheels.model.base import Struct
from piwheels.model.releases import ProjectStatus
from piwheels.model.targets import WheelCompatibility


def build_tag_number(filename: str) -> int:
    """The number of a wheel's build tag (PEP 427); 0 without one, or with one beyond 32 bits."""
    parts = filename.split("-")
    digits = re.match(r"\d+", parts[2]) if len(parts) == 6 else None
    return int(digits[0]) if digits and len(digits[0]) < 10 else 0


class DistributionFile(Struct, frozen=True, kw_only=True):
    """A wheel in the web root, at packages/<sha256[:2]>/<sha256>/<filename>."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str  # of <filename>.metadata (PEP 658)
    requires_python: str = ""


class WheelFile(DistributionFile, frozen=True, kw_only=True):
    """A wheel as its build made it, before it is in the database."""

    compatibility: WheelCompatibility
    debian_packages: tuple[str, ...] = ()  # Debian packages that its ELF files need
    has_provenance: bool = False  # a statement of how it was built is beside it
    mirrored_from: str | None = None  # the file on the upstream index; None: it is no mirrored one
    uploaded_at: datetime | None = None  # of a mirrored one, to the upstream; None: unknown
    attestations_url: str = ""  # of a mirrored one, on the upstream index (PEP 740)

    @property
    def build_tag(self) -> int:
        """The number of its build tag (PEP 427), by which installers choose; 0 without one."""
        return build_tag_number(self.filename)


class IndexEntry(DistributionFile, frozen=True, kw_only=True):
    """A wheel as its project's index page lists it: only what changes that page."""

    version: str
    #: Of the upstream release, or of the mirrored file (PEP 700 upload-time).
    released_at: datetime
    yanked: str | None  # PEP 592
    attestations_url: str = ""  # of a mirrored wheel (PEP 740); "" for none


class FileSummary(IndexEntry, frozen=True, kw_only=True):
    """A wheel as its project's page for people shows it."""

    tags: str  # the tag part of its file name
    glibc: str = ""  # the oldest that it works with; "" if it needs none
    debian_packages: tuple[str, ...]
    build_id: int
    built_for: str = ""  # the target of that build
    has_provenance: bool = False  # a statement of how it was built is beside it
    rebuild_requested: bool
    mirrored_from: str | None = None  # the file on the upstream index; None: it is no mirrored one
    published_at: datetime


class IndexPage(Struct, frozen=True, kw_only=True):
    """The content of a project's index page."""

    project: str
    status: ProjectStatus
    status_reason: str
    files: tuple[IndexEntry, ...]  # by version, then name
