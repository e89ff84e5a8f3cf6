"""Archives and what is in them: wheels, ELF files, sdists, Debian packages, backups."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

from piwheels.backup import archive
from piwheels.errors import RejectedError
from piwheels.roots import apt
from piwheels.roots.alternatives import choose_links, read_alternatives
from piwheels.roots.deb_file import unpack
from piwheels.roots.dpkg_status import STATUS_FILE, installed_packages, package_versions
from piwheels.roots.library_packages import base_system
from piwheels.wheel import elf, elf_comparison
from piwheels.wheel.comparison import compare_wheels
from piwheels.wheel.completeness import wheel_contents
from piwheels.wheel.inspect import inspect_wheel, manylinux_platform
from piwheels.wheel.isolated_read import _upstream_wheel
from piwheels.wheel.project_metadata import project_metadata
from piwheels.wheel.sdist import has_compiled_sources, read_sdist
from tests.fuzz.scratch import as_text, empty_folder, scratch_file
from tests.fuzz.target import Target
from tests.roots import debs
from tests.wheel import factories

_TAGS = "cp313-cp313-linux_x86_64"
_INFO = "demo-1.0.dist-info"
_LIBRARY = "demo/_core.so"
_METADATA = b"""Metadata-Version: 2.4
Name: demo
Version: 1.0
Summary: A =?utf-8?q?demo?=
Home-page: https://demo.example
License-Expression: MIT
Classifier: License :: OSI Approved :: MIT License
Project-URL: Source, https://demo.example/source
Requires-Python: >=3.7
Requires-Dist: other>=1; extra == "x"

Text.
"""
_CONTROL = b"""Package: sample
Version: 1-1
Architecture: all
Depends: libc6 (>= 2.36), python3:any | python3
Priority: required
Description: short
 long
"""
_POSTINST = b"""#!/bin/sh
dir=/usr/bin
update-alternatives --install $dir/editor editor ${dir}/vim 30 \\
  --slave /usr/share/man/editor editor.1 /usr/share/man/vim.1
