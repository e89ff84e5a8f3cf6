"""The rate of an audit."""

import time

import pytest

from piwheels.audit.rate_limit import parse_rate
from piwheels.errors import UsageError


@pytest.mark.parametrize(("text", "files", "size_bytes"), [("100/s", 20, 0), ("1MB", 0, 200_000)])
async def test_what_was_read_takes_its_time(text: str, files: int, size_bytes: int) -> None:
    limit = parse_rate(text)
    began = time.monotonic()
    for _ in range(10):
        await limit.spend(files=files // 10, size_bytes=size_bytes // 10)
    assert time.monotonic() - began >= 0.14


@pytest.mark.parametrize("text", ["", "0", "fast", "-1", "5 TB/s", "1e9"])
def test_what_is_no_rate_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="is not a rate"):
        parse_rate(text)
