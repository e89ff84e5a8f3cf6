"""A project's page of a Simple API index, after parsing."""

from datetime import datetime

from piwheels.index_client.filenames import FileKind
from piwheels.model import ProjectStatus, Struct

__all__ = ["FileKind", "IndexFile", "ProjectPage"]


class IndexFile(Struct, frozen=True, kw_only=True):
    """A file of any kind as a project's page lists it; a `Sdist` is what is stored of one."""

    filename: str
    url: str  # absolute, without credentials and fragment
    kind: FileKind
    version: str  # canonical (PEP 440); "" if the name has no valid one
    sha256: str = ""  # lower-case hex; "" if the index gives none
    digest: str = ""  # "md5=<hex>": the strongest hash that the index gives, if it is not sha256
    size_bytes: int | None = None  # PEP 700
    requires_python: str = ""  # PEP 503's data-requires-python; "" allows every Python
    uploaded_at: datetime | None = None  # PEP 700 upload-time
    yanked: str | None = None  # PEP 592: None is not yanked, "" is yanked without a reason
    metadata_sha256: str = ""  # PEP 714 core-metadata; "" if none with a sha256 is offered
    attestations_url: str = ""  # PEP 740; "" for none


class ProjectPage(Struct, frozen=True, kw_only=True):
    """A project's page."""

    project: str  # normalized (PEP 503)
    display_name: str  # as the index spells it
    files: tuple[IndexFile, ...]
    status: ProjectStatus = ProjectStatus.ACTIVE  # PEP 792
    status_reason: str = ""
    serial: int | None = None  # the index's last serial for this project, where it has one
    etag: str = ""
    modified: str = ""  # Last-Modified, as the index spells it
    answered_at: datetime | None = None  # by the clock of the index (Date)
    age_s: int = 0  # how long a cache may have held it since
    #: JSON, or HTML with pypi's meta elements (PEP 629, 792): an empty list of files is meant then.
    is_index_page: bool = True
    problems: tuple[str, ...] = ()  # the first MAX_PROBLEMS problems, one line each
    problem_count: int = 0
