"""Facts, wheels and keys for tests of statements."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from piwheels.model import Sdist
from piwheels.provenance.public_keys import PublicKey
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import BuildFacts, Subject
from piwheels.provenance.writer import StatementWriter
from piwheels.webroot import Webroot

WHEEL = Subject(name="demo-1.0-py3-none-any.whl", sha256=hashlib.sha256(b"wheel").hexdigest())
ROOT_KEY, LAYER_KEY, FILE_HASH = ("12" * 32, "34" * 32, "56" * 32)
FACTS = BuildFacts(
    build_id=7,
    project="demo",
    version="1.0",
    target="cp313-trixie-aarch64",
    builder="pi1",
    sdist=Sdist(
        filename="demo-1.0.tar.gz",
        url="https://user:secret@index.example/files/demo-1.0.tar.gz?token=secret#md5=1",
        sha256="ab" * 32,
    ),
    started_at=datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC),
    finished_at=datetime(2026, 11, 30, 12, 5, tzinfo=UTC),
    build_inputs=(
        f"root trixie-arm64 {ROOT_KEY} emulated trixie Sat, 15 Nov; trixie-security Sun",
        f"layer {LAYER_KEY}",
        "deb libtiff-dev=4.7.0-3",
        "python 3.13.5 cp313",
        f"source {'ab' * 32} demo-1.0.tar.gz",
        "path /opt/tools",
        "installed pip-26.0",
        "recipe (written) of demo",
        "recipe: packages libtiff-dev",
        "try 1: index of today: unknown",
        f"{FILE_HASH} setuptools-84.2.1-py3-none-any.whl",
    ),
    added_packages=("libtiff-dev",),
)


def make_writer(folder: Path) -> StatementWriter:
    """A writer with keys and a web root of its own."""
    return StatementWriter(
        SigningKeys(folder / "keys"), Webroot(folder / "www"), "https://wheels.example/"
    )


def trusted(writer: StatementWriter) -> dict[str, PublicKey]:
    """The keys that a farm publishes."""
    return {key.keyid: key for key in writer.publish_keys()[0].keys}


def written(writer: StatementWriter, **changes: Any) -> bytes:
    """The envelope of a new statement about WHEEL."""
    facts = BuildFacts(
        **({name: getattr(FACTS, name) for name in FACTS.__struct_fields__} | changes)
    )
    writer.write(WHEEL, facts)
    path = writer.webroot.provenance_path(WHEEL.sha256, WHEEL.name)
    content = path.read_bytes()
    path.unlink()
    return content
