"""How a bucket is named and reached: `s3://BUCKET/PREFIX`, with the server of `[publish]`."""

import configparser
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piwheels.config import PublishSection
from piwheels.errors import ConfigError
from piwheels.object_storage.errors import BucketError

if TYPE_CHECKING:
    from obstore.store import S3Store

_TIMEOUT_S = 120
_RETRIES = 2
_RETRY_S = 30
_MAX_TEXT = 200
#: How obstore tells what a server answered.
_ANSWER = re.compile(r"non-2xx status code: (\d+[A-Za-z ]*)")
_TARGET = re.compile(r"s3://([^/]+)/?(.*)")


def split_target(target: str, setting: str) -> tuple[str, str]:
    """The bucket and the prefix, "" for none, of a setting.

    Raises:
        ConfigError: it names no bucket.
    """
    found = _TARGET.fullmatch(target)
    if found is None:
        raise ConfigError(f"{setting} is {target!r}, not s3://BUCKET or s3://BUCKET/PREFIX")
    return found[1], found[2].strip("/")


def open_bucket(target: str, settings: PublishSection, setting: str) -> "S3Store":
    """The bucket that a setting names, below its prefix; server and key are those of `[publish]`.

    Raises:
        ConfigError: the extra is missing, or the settings or the file of credentials are wrong.
    """
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            f"{setting} needs obstore: pip install '.[master,s3]' in a clone, or unset it"
        ) from None
    bucket, prefix = split_target(target, setting)
    options: dict[str, Any] = _credentials(settings.credentials_file)
    options |= {
        key: value
        for key, value in (("endpoint", settings.endpoint), ("region", settings.region))
        if value
    }
    allow_http = settings.endpoint.startswith("http://")
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "allow_http": allow_http,
                "timeout": timedelta(seconds=_TIMEOUT_S),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)},
            **options,
        )
    except Exception as error:  # noqa: BLE001 - obstore raises its own for each wrong option
        raise ConfigError(f"{setting}: {_first_line(error)}") from None


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


def bucket_error(error: Exception) -> BucketError:
    """What an error of obstore means, in a line without the dump that follows."""
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