"""
_APT_OUTPUT = b"""'http://deb.example/pool/a_1.deb' a_1.deb 1200 SHA256:aa
E: Failed to fetch http://deb.example/dists/trixie/InRelease
"""


def _native(**members: bytes) -> dict[str, bytes]:
    files = {_LIBRARY: factories.elf(), "demo/__init__.py": b""}
    return factories.wheel_members(tags=_TAGS, files=files) | members


def _wheel_bytes(members: dict[str, bytes]) -> bytes:
    path = scratch_file(b"", f"demo-1.0-{_TAGS}.whl")
    return factories.write_zip(path, members).read_bytes()


def _wheel(data: bytes) -> object:
    info = inspect_wheel(scratch_file(data, f"demo-1.0-{_TAGS}.whl"))
    return manylinux_platform(info)


def _wheel_with(member: str) -> Callable[[bytes], object]:
    """A wheel that is valid except for the content of one member."""

    def parse(data: bytes) -> object:
        members = _native(**{member: data})
        if not member.endswith("RECORD"):
            members = factories.with_record(members)
        return _wheel(_wheel_bytes(members))

    return parse


def _member(name: str) -> Callable[[], Sequence[bytes]]:
    return lambda: [_native()[name]]


def _elf_seeds() -> Sequence[bytes]:
    return [
        factories.elf(soname="libdemo.so.1", versions=("GLIBC_2.17", "CXXABI_1.3")),
        factories.elf(factories.EM_ARM, bits=32, flags=0x400, attributes={6: 10, 10: 3, 12: 1}),
    ]


def _sdist(data: bytes) -> object:
    path = scratch_file(data)
    return read_sdist("demo", path), has_compiled_sources(path)


def _tar(mode: str, *, pax: bool = False) -> bytes:
    stream = io.BytesIO()
    form = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=stream, mode=f"w{mode}", format=form) as tar:  # type: ignore[call-overload]
        for name in ("demo-1.0/demo.py", "demo-1.0/demo.egg-info/top_level.txt"):
            member = tarfile.TarInfo(name)
            member.size = 5
            member.pax_headers = {"comment": "long"} if pax else {}
            tar.addfile(member, io.BytesIO(b"demo\n"))
        tar.addfile(debs.link("demo-1.0/link", "demo.py"))
        tar.addfile(debs.link("demo-1.0/hard", "demo-1.0/demo.py", hard=True))
    return stream.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    return factories.write_zip(scratch_file(b"", "some.zip"), files).read_bytes()


def _deb(data: bytes) -> object:
    return unpack(scratch_file(data, "sample.deb"), empty_folder())


def _deb_around(data: bytes) -> object:
    """A package that is valid except for its tar file of files."""
    control = scratch_file(b"", "whole.deb")
    debs.make_deb(control, [], control=_CONTROL.decode())
    head = control.read_bytes().partition(b"data.tar")[0]
    return _deb(head + debs._ar_member("data.tar", data))


def _whole_deb() -> Sequence[bytes]:
    members = [debs.folder("./usr"), debs.regular("./usr/x"), debs.link("./lib", "usr/lib")]
    path = debs.make_deb(scratch_file(b"", "seed.deb"), members, control=_CONTROL.decode())
    return [path.read_bytes()]


def _dpkg_status(data: bytes) -> object:
    root = empty_folder("root")
    (root / STATUS_FILE).parent.mkdir(parents=True)
    (root / STATUS_FILE).write_bytes(data)
    packages = installed_packages(root)
    return package_versions(packages), base_system(packages)


def _apt_output(data: bytes) -> object:
    text = data.decode(errors="replace")
    apt._follow(io.BytesIO(data), lambda fraction: None)
    return apt._package_files(text), apt._error(text)


_WHEELS_CSV = b"demo,demo-1.0-py3-none-any.whl," + b"ab" * 32 + b",1200\n"
_KEPT_MEMBERS = {archive.DATABASE: b"PGDMP", archive.WHEELS: _WHEELS_CSV}


def _backup(data: bytes) -> object:
    with archive.open_archive(scratch_file(data, "farm.zip")) as opened:
        opened.key_members()
        opened.check()
        return list(opened.wheels())


def _backup_with(name: str) -> Callable[[bytes], object]:
    """An archive with one member replaced, and a manifest that agrees with it otherwise."""
    return lambda data: _backup(_backup_bytes({name: data}))


def _backup_bytes(changed: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    contents = {**_KEPT_MEMBERS, **changed}
    return _zip({archive.MANIFEST: _manifest(contents), **contents})


def _manifest(contents: Mapping[str, bytes]) -> bytes:
    members = tuple(
        archive.Member(
            name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), mode=0o600
        )
        for name, data in contents.items()
        if name != archive.MANIFEST
    )
    return msgspec.json.encode(
        archive.Manifest(
            format=archive.FORMAT, program_version="1.0", schema_version=1, postgres_version=17,
            created_at=datetime(2026, 1, 1, tzinfo=UTC), epoch=1, config_file="/etc/x.toml",
            wheels=1, wheel_bytes=1200, members=members,
        )
    )  # fmt: skip


def _members(data: bytes) -> object:
    return wheel_contents(as_text(data).split("\n"))


def _comparison(data: bytes) -> object:
    """A wheel that was built again, compared with the published one."""
    published = scratch_file(_wheel_bytes(_native()), "published.whl")
    return compare_wheels(published, scratch_file(data, "rebuilt.whl"))


def _elf_comparison(data: bytes) -> str:
    found = elf_comparison.describe(io.BytesIO(factories.elf()), io.BytesIO(data))
    assert found.isprintable()
    return found


_WHEEL_MEMBERS = (
    ("wheel-metadata", "METADATA"),
    ("wheel-wheel", "WHEEL"),
    ("wheel-record", "RECORD"),
)

ARCHIVE_TARGETS = (
    Target("wheel", _wheel, (RejectedError,), lambda: [_wheel_bytes(_native())]),
    *(
        Target(
            name, _wheel_with(f"{_INFO}/{member}"), (RejectedError,), _member(f"{_INFO}/{member}")
        )
        for name, member in _WHEEL_MEMBERS
    ),
    Target("wheel-elf", _wheel_with(_LIBRARY), (RejectedError,), lambda: _elf_seeds()[:1]),
    Target("elf", lambda data: elf.read(io.BytesIO(data)), (), _elf_seeds),
    Target(
        "wheel-comparison",
        _comparison,
        (RejectedError,),
        lambda: [_wheel_bytes(_native()), _wheel_bytes(_native(**{_LIBRARY: b"\x7fELF"}))],
    ),
    Target("elf-comparison", _elf_comparison, (), _elf_seeds),
    Target("project-metadata", project_metadata, (), lambda: [_METADATA]),
    Target(
        "upstream-wheel-end",
        lambda data: _upstream_wheel(("demo-1.0-py3-none-any.whl", data)),
        (),
        lambda: [_wheel_bytes(_native())],
    ),
    Target(
        "wheel-member-names", _members, (), lambda: [b"demo/a.py\ndemo.data/purelib/b.so\nx.pth"]
    ),
    Target(
        "sdist",
        _sdist,
        (),
        lambda: [_tar(":gz"), _tar(":", pax=True), _tar(":xz"), _zip({"demo-1.0/demo.c": b"x"})],
    ),
    Target("deb", _deb, (RejectedError,), _whole_deb),
    Target("deb-files", _deb_around, (RejectedError,), lambda: [_tar(":"), _tar(":", pax=True)]),
    Target("dpkg-status", _dpkg_status, (), lambda: [_CONTROL + b"Status: install ok installed\n"]),
    Target("apt-output", _apt_output, (), lambda: [_APT_OUTPUT, b"dlstatus:1:33.2:Retrieving\n"]),
    Target(
        "maintainer-script",
        lambda data: choose_links(read_alternatives(data.decode(errors="replace"))),
        (),
        lambda: [_POSTINST],
    ),
    Target("backup", _backup, (archive.BackupError,), lambda: [_backup_bytes()]),
    Target(
        "backup-manifest",
        _backup_with(archive.MANIFEST),
        (archive.BackupError,),
        lambda: [_manifest(_KEPT_MEMBERS)],
    ),
    Target(
        "backup-wheels",
        _backup_with(archive.WHEELS),
        (archive.BackupError,),
        lambda: [_WHEELS_CSV],
    ),
)
