"""Writes directories of pages, and removes what no longer belongs there."""

from collections.abc import Collection, Mapping
from pathlib import Path

from piwheels.webroot import Webroot, gz_path


def write_pages(webroot: Webroot, folder: Path, pages: Mapping[str, bytes]) -> None:
    """Write all pages that can be written, then raise the first problem."""
    directories = {name: (folder, {name: content}) for name, content in pages.items()}
    for problem in write_folders(webroot, directories).values():
        raise problem


def write_folders(
    webroot: Webroot, folders: Mapping[str, tuple[Path, Mapping[str, bytes]]]
) -> dict[str, OSError]:
    """Write the changed files of named directories, in order; returns problems by name."""
    changed = {
        name: [
            (path, content)
            for path, content in ((folder / file, content) for file, content in pages.items())
            if is_new or not webroot.is_up_to_date(path, content)
        ]
        for name, (folder, pages) in folders.items()
        for is_new in [not folder.is_dir()]  # looking for its files takes as long as writing one
    }
    for name, (folder, pages) in folders.items():
        written = {path for path, _ in changed[name]}
        webroot.discard_temporaries({folder / file for file in pages} - written)
    wanted = {name: pages for name, pages in changed.items() if pages}
    return webroot.write_pages(wanted) if wanted else {}


def remove_folder(webroot: Webroot, folder: Path) -> None:
    """Delete a directory and its files, if it is there."""
    if folder.is_dir():
        webroot.remove(sorted(path for path in folder.iterdir() if path.is_file()))


def remove_others(webroot: Webroot, folder: Path, pattern: str, pages: Collection[str]) -> None:
    """Delete the pages of a directory, by a pattern, that are not among these."""
    gone = [path for path in folder.glob(pattern) if path.name not in pages]
    webroot.remove(path for page in gone for path in (page, gz_path(page)))
