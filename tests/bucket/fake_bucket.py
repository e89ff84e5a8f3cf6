"""A bucket in memory, for tests of what is copied when."""

from piwheels.bucket.site_objects import LocalFile
from piwheels.bucket.store import Store, StoredObject


class FakeBucket(Store):
    """Objects by key, and what was done to them."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.done: list[str] = []

    async def head(self, key: str) -> StoredObject | None:
        """The object."""
        return self.objects.get(key)

    async def put(self, key: str, local: LocalFile, before: StoredObject | None) -> None:
        """Store what describes a file."""
        del before
        self.objects[key] = StoredObject(
            key=key,
            size_bytes=local.size_bytes,
            etag=local.sha256,
            sha256=local.sha256,
            headers=local.headers,
        )
        self.done.append(key)

    async def delete(self, key: str) -> None:
        """Delete it."""
        self.objects.pop(key, None)
        self.done.append(f"-{key}")
