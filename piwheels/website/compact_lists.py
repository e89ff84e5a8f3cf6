"""Sequences of hundreds of thousands of names and rows in little memory (pure).

A list of strings takes some 70 bytes for each of them, one of structs 130.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import overload

from piwheels.model import ProjectListing


class NameList(Sequence[str]):
    """Names, in some 20 bytes each; one is decoded whenever it is read."""

    __slots__ = ("_ends", "_text")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Add a name at the end."""
        self._text += name.encode()
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        return self._text[self._ends[at] : self._ends[at + 1]].decode()


class ProjectTable(Sequence[ProjectListing]):
    """The entries of projects, in some 45 bytes each."""

    __slots__ = ("_downloads", "_files", "_recent_downloads", "names")

    def __init__(self, projects: Iterable[ProjectListing] = ()) -> None:
        self.names = NameList()
        self._files, self._downloads, self._recent_downloads = array("Q"), array("Q"), array("Q")
        for project in projects:
            self.append(project)

    def append(self, project: ProjectListing) -> None:
        """Add an entry at the end."""
        self.names.append(project.name)
        self._files.append(project.files)
        self._downloads.append(project.downloads)
        self._recent_downloads.append(project.recent_downloads)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> ProjectListing: ...
    @overload
    def __getitem__(self, at: slice) -> list[ProjectListing]: ...
    def __getitem__(self, at: int | slice) -> ProjectListing | list[ProjectListing]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return ProjectListing(
            name=self.names[at],
            files=self._files[at],
            downloads=self._downloads[at],
            recent_downloads=self._recent_downloads[at],
        )
