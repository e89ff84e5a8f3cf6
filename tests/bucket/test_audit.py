"""`piw audit` compares the bucket with the web root, and has the follower repair it."""

import hashlib
from pathlib import Path

import obstore
import pytest
from msgspec.structs import replace

from piwheels.audit.errors import AuditError
from piwheels.audit.finding import ReportedFinding
from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.bucket.copier import Copier
from piwheels.bucket.follower import BucketFollower
from piwheels.bucket.store import Store, open_store
from piwheels.webroot import PROVENANCE_SUFFIX
from tests.audit.conftest import farm as audited
from tests.audit.harness import AuditedFarm
from tests.bucket.harness import BucketFarm
from tests.bucket.seaweed import Seaweed, keys
from tests.ports import free_port

__all__ = ["audited"]

pytestmark = pytest.mark.slow


@pytest.fixture
def farm(audited: AuditedFarm, store: Store) -> BucketFarm:
    """A farm with real wheels of `alpha` and `beta`, whose pages are written, and its follower."""
    follower = BucketFollower(
        db=audited.db,
        webroot=audited.webroot,
        copier=Copier(store, audited.webroot),
        target="s3://audited",
        deletion_delay_s=0.0,
    )
    return BucketFarm(audited.site, store, follower)


async def audit(
    farm: BucketFarm, folder: Path, *, fix: bool = False, projects: tuple[str, ...] = ()
) -> dict[str, ReportedFinding]:
    """What is found of the bucket, by key; other parts know nothing of this farm's logs."""
    found: list[ReportedFinding] = []
    options = AuditOptions(projects=projects, fix=fix, grace_s=0.0)
    await run_audit(
        farm.site.db,
        farm.site.webroot,
        folder,
        options,
        bucket=farm.store,
        on_finding=found.append,
    )
    return {it.path: it for it in found if "bucket" in it.detail}


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an audit keeps its position."""
    return tmp_path_factory.mktemp("state")


async def damaged(farm: BucketFarm) -> set[str]:
    """Damage objects of a complete copy in each way; returns the keys that can be repaired."""
    await farm.follow()
    store = farm.store._store
    wheel = next(key for key in await keys(farm.store) if key.endswith(".whl") and "alpha" in key)
    await obstore.delete_async(store, wheel)
    metadata = f"{wheel}.metadata"
    local = farm.site.webroot.root / metadata
    await obstore.put_async(
        store, metadata, local.read_bytes(), attributes=_attributes(farm, metadata)
    )
    await obstore.put_async(store, "simple/alpha/index.html", b"other")
    extra = {"sha256": "0" * 64}
    await obstore.put_async(store, "simple/gone/index.html", b"gone", attributes=extra)
    return {
        wheel,
        metadata,
        "simple/alpha/index.html",
        "simple/gone/index.html",
    }


def _attributes(farm: BucketFarm, key: str) -> dict[str, str]:
    """The right hash, and the wrong type."""
    digest = hashlib.sha256((farm.site.webroot.root / key).read_bytes()).hexdigest()
    return {"sha256": digest, "Content-Type": "text/html"}


async def test_each_difference_is_found_and_repaired(farm: BucketFarm, state: Path) -> None:
    expected = await damaged(farm)
    found = await audit(farm, state)
    assert set(found) == expected
    assert "other headers" in next(it.detail for it in found.values() if "metadata" in it.path)
    repaired = await audit(farm, state, fix=True)
    assert {it.path for it in repaired.values() if it.repaired} == expected
    assert await audit(farm, state) == {}, "a copy waits"
    await farm.follow()
    assert await audit(farm, state) == {}
    assert await farm.differences() == set()


async def test_a_project_alone_is_compared(farm: BucketFarm, state: Path) -> None:
    expected = await damaged(farm)
    found = await audit(farm, state, projects=("alpha",))
    assert set(found) == {key for key in expected if "gone" not in key}
    assert await audit(farm, state, projects=("beta",)) == {}


async def test_what_others_put_there_is_told_and_left_alone(farm: BucketFarm, state: Path) -> None:
    await farm.follow()
    await obstore.put_async(farm.store._store, "notes/of-somebody.txt", b"mine")
    wheel = next(key for key in await keys(farm.store, "packages") if key.endswith(".whl"))
    await obstore.put_async(farm.store._store, wheel, b"replaced")
    found = await audit(farm, state, fix=True)
    assert set(found) == {"notes/of-somebody.txt", wheel}
    assert not any(it.repaired for it in found.values())
    await farm.follow()
    assert await farm.content("notes/of-somebody.txt") == b"mine"
    assert await farm.content(wheel) == b"replaced"


async def test_an_older_statement_is_replaced(farm: BucketFarm, state: Path) -> None:
    await farm.follow()
    wheel = next(key for key in await keys(farm.store, "packages") if key.endswith(".whl"))
    key = f"{wheel}{PROVENANCE_SUFFIX}"
    (farm.site.webroot.root / key).write_bytes(b"signed again")
    older = {"sha256": hashlib.sha256(b"revoked").hexdigest()}
    await obstore.put_async(farm.store._store, key, b"revoked", attributes=older)
    found = await audit(farm, state, fix=True)
    assert found[key].repaired
    await farm.follow()
    assert await farm.content(key) == b"signed again"


async def test_what_waits_to_be_copied_is_no_finding(
    farm: BucketFarm, audited: AuditedFarm, state: Path
) -> None:
    await farm.follow()
    await audited.publish_wheel("alpha", "3.0")
    await audited.site.write_all()
    found = await audit(farm, state)
    recorded = {
        key for key in found if key.startswith(("packages/", "simple/", "project/", "logs/"))
    }
    assert recorded == set()


async def test_a_bucket_that_does_not_answer_stops_the_audit(
    farm: BucketFarm, state: Path, storage: Seaweed
) -> None:
    settings = replace(storage.settings(), endpoint=f"http://127.0.0.1:{free_port()}")
    farm.store = open_store(settings)
    with pytest.raises(AuditError, match="cannot be reached; the audit stopped at the bucket"):
        await audit(farm, state)
