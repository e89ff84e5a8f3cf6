"""A project page as the index wrote it: fields of any type, not validated yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from piwheels.errors import RejectedError
from piwheels.sanitize import truncate_line

#: The field of JSON's `meta` and the response header that hold a page's serial.
SERIAL_HEADER = "X-PyPI-Last-Serial"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEntry:
    """A file's entry. Fields are what JSON decodes to; HTML attributes are text."""

    label: str  # names the entry in problem reports
    filename: str  # as the entry gives it, "" if it gives none
    url: object
    base_url: str
    keep_unknown: bool  # keep a file whose name is not that of a release
    hashes: object = None  # PEP 691: an object of hex digests by algorithm
    size: object = None
    requires_python: object = None
    upload_time: object = None
    yanked: object = None  # None is not yanked
    core_metadata: object = None
    attestations_url: object = None  # PEP 740


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPage:
    """A page; `entries` may be read once."""

    entries: Iterable[RawEntry | str]  # a text is the problem of an entry that is unusable
    is_index_page: bool  # see ProjectPage
    api_version: object = None
    display_name: object = None
    status: object = None
    status_reason: object = None
    serial: object = None


def unexpected_type(content_type: str) -> RejectedError:
    """The error for a response that is neither JSON nor HTML."""
    return RejectedError(f"its content type is {truncate_line(content_type, 100)!r}")


def first_present(*values: object) -> object:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)
