"""The changelog client with valid and invalid responses."""

from collections.abc import AsyncIterator

import pytest

from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.isolated_process import Limits
from piwheels.upstream.changelog import Changelog, ChangelogEvent, NoChangelogError
from tests.fake_index import FakeIndex

_PAGE = "<?xml version='1.0'?><methodResponse>{}</methodResponse>"
_FAULT = _PAGE.format(
    "<fault><value><struct><member><name>faultCode</name><value><int>-32500</int></value></member>"
    "<member><name>faultString</name><value>{}</value></member></struct></value></fault>"
)
_VALUE = _PAGE.format("<params><param><value>{}</value></param></params>")


@pytest.fixture
async def changelog(upstream: FakeIndex) -> AsyncIterator[Changelog]:
    upstream.changelog = []
    address = upstream.simple.replace("://", "://farm:secret@")
    async with SimpleIndex(address) as index:
        yield Changelog(f"{upstream.url}pypi", index)


async def test_the_changelog_is_requested_like_the_index(
    upstream: FakeIndex, changelog: Changelog
) -> None:
    upstream.add_event("Demo", "create", 7)
    assert await changelog.last_serial() == 7
    created = ChangelogEvent(project="demo", serial=7, action="create", version="1.0")
    assert await changelog.events_since(6) == [created]
    headers = [headers for path, headers in upstream.requests if path == "/pypi"]
    assert all(header["Authorization"].startswith("Basic ") for header in headers)


@pytest.mark.parametrize(
    "answer",
    [
        _FAULT.format("<string></string>"),
        _FAULT.format("<int>7</int>"),
        _FAULT.format("<string>HTTPTooManyRequests:\nslow down</string>"),
        _FAULT.format(f"{'<array><data><value>' * 5000}{'</value></data></array>' * 5000}"),
        _FAULT.format(f"<string>{'x' * 500_000}</string>"),
        _PAGE.format("<fault><value><int>1</int></value></fault>"),
        _PAGE.format("<params></array></params>"),
        _VALUE.format("<int>seven</int>"),
        _VALUE.format("<base64>!</base64>"),
        _VALUE.format("<struct><value><int>1</int></value></struct>"),
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + _VALUE.format("<string>&a;</string>"),
    ],
)
async def test_an_invalid_response_is_reported_in_one_line(
    upstream: FakeIndex, changelog: Changelog, answer: str
) -> None:
    upstream.pages["/pypi"] = ("text/xml", answer.encode())
    with pytest.raises((TransientError, NoChangelogError)) as caught:
        await changelog.last_serial()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


async def test_entities_are_rejected_in_any_encoding(
    upstream: FakeIndex, changelog: Changelog
) -> None:
    grows = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "aaaa">]>'
    text = grows + _VALUE.format("<int>1</int>").partition("?>")[2]
    upstream.pages["/pypi"] = ("text/xml", text.encode("utf-16"))
    with pytest.raises(TransientError, match="not acceptable"):
        await changelog.last_serial()


async def test_a_web_page_is_not_a_changelog(upstream: FakeIndex, changelog: Changelog) -> None:
    upstream.pages["/pypi"] = ("text/html; charset=utf-8", b"<h1>welcome</h1>")
    with pytest.raises(NoChangelogError, match="text/html"):
        await changelog.last_serial()


async def test_an_endless_response_is_rejected(
    upstream: FakeIndex, changelog: Changelog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.index_client.client.PAGE_LIMIT_BYTES", 1000)
    upstream.pages["/pypi"] = ("text/xml", b" " * 2000)
    with pytest.raises(RejectedError, match="larger than 1000 bytes"):
        await changelog.last_serial()


async def test_an_out_of_range_serial_is_rejected(
    upstream: FakeIndex, changelog: Changelog
) -> None:
    value = f"<int>{10**30}</int>"
    upstream.pages["/pypi"] = ("text/xml", _VALUE.format(value).encode())
    with pytest.raises(NoChangelogError, match="not a number"):
        await changelog.last_serial()


async def test_events_with_empty_fields_are_ignored(
    upstream: FakeIndex, changelog: Changelog
) -> None:
    upstream.changelog = [
        [None, None, None, None, 1],
        ["demo", None, None, "create", 2],
        ["../etc", "1.0", 0, "create", 3],
        ["demo", "1.0", 0, {"a": 1}, 4],
        ["d" * 5000, "1.0", 0, "create", 5],
        ["demo", "1.0", 0, "create", -1],
        ["demo", "1.0", 0, "create", True],
    ]
    assert await changelog.events_since(0) == [
        ChangelogEvent(project="demo", serial=2, action="create")
    ]


async def test_an_event_with_an_impossible_serial_hides_no_other(
    upstream: FakeIndex, changelog: Changelog
) -> None:
    for serial in (2**31 - 1, 4, 3):
        upstream.add_event("demo", "create", serial)
    upstream.last_serial = 5
    assert [event.serial for event in await changelog.events_since(2)] == [3, 4]
    assert await changelog.events_since(5) == []


async def test_a_large_response_is_parsed_in_another_process(
    upstream: FakeIndex, changelog: Changelog, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.add_event("demo", "create", 7)
    read_here = await changelog.events_since(0)
    monkeypatch.setattr("piwheels.index_client.client._LARGE_PAGE_BYTES", 0)
    assert await changelog.events_since(0) == read_here
    upstream.pages["/pypi"] = ("text/xml", _FAULT.format("<string>no</string>").encode())
    with pytest.raises(TransientError, match="no"):
        await changelog.events_since(0)
    monkeypatch.setattr("piwheels.index_client.client._LARGE_PAGE_LIMITS", Limits(memory_bytes=1))
    with pytest.raises(TransientError):
        await changelog.events_since(0)
