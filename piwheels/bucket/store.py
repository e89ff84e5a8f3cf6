"""The bucket: objects with their headers, conditional writes, listings.

Only piwheels.object_storage uses obstore besides.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from piwheels.bucket.site_objects import LocalFile, ObjectHeaders
from piwheels.config import PublishSection
from piwheels.model import Struct
from piwheels.object_storage.connection import bucket_error, open_bucket
from piwheels.object_storage.errors import ChangedMeanwhileError, NoBucketError

if TYPE_CHECKING:
    from obstore.store import S3Store

_SHA256 = "sha256"
_TYPE, _CACHE, _ENCODING = "Content-Type", "Cache-Control", "Content-Encoding"


class StoredObject(Struct, frozen=True, kw_only=True):
    """An object of the bucket; `sha256` is "" if something else than a follower wrote it."""

    key: str
    size_bytes: int
    etag: str
    sha256: str
    headers: ObjectHeaders

    def is_copy_of(self, local: LocalFile) -> bool:
        """Whether it has the bytes and the headers of a file."""
        return (self.sha256, self.size_bytes, self.headers) == (
            local.sha256,
            local.size_bytes,
            local.headers,
        )


class ListedObject(Struct, frozen=True, kw_only=True):
    """An object as a listing has it."""

    key: str
    size_bytes: int


class Store:
    """A bucket, or what is below a prefix of its keys."""

    def __init__(self, store: "S3Store") -> None:
        self._store = store

    async def head(self, key: str) -> StoredObject | None:
        """An object without its bytes; None if there is none.

        Raises:
            BucketError: the bucket cannot be asked.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            found = await obstore.get_async(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None
        meta, attributes = found.meta, {str(k): str(v) for k, v in found.attributes.items()}
        return StoredObject(
            key=key,
            size_bytes=meta["size"],
            etag=meta["e_tag"] or "",
            sha256=attributes.get(_SHA256, ""),
            headers=ObjectHeaders(
                content_type=attributes.get(_TYPE, ""),
                cache_control=attributes.get(_CACHE, ""),
                content_encoding=attributes.get(_ENCODING, ""),
            ),
        )

    async def put(self, key: str, local: LocalFile, before: StoredObject | None) -> None:
        """Write an object where there is none, or over the one that was there before.

        A file too large to be held is sent in parts, without a condition.

        Raises:
            ChangedMeanwhileError: another object is there.
            BucketError: the bucket does not take it.
            OSError: the file cannot be read.
        """
        import obstore  # noqa: PLC0415 - an extra

        in_parts = local.content is None
        mode: Any = {"e_tag": before.etag} if before is not None else "create"
        try:
            await obstore.put_async(
                self._store,
                key,
                local.path if local.content is None else local.content,
                attributes=_attributes(local),
                mode="overwrite" if in_parts else mode,
                use_multipart=in_parts,
            )
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            raise ChangedMeanwhileError(f"{key} was changed meanwhile") from None
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None
        except FileNotFoundError:
            if before is not None:
                raise ChangedMeanwhileError(f"{key} was deleted meanwhile") from None
            raise NoBucketError from None

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one.

        Raises:
            BucketError: the bucket refuses.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None

    async def list(self, prefix: str) -> AsyncIterator[list[ListedObject]]:
        """The objects whose keys begin with the segments of a prefix, in parts.

        Raises:
            BucketError: the bucket cannot be listed.
        """
        import obstore  # noqa: PLC0415 - an extra

        try:
            async for part in obstore.list(self._store, prefix or None, chunk_size=1000):
                yield [ListedObject(key=it["path"], size_bytes=it["size"]) for it in part]
        except obstore.exceptions.BaseError as error:
            raise bucket_error(error) from None


def open_store(settings: PublishSection) -> Store:
    """The bucket of `publish.target`.

    Raises:
        ConfigError: the extra is missing, or the settings or the file of credentials are wrong.
    """
    return Store(open_bucket(settings.target, settings, "publish.target"))


def _attributes(local: LocalFile) -> dict[str, str]:
    headers = local.headers
    attributes = {
        _TYPE: headers.content_type,
        _CACHE: headers.cache_control,
        _SHA256: local.sha256,
    }
    return attributes | ({_ENCODING: headers.content_encoding} if headers.content_encoding else {})
