"""Whole files as objects: written, read back, read in ranges. All of it blocks."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piwheels.model import Struct
from piwheels.object_storage.connection import bucket_error
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError, NoBucketError

if TYPE_CHECKING:
    from obstore.store import S3Store

#: Larger files are sent in parts, for which there are no conditional writes.
MAX_HELD_BYTES = 16 * 2**20
#: A file has at most 10,000 parts; so many are held at a time.
_PART_BYTES, _PARTS_AT_A_TIME = 16 * 2**20, 2
_READ_BYTES = 2**20
_SHA256 = "sha256"


class ObjectFacts(Struct, frozen=True, kw_only=True):
    """What a bucket says about an object; `sha256` is "" if something else wrote it."""

    size_bytes: int
    etag: str
    sha256: str
    changed_at: datetime
    attributes: Mapping[str, str]


class FileBucket:
    """A bucket whose objects are files of this machine, or were."""

    def __init__(self, store: "S3Store") -> None:
        self._store = store

    def facts(self, key: str) -> ObjectFacts | None:
        """What there is under a key; None for nothing.

        Raises:
            BucketError: the bucket cannot be asked.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None
        meta, attributes = found.meta, {str(k): str(v) for k, v in found.attributes.items()}
        return ObjectFacts(
            size_bytes=meta["size"],
            etag=meta["e_tag"] or "",
            sha256=attributes.pop(_SHA256, ""),
            changed_at=meta["last_modified"].astimezone(UTC),
            attributes=attributes,
        )

    def put(self, key: str, path: Path, attributes: Mapping[str, str]) -> None:
        """Write a file as an object, and read it back; one that is there already is only read.

        Returns when the bucket has the bytes of the file. What else was there is replaced, unless
        it changes meanwhile.

        Args:
            key: of the object.
            path: of the file.
            attributes: of the object, by which it is recognized later.

        Raises:
            BucketError: the bucket does not take it, or has other bytes afterwards.
            ChangedMeanwhileError: something else wrote the object meanwhile.
            OSError: the file cannot be read.
        """
        digest = _sha256_of(path)
        before = self.facts(key)
        if _is(before, digest, attributes) and self.sha256(key) == digest:
            return
        self._write(key, path, before, {**attributes, _SHA256: digest})
        if self.sha256(key) != digest:
            raise BucketError(f"{key} was read back from the bucket with other bytes")

    def _write(
        self, key: str, path: Path, before: ObjectFacts | None, attributes: dict[str, str]
    ) -> None:
        import obstore  # noqa: PLC0415 - an extra

        in_parts = path.stat().st_size > MAX_HELD_BYTES
        condition: Any = {"e_tag": before.etag} if before is not None else "create"
        try:
            obstore.put(
                self._store,
                key,
                path if in_parts else path.read_bytes(),
                attributes=attributes,
                mode="overwrite" if in_parts else condition,
                use_multipart=in_parts,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_A_TIME,
            )
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            raise ChangedMeanwhileError(f"{key} was changed meanwhile") from None
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None
        except FileNotFoundError:
            raise NoBucketError from None

    def sha256(self, key: str) -> str:
        """The hash of an object's bytes, as the bucket gives them; "" without an object.

        Raises:
            BucketError: they cannot be read.
        """
        import obstore  # noqa: PLC0415 - an extra

        digest = hashlib.sha256()
        try:
            for part in obstore.get(self._store, key).stream(_READ_BYTES):
                digest.update(part)
        except FileNotFoundError:
            return ""
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None
        return digest.hexdigest()

    def read(self, key: str, start: int, end: int) -> bytes:
        """The bytes of an object in a range.

        Raises:
            BucketError: there is no such object, or it cannot be read.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            return bytes(obstore.get_range(self._store, key, start=start, end=end))
        except FileNotFoundError:
            raise BucketError(f"{key} is not in the bucket") from None
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None

    def delete(self, key: str) -> None:
        """Delete an object, if there is one.

        Raises:
            BucketError: the bucket refuses.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None


def _is(found: ObjectFacts | None, digest: str, attributes: Mapping[str, str]) -> bool:
    """Whether an object says that it is a file; a bucket may add attributes."""
    return (
        found is not None
        and found.sha256 == digest
        and attributes.items() <= found.attributes.items()
    )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
