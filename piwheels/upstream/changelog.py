"""Client of the upstream's XML-RPC changelog: which projects changed since a serial.

An event names only the project and the action. The data is read from the project's page, so events
may be out of order or repeated.
"""

import xmlrpc.client
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard, TypeVar
from xml.parsers.expat import ExpatError

from piwheels import untrusted_names
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex, parse_by_size
from piwheels.model import Struct
from piwheels.sanitize import truncate_line

_T = TypeVar("_T")

_TRANSIENT = {408, 425, 429}
_NOT_IMPLEMENTED = 501
#: Exceptions of the standard library's parser for responses that are not XML-RPC.
_MALFORMED = (
    ExpatError,
    xmlrpc.client.Error,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class NoChangelogError(RejectedError):
    """The upstream offers no changelog."""


class ChangelogEvent(Struct, frozen=True, kw_only=True):
    """A change of a project; `action` is the upstream's text."""

    project: str
    serial: int
    action: str
    version: str | None = None  # canonical, "" if it is invalid by PEP 440; None: no release

    @property
    def removed_version(self) -> str | None:
        """The version of the removed release, "" for the whole project; None for other events.

        The removal of a file is not one of a release: the page shows whether files are left.
        """
        match self.action.lower().split():
            case ["remove", "project"]:
                return ""
            case ["remove", "release"]:
                return self.version or None
            case ["remove"]:  # older form of the same protocol
                return "" if self.version is None else self.version or None
            case _:
                return None


class Changelog:
    """A client of one upstream's changelog."""

    def __init__(self, url: str, index: SimpleIndex) -> None:
        """Create a client.

        Args:
            url: the XML-RPC endpoint.
            index: the client of its index, whose connections are used.
        """
        self._url = url
        self._index = index

    async def last_serial(self) -> int:
        """The serial of the newest event.

        Raises:
            NoChangelogError: the upstream has no changelog.
            TransientError: the upstream is unavailable.
        """
        return await self._call(_read_serial, "changelog_last_serial")

    async def events_since(self, serial: int) -> list[ChangelogEvent]:
        """Events after a serial, by serial; malformed events are ignored.

        So are those whose serial is above the upstream's last one: after one with the largest
        number there is, no other would be read again.

        Raises:
            FileTooLargeError: there are too many of them for one answer.
            NoChangelogError, TransientError: as above.
        """
        events = await self._call(_read_events, "changelog_since_serial", serial)
        newer = [event for event in events if event.serial > serial]
        if not newer:
            return []
        # Asked for later, it is not below the serial of an event that there is.
        last = await self.last_serial()
        return sorted(
            (event for event in newer if event.serial <= last), key=lambda event: event.serial
        )

    async def _call(self, read: Callable[[str, bytes], _T], method: str, *arguments: int) -> _T:
        request = xmlrpc.client.dumps(arguments, method).encode()
        response = await self._index.post_raw(self._url, request, media_type="text/xml")
        status = response.status
        text = f"{self._url} responded with status {status}"
        if status in _TRANSIENT or (status >= 500 and status != _NOT_IMPLEMENTED):
            raise TransientError(text, retry_after_s=response.retry_after_s)
        if status != 200:
            raise NoChangelogError(text)
        if not response.media_type.endswith("xml"):
            raise NoChangelogError(
                f"{self._url} responded with content type {response.media_type or 'none'}"
            )
        try:
            return await parse_by_size(len(response.content), read, self._url, response.content)
        except NoChangelogError:
            raise
        except (RejectedError, OSError) as error:  # of a child process
            raise TransientError(f"{self._url}: {truncate_line(str(error))}") from None
        except MemoryError:
            raise TransientError(f"{self._url}: the response needs too much memory") from None


def _read_serial(url: str, content: bytes) -> int:
    serial = _parse_response(url, content)
    if not _is_serial(serial):
        raise NoChangelogError(f"{url}: the last serial is not a number")
    return serial


def _read_events(url: str, content: bytes) -> list[ChangelogEvent]:
    events = _parse_response(url, content)
    if not isinstance(events, list):
        raise NoChangelogError(f"{url}: the changelog is not a list")
    return [change for event in events if (change := _parse_event(event)) is not None]


def _parse_response(url: str, content: bytes) -> Any:
    # A document type could define entities that expand without limit; in UTF-16, which contains
    # NUL bytes, it would not be found.
    if b"<!DOCTYPE" in content or b"\0" in content:
        raise TransientError(f"{url}: the response is not acceptable XML-RPC")
    try:
        values, _ = xmlrpc.client.loads(content)
    except xmlrpc.client.Fault as fault:
        raise TransientError(f"{url}: {_fault_text(fault)}") from None
    except _MALFORMED as error:
        raise TransientError(
            f"{url}: the response is not XML-RPC: {truncate_line(str(error))}"
        ) from None
    return values[0] if values else None


def _fault_text(fault: xmlrpc.client.Fault) -> str:
    """Of one line; a fault may hold values of any type, also arrays that nest without limit."""
    text: object = fault.faultString
    return truncate_line(text) if isinstance(text, str) else "a fault without a text"


def _is_serial(value: Any) -> TypeGuard[int]:
    """Whether it is a number that fits a bigint."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _parse_event(event: Any) -> ChangelogEvent | None:
    """An event is (name, version, timestamp, action, serial)."""
    if not isinstance(event, Sequence) or isinstance(event, str) or len(event) != 5:
        return None
    name, version, _, action, serial = event
    if not (isinstance(name, str) and isinstance(action, str) and _is_serial(serial)):
        return None
    try:
        project = untrusted_names.normalize_project(name)
    except RejectedError:
        return None
    return ChangelogEvent(
        project=project,
        serial=serial,
        action=truncate_line(action, 100),
        version=_canonical_version(version),
    )


def _canonical_version(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return str(untrusted_names.parse_version(text))
    except RejectedError:
        return ""
