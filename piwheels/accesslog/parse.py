"""Lines of access logs into accesses: text formats of nginx and Apache, JSON of nginx and Caddy.

A line is taken as the bytes that it is. What repeats (the moment, the request, the size, the user
agent) is looked up in bounded caches, which is what makes a line cost two microseconds.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import msgspec

from piwheels.accesslog.agents import Agent, agent
from piwheels.accesslog.paths import Kind, Request, request

_K = TypeVar("_K", bound=bytes | str)
_V = TypeVar("_V")

_CACHED = 50_000
_LONGEST_CACHED = 1000  # bytes: long ones are made up by strangers, and seldom come again
_LONGEST_LINE = 64 * 1024
#: No web server logged before; a moment before it is an unset clock or a broken line.
_EARLIEST_S = 631_152_000  # 1990-01-01


class Format(StrEnum):
    """How the lines of a log are written."""

    AUTO = "auto"  # each line as it looks
    COMBINED = "combined"  # nginx's default and Apache's; further fields may follow
    COMMON = "common"  # the same without referer and user agent
    APACHE = "apache"  # either, also with the virtual host before them
    NGINX_JSON = "nginx-json"  # an object a line, by nginx's names of variables
    CADDY_JSON = "caddy-json"  # Caddy's default


class Access(NamedTuple):
    """One request that a web server answered."""

    at_s: int  # since 1970
    address: bytes
    request: Request
    status: int
    size_bytes: int  # as sent
    agent: Agent

    @property
    def kind(self) -> Kind:
        """What it was, by its request and its status."""
        return kind(self.request, self.status)


class Parsed(NamedTuple):
    """What came of a block of lines."""

    accesses: list[Access]
    broken: list[bytes]  # lines that are none


class _BrokenError(ValueError):
    pass


class _Cache(dict[_K, _V]):
    """Remembers what a function gave, up to a number of arguments; then it begins anew."""

    def __init__(self, make: Callable[[_K], _V], limit: int = _CACHED) -> None:
        super().__init__()
        self._make = make
        self._limit = limit

    def __missing__(self, key: _K) -> _V:
        value = self._make(key)
        if len(key) <= _LONGEST_CACHED:
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value


def kind(asked: Request, status: int) -> Kind:
    """What an access was: a wheel counts when it was sent whole, a page also when unchanged."""
    if status == 200 or (status == 304 and asked.kind is not Kind.DOWNLOAD):
        return asked.kind
    return Kind.OTHER


class Parser:
    """Reads lines of one format; keeps nothing but its caches."""

    def __init__(self, line_format: Format = Format.AUTO) -> None:
        self._format = line_format
        self._moments: _Cache[bytes, int] = _Cache(_moment, 4096)
        self._requests: _Cache[bytes, Request] = _Cache(_request)
        self._statuses: _Cache[bytes, tuple[int, int]] = _Cache(_status_and_size)
        self._agents: _Cache[bytes, Agent] = _Cache(_quoted_agent)
        self._plain_agents: _Cache[str, Agent] = _Cache(agent)

    def parse(self, block: bytes, not_after_s: int) -> Parsed:
        """Read whole lines; empty ones are passed over.

        Args:
            block: lines, each with its newline (the last may lack it).
            not_after_s: seconds since 1970; a later moment makes a line a broken one.
        """
        lines = block.split(b"\n")
        accesses: list[Access] = []
        broken: list[bytes] = []
        moments, requests = self._moments, self._requests
        statuses, agents = self._statuses, self._agents
        append, new = accesses.append, tuple.__new__
        fast = self._format in {Format.AUTO, Format.COMBINED, Format.APACHE}
        for line in lines:
            # What nearly all lines look like, without a regular expression:
            # address - user [moment] "request" status size "referer" "agent"
            head, separator, tail = line.partition(b'" "')
            if separator and fast:
                left, bracket, rest = head.partition(b'] "')
                asked, _, rest = rest.partition(b'" ')
                numbers, quote, _ = rest.partition(b' "')
                address, _, between = left.partition(b" ")
                if (
                    bracket
                    and quote
                    and left[-27:-26] == b"["
                    and between[:2] == b"- "
                    and asked[-1:] != b"\\"
                ):
                    try:
                        at_s = moments[left[-26:]]
                        if at_s > not_after_s:
                            raise _BrokenError
                        status, size = statuses[numbers]
                        append(
                            new(
                                Access,
                                (at_s, address, requests[asked], status, size, agents[tail]),
                            )
                        )
                    except ValueError:
                        broken.append(line)
                    continue
            if line and line != b"\r":
                try:
                    append(self._slow(line, not_after_s))
                except (ValueError, OverflowError, RecursionError):
                    broken.append(line)
        return Parsed(accesses, broken)

    def _slow(self, line: bytes, not_after_s: int) -> Access:
        if len(line) > _LONGEST_LINE:
            raise _BrokenError
        is_json = line[:1] == b"{"
        match self._format:
            case Format.NGINX_JSON:
                access = self._nginx(line)
            case Format.CADDY_JSON:
                access = self._caddy(line)
            case Format.AUTO if is_json:
                access = self._caddy(line) if b'"request":{' in line else self._nginx(line)
            case _:
                access = self._text(line)
        if not _EARLIEST_S <= access.at_s <= not_after_s:
            raise _BrokenError
        return access

    def _text(self, line: bytes) -> Access:
        match = _TEXT.fullmatch(line.rstrip(b"\r"))
        if match is None:
            raise _BrokenError
        tail = match["agent"]
        wanted = self._format
        if wanted in {Format.COMBINED, Format.COMMON} and (
            match["host"] is not None or (tail is None) is (wanted is Format.COMBINED)
        ):
            raise _BrokenError
        status, size = self._statuses[match["numbers"]]
        return Access(
            self._moments[match["moment"]],
            match["address"],
            self._requests[match["request"]],
            status,
            size,
            self._agents[tail or b'-"'],
        )

    def _nginx(self, line: bytes) -> Access:
        said = _NGINX.decode(line)
        asked = said.request or f"{said.request_method} {said.request_uri or said.uri}"
        return Access(
            said.moment(self._moments),
            said.remote_addr.encode(),
            self._requests[asked.encode(errors="replace")],
            _number(said.status, 999),
            _number(said.body_bytes_sent or said.bytes_sent),
            self._plain_agents[said.http_user_agent],
        )

    def _caddy(self, line: bytes) -> Access:
        said = _CADDY.decode(line)
        asked = f"{said.request.method} {said.request.uri}"
        return Access(
            _whole_seconds(said.ts),
            (said.request.client_ip or said.request.remote_ip).encode(),
            self._requests[asked.encode(errors="replace")],
            said.status,
            said.size,
            self._plain_agents[_header(said.request.headers, "user-agent")],
        )


# --- text --------------------------------------------------------------------------------

#: Within quotes, nginx writes `"` as \x22 and Apache as \".
_TEXT = re.compile(
    rb"(?:(?P<host>[^\s\"]+) (?=[0-9a-fA-F]*[.:][0-9a-fA-F.:]+ ))?"
    rb"(?P<address>\S+) \S+ [^\"]*?\[(?P<moment>[^\]\"]{26})\] "
    rb'"(?P<request>(?:[^"\\]|\\.)*)" (?P<numbers>\d{3} (?:\d+|-))'
    rb'(?: "(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*").*)?',
    re.DOTALL,
)
_CLOSED = re.compile(rb'((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_MOMENT = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_LARGEST = 2**62
#: No answer is so large; a line that says so is broken, and would break the sum of its day.
_LARGEST_BYTES = 2**45


def _moment(text: bytes) -> int:
    """Seconds since 1970 of 25/Nov/2026:16:00:00 +0000; a leap second is the one before it."""
    match = _MOMENT.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise _BrokenError
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
    zone = timezone(-offset if match[7] == b"-" else offset)
    moment = datetime(year, _MONTHS[match[2]], day, hour, minute, min(second, 59), tzinfo=zone)
    at_s = int(moment.timestamp())
    if at_s < _EARLIEST_S or second > 60:
        raise _BrokenError
    return at_s


def _status_and_size(text: bytes) -> tuple[int, int]:
    status, _, size = text.partition(b" ")
    if not (status.isdigit() and len(status) == 3):
        raise _BrokenError
    return int(status), 0 if size == b"-" else _number(size.decode())


def _request(line: bytes) -> Request:
    return request(_unescaped(line))


def _quoted_agent(text: bytes) -> Agent:
    """The agent of a field up to its closing quote; further fields may follow it."""
    match = _CLOSED.match(text)
    if match is None:
        raise _BrokenError
    return agent(_unescaped(match[1]))


def _unescaped(text: bytes) -> str:
    plain = text.decode("utf-8", "replace")
    return _ESCAPE.sub(_meant, plain) if "\\" in plain else plain


def _meant(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]


# --- JSON --------------------------------------------------------------------------------


class _NginxLine(msgspec.Struct):
    """The variables of nginx's log module; numbers may come as text."""

    remote_addr: str
    status: int | str
    request: str = ""
    request_method: str = ""
    request_uri: str = ""
    uri: str = ""
    body_bytes_sent: int | str | None = None
    bytes_sent: int | str | None = None
    http_user_agent: str = ""
    time_iso8601: str = ""
    time_local: str = ""
    msec: float | str | None = None

    def moment(self, moments: dict[bytes, int]) -> int:
        """Seconds since 1970, from whichever variable there is."""
        if self.time_iso8601:
            moment = datetime.fromisoformat(self.time_iso8601)
            return _whole_seconds(
                (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            )
        if self.msec not in {None, ""}:
            return _whole_seconds(float(self.msec or 0))
        return moments[self.time_local.encode()]


class _CaddyRequest(msgspec.Struct):
    method: str
    uri: str
    remote_ip: str = ""
    client_ip: str = ""
    headers: dict[str, Any] = {}


class _CaddyLine(msgspec.Struct):
    ts: float
    request: _CaddyRequest
    status: int
    size: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.status <= 999 and 0 <= self.size <= _LARGEST_BYTES):
            raise ValueError


_NGINX = msgspec.json.Decoder(_NginxLine)
_CADDY = msgspec.json.Decoder(_CaddyLine)


def _number(text: int | str | None, largest: int = _LARGEST_BYTES) -> int:
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _BrokenError
    number = int(text or 0)
    if not 0 <= number <= largest:
        raise _BrokenError
    return number


def _whole_seconds(moment: float) -> int:
    if not _EARLIEST_S <= moment < _LARGEST:  # also what is no number
        raise _BrokenError
    return int(moment)


def _header(headers: dict[str, Any], wanted: str) -> str:
    for name, values in headers.items():
        if name.lower() == wanted:
            value = values[0] if isinstance(values, list) and values else values
            return value if isinstance(value, str) else ""
    return ""
