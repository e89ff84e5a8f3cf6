"""Where the files with single accesses are: in a directory, or objects of a bucket.

A file is recorded with its place: relative to the directory, or as `s3://BUCKET/KEY`. So files that
were written before the setting was changed are found where they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.config import Config, PublishSection
from piwheels.errors import ConfigError
from piwheels.object_storage.connection import open_bucket, split_target
from piwheels.object_storage.files import FileBucket, ObjectFacts

_SETTING = "accesslog.parquet_target"
_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """The directory of files, and the bucket that new ones are moved into.

    directory: of local files, and of those that are being written. target: `s3://BUCKET/PREFIX`; ""
    for none. storage: the server and the key of buckets.
    """

    directory: Path
    target: str = ""
    storage: PublishSection = field(default_factory=PublishSection)
    _buckets: dict[str, FileBucket] = field(default_factory=dict)

    def name_of(self, name: str) -> str:
        """What a new file is recorded as."""
        if not self.target:
            return name
        return _SCHEME + "/".join([*filter(None, split_target(self.target, _SETTING)), name])

    def local_path(self, recorded: str) -> Path | None:
        """Where a file is on this machine; None for an object."""
        return None if is_object(recorded) else self.directory / recorded

    def find(self, recorded: str) -> ObjectFacts | None:
        """What the bucket says about an object.

        Raises:
            BucketError: the bucket cannot be asked.
        """
        bucket, key = _split(recorded)
        return self.bucket(bucket).facts(key)

    def names(self) -> list[str]:
        """All files of days and objects of the target's bucket, as they would be recorded.

        Raises:
            BucketError: the bucket cannot be asked.
            OSError: the directory cannot be read.
        """
        local = [str(it.relative_to(self.directory)) for it in self.directory.glob("*/*.parquet")]
        if not self.target:
            return local
        bucket, prefix = split_target(self.target, _SETTING)
        keys = self.bucket(bucket).keys(f"{prefix}/" if prefix else "")
        return local + [f"{_SCHEME}{bucket}/{key}" for key in keys]

    def sha256(self, recorded: str) -> str:
        """The hash of an object's bytes, which are read; "" without one.

        Raises:
            BucketError: they cannot be read.
        """
        bucket, key = _split(recorded)
        return self.bucket(bucket).sha256(key)

    def upload(self, path: Path, recorded: str, attributes: Mapping[str, str]) -> None:
        """Create an object of a file in the bucket, and read it back.

        Raises:
            BucketError: the bucket does not have it then.
            ChangedMeanwhileError: there is another object.
            OSError: the file cannot be read.
        """
        bucket, key = _split(recorded)
        self.bucket(bucket).put(key, path, attributes)

    def delete(self, recorded: str) -> None:
        """Delete a file or an object, if it is there.

        Raises:
            BucketError: the bucket refuses.
            OSError: the file cannot be deleted.
        """
        if path := self.local_path(recorded):
            path.unlink(missing_ok=True)
        else:
            bucket, key = _split(recorded)
            self.bucket(bucket).delete(key)

    def bucket(self, name: str) -> FileBucket:
        """A bucket by its name.

        Raises:
            ConfigError: the extra is missing, or the settings are wrong.
        """
        if name not in self._buckets:
            store = open_bucket(f"{_SCHEME}{name}", self.storage, _SETTING)
            self._buckets[name] = FileBucket(store)
        return self._buckets[name]


def access_files(config: Config) -> AccessFiles:
    """The files of a configuration.

    Raises:
        ConfigError: they would be among those that everybody reads.
    """
    target, site = config.accesslog.parquet_target, config.publish.target
    if target and site:
        (bucket, prefix), (site_bucket, site_prefix) = (
            split_target(target, _SETTING),
            split_target(site, "publish.target"),
        )
        if bucket == site_bucket and f"{prefix}/".startswith(f"{site_prefix}/".lstrip("/")):
            raise ConfigError(
                f"{_SETTING} is in publish.target, which everybody reads: set a bucket for single "
                "accesses that nobody else may read"
            )
    return AccessFiles(config.accesslog.parquet_dir, target, config.publish)


def is_object(recorded: str) -> bool:
    """Whether a recorded file is an object of a bucket."""
    return recorded.startswith(_SCHEME)


def _split(recorded: str) -> tuple[str, str]:
    """The bucket and the key of an object."""
    bucket, _, key = recorded.removeprefix(_SCHEME).partition("/")
    return bucket, key
