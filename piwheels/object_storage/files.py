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
#: One request reads so much, within the time that a request may take.
_READ_BYTES = 8 * 2**20
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
        self._hashes: dict[tuple[str, str], str] = {}  # by key and etag, of what was read

    def keys(self, prefix: str) -> list[str]:
        """The keys of all objects whose keys begin with a prefix that ends with "/", or is "".

        Raises:
            BucketError: the bucket cannot be asked.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            parts = list(obstore.list(self._store, prefix or None))
        except FileNotFoundError:
            return []
        except obstore.exceptions.BaseError as error:
            problem = bucket_error(error)
            if "answers 404" in str(problem):
                return []  # there is no such bucket; some storages create it for the first object
            raise problem from None
        return [found["path"] for part in parts for found in part]

    def facts(self, key: str) -> ObjectFacts | None:
        """The object that has a key; None if there is none.

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
        """Create an object of a file, and read it back; one that is there already is only read.

        Returns when the bucket has the bytes of the file. Another object is never replaced; one
        that says it is this file is, if its bytes are others.

        Args:
            key: of the object.
            path: of the file.
            attributes: of the object, by which it is recognized later.

        Raises:
            BucketError: the bucket does not take it, or has other bytes afterwards.
            ChangedMeanwhileError: there is another object.
            OSError: the file cannot be read.
        """
        digest = sha256_of(path)
        before = self.facts(key)
        if before is not None:
            if self.sha256(key) == digest:
                return
            if before.sha256 != digest:
                raise ChangedMeanwhileError(f"the bucket has another object as {key}")
        self._write(key, path, before, {**attributes, _SHA256: digest})
        self._hashes = {known: it for known, it in self._hashes.items() if known[0] != key}
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

        They are read once as long as the object's etag stays.

        Raises:
            BucketError: they cannot be read.
        """
        found = self.facts(key)
        if found is None:
            return ""
        known = (key, found.etag)
        if found.etag and known in self._hashes:
            return self._hashes[known]
        digest = hashlib.sha256()
        for start in range(0, found.size_bytes, _READ_BYTES):
            digest.update(self.read(key, start, min(start + _READ_BYTES, found.size_bytes)))
        self._hashes[known] = digest.hexdigest()
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


def sha256_of(path: Path) -> str:
    """The hash of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
