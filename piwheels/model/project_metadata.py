"""Projects as people look for them: what their metadata says, and their entry in the list."""

from piwheels.model.base import Struct


class ProjectMetadata(Struct, frozen=True, kw_only=True):
    """Core metadata (PEP 566) for people: one line each, without control characters.

    Links are `http` and `https` URLs; labels and URLs have the same number of items.
    """

    name: str = ""  # as its authors write it; "" if unknown
    summary: str = ""
    license: str = ""
    link_labels: tuple[str, ...] = ()
    link_urls: tuple[str, ...] = ()

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Label and URL of each link."""
        return tuple(zip(self.link_labels, self.link_urls, strict=True))


class ListedProject(Struct, frozen=True, kw_only=True):
    """A project in the list of all projects that people browse."""

    name: str
    summary: str
    has_wheels: bool


class ProjectListing(Struct, frozen=True, kw_only=True):
    """A project in the search index and in the JSON list of all projects."""

    name: str
    files: int
    downloads: int  # of all time
    recent_downloads: int  # of this month and the one before
