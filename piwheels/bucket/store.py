"""The bucket: objects with their headers, conditional writes, listings.

No other module uses obstore.
"""

import configparser
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piwheels.bucket.errors import BucketError, ChangedMeanwhileError
from piwheels.bucket.site_objects import LocalFile, ObjectHeaders
from piwheels.config import PublishSection
from piwheels.errors import ConfigError
from piwheels.model import Struct

if TYPE_CHECKING:
    from obstore.store import S3Store

#: Larger files are sent in parts, for which there are no conditional writes.
MAX_HELD_BYTES = 16 * 2**20
_TIMEOUT_S = 120
_RETRIES = 2
_RETRY_S = 30
_MAX_TEXT = 200
_SHA256 = "sha256"
_TYPE, _CACHE, _ENCODING = "Content-Type", "Cache-Control", "Content-Encoding"
#: How obstore tells what a server answered.
_ANSWER = re.compile(r"non-2xx status code: (\d+[A-Za-z ]*)")
_TARGET = re.compile(r"s3://([^/]+)/?(.*)")


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
            raise _bucket_error(error) from None
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
            raise _bucket_error(error) from None
        except FileNotFoundError:
            if before is not None:
                raise ChangedMeanwhileError(f"{key} was deleted meanwhile") from None
            raise BucketError("the bucket of publish.target does not exist: create it") from None

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
            raise _bucket_error(error) from None

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
            raise _bucket_error(error) from None


def open_store(settings: PublishSection) -> Store:
    """The bucket of `publish.target`.

    Raises:
        ConfigError: the extra is missing, or the settings or the file of credentials are wrong.
    """
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "publish.target needs obstore: pip install '.[master,s3]' in a clone, or unset it"
        ) from None
    found = _TARGET.fullmatch(settings.target)
    if found is None:
        raise ConfigError(
            f"publish.target is {settings.target!r}, not s3://BUCKET or s3://BUCKET/PREFIX"
        )
    options: dict[str, Any] = _credentials(settings.credentials_file)
    options |= {
        key: value
        for key, value in (("endpoint", settings.endpoint), ("region", settings.region))
        if value
    }
    allow_http = settings.endpoint.startswith("http://")
    try:
        store = S3Store(
            found[1],
            prefix=found[2].strip("/") or None,
            client_options={
                "allow_http": allow_http,
                "timeout": timedelta(seconds=_TIMEOUT_S),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)},
            **options,
        )
    except Exception as error:  # noqa: BLE001 - obstore raises its own for each wrong option
        raise ConfigError(f"publish.target: {_first_line(error)}") from None
    return Store(store)


def _credentials(file: Path | None) -> dict[str, str]:
    """The key in a file of credentials; empty without a file, when obstore reads variables.

    Raises:
        ConfigError: there is none. Nothing of the file's content is said.
    """
    if file is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text())
        section = parser["default"]
        found = {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
        }
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{file} (publish.credentials_file): {reason}") from None
    except (configparser.Error, KeyError):
        raise ConfigError(
            f"{file} (publish.credentials_file) lacks a section [default] with aws_access_key_id "
            "and aws_secret_access_key"
        ) from None
    if token := section.get("aws_session_token"):
        found["session_token"] = token
    return found


def _attributes(local: LocalFile) -> dict[str, str]:
    headers = local.headers
    attributes = {
        _TYPE: headers.content_type,
        _CACHE: headers.cache_control,
        _SHA256: local.sha256,
    }
    return attributes | ({_ENCODING: headers.content_encoding} if headers.content_encoding else {})


def _bucket_error(error: Exception) -> BucketError:
    import obstore  # noqa: PLC0415 - an extra

    refused = obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError
    if isinstance(error, refused):
        return BucketError(
            "the bucket refuses the key of publish.credentials_file, or the key lacks a right: it "
            "has to read, write, list and delete"
        )
    if answer := _ANSWER.search(str(error)):
        return BucketError(f"the object storage answers {answer[1].strip()}")
    if "HTTP error" in str(error):
        return BucketError("the object storage cannot be reached")
    return BucketError(_first_line(error))


def _first_line(error: Exception) -> str:
    """What obstore says, without the dump that follows."""
    return str(error).partition("\n")[0][:_MAX_TEXT]
