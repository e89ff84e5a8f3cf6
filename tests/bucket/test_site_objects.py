"""Which objects of a bucket may change."""

from pathlib import Path

import pytest

from piwheels.bucket.copier import Copier, CopyOutcome
from piwheels.bucket.site_objects import is_immutable, is_stored_plain
from piwheels.webroot import PROVENANCE_SUFFIX, Webroot
from tests.bucket.fake_bucket import FakeBucket

WHEEL = f"packages/00/{'0' * 64}/a-1-py3-none-any.whl"


@pytest.mark.parametrize(
    ("key", "plain", "immutable"),
    [
        (WHEEL, True, True),
        (f"{WHEEL}.metadata", True, True),
        (f"{WHEEL}{PROVENANCE_SUFFIX}", True, False),
        ("simple/a/index.html", False, False),
    ],
)
def test_statements_alone_change_in_packages(key: str, plain: bool, immutable: bool) -> None:
    assert (is_stored_plain(key), is_immutable(key)) == (plain, immutable)


async def test_a_statement_that_was_signed_again_replaces_its_copy(tmp_path: Path) -> None:
    key = f"{WHEEL}{PROVENANCE_SUFFIX}"
    file = tmp_path / key
    file.parent.mkdir(parents=True)
    bucket = FakeBucket()
    copier = Copier(bucket, Webroot(tmp_path))
    for content in (b"first", b"again"):
        file.write_bytes(content)
        assert await copier.sync(key) is CopyOutcome.COPIED
    assert bucket.done == [key, key]
