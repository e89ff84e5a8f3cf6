"""The dpkg database of a root: which packages it has, and whose files are whose."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from piwheels.roots.deb_file import Package, parse_stanza

STATUS_FILE = "var/lib/dpkg/status"
_LISTS_DIR = "var/lib/dpkg/info"


def write_database(root: Path, packages: Iterable[Package]) -> None:
    """Record these packages as installed (dpkg(1), `status` and the file lists)."""
    lists = root / _LISTS_DIR
    lists.mkdir(parents=True, exist_ok=True)
    stanzas = []
    for package in sorted(packages, key=lambda item: item.name):
        first, _, rest = package.control.partition("\n")
        stanzas.append(f"{first}\nStatus: install ok installed\n{rest}")
        suffix = f":{package.arch}" if package.multi_arch_same else ""
        text = "".join(f"{path}\n" for path in package.files)
        (lists / f"{package.name}{suffix}.list").write_text(text, encoding="utf-8")
    (root / STATUS_FILE).write_text("\n".join(stanzas), encoding="utf-8")


def installed_packages(root: Path) -> dict[str, dict[str, str]]:
    """The control fields of each installed package, by name; none without a database."""
    try:
        text = (root / STATUS_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    stanzas = map(parse_stanza, text.split("\n\n"))
    return {
        fields["Package"]: fields
        for fields in stanzas
        if "Package" in fields and fields.get("Status", "").endswith(" installed")
    }


def package_versions(packages: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """`name=version` of each package, sorted."""
    return tuple(sorted(f"{name}={fields.get('Version', '')}" for name, fields in packages.items()))


def owners(root: Path, file_names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(package, path) for each installed file of a root with one of these names."""
    wanted = set(file_names)
    for file in (root / _LISTS_DIR).glob("*.list"):
        package = file.name.removesuffix(".list").partition(":")[0]
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.rpartition("/")[2] in wanted:
                yield package, line
