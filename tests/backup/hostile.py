"""Archives that somebody changed, with a manifest that fits."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from piwheels.backup.archive import MANIFEST, Manifest, Member


def changed_archive(file: Path, contents: Mapping[str, bytes], mode: int = 0o777) -> Path:
    """Replace or add members of an archive; they have this mode and their right hash."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = msgspec.json.decode(members.pop(MANIFEST), type=Manifest)
    kept = [member for member in manifest.members if member.name not in contents]
    new = [
        Member(
            name=name,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            mode=mode,
        )
        for name, content in contents.items()
    ]
    manifest = msgspec.structs.replace(manifest, members=(*kept, *new))
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, **contents}.items():
            archive.writestr(name, content)
        archive.writestr(MANIFEST, msgspec.json.encode(manifest))
    return file
