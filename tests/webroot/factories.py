"""What tests of the tree write into it and look for."""

from pathlib import Path

from piwheels.webroot import Webroot

SHA = "ab" + "0" * 62
OTHER = "ab" + "1" * 62
NAME = "demo-1.0-py3-none-any.whl"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def etag(path: Path) -> tuple[int, int]:
    """What nginx and Apache derive the ETag of a file from."""
    found = path.stat()
    return int(found.st_mtime), found.st_size


def group(tree: Webroot, content: bytes, project: str = "demo") -> list[tuple[Path, bytes]]:
    folder = tree.simple_dir(project)
    return [(folder / "index.v1_json", content + b" json"), (folder / "index.html", content)]


def paths_of_group(tree: Webroot, project: str = "demo") -> list[Path]:
    return [path for path, _ in group(tree, b"", project)]
