"""Lines of access logs into accesses: text formats of nginx and Apache, JSON of nginx and Caddy.

A line is taken as the bytes that it is. What repeats (the moment, the request, the size, the user
agent) is looked up in bounded caches, which is what makes a line cost two microseconds.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from piwheels.accesslog.classify import ClassifiedRequest, RequestClass, classify
from piwheels.accesslog.user_agents import Client, hash32, parse_user_agent
from piwheels.db import binary_copy
from piwheels.model import Struct

_K = TypeVar("_K", bound=bytes | str)
_V = TypeVar("_V")

_CACHE_SIZE = 50_000
_MAX_CACHED_BYTES = 1000  # bytes: long ones are made up by strangers, and seldom come again
_MAX_LINE_BYTES = 64 * 1024
#: No web server logged before; a moment before it is an unset clock or a broken line.
_MIN_TIME_S = 631_152_000  # 1990-01-01
DAY_S = 86_400
_EMPTY_LINES = (b"", b"\r")


class LogFormat(StrEnum):
    """How the lines of a log are written."""

    AUTO = "auto"  # each line as it looks
    COMBINED = "combined"  # nginx's default and Apache's; further fields may follow
    COMMON = "common"  # the same without referer and user agent
    APACHE = "apache"  # either, also with the virtual host before them
    NGINX_JSON = "nginx-json"  # an object a line, by nginx's names of variables
    CADDY_JSON = "caddy-json"  # Caddy's default


#: The formats that have a short way.
_SIMPLE_FORMATS = {LogFormat.AUTO, LogFormat.COMBINED, LogFormat.APACHE}


class Timestamp(Struct, frozen=True):
    """A second."""

    at_s: int  # since 1970
    day: int  # since 1970, in UTC
    minute: int  # since 1970
    hash32: int  # 32 bits that tell it apart
    packed: bytes  # in a row of `accesses`


class Response(Struct, frozen=True):
    """What a web server answered."""

    status: int
    size_bytes: int  # as sent
    is_sized: bool  # the log has the size
    status_class: int  # in a Request, of what it counts as
    packed: bytes  # status and size in a row of `accesses`


#: One request that a web server answered: when, to which address, what, how, and who asked. A
#: tuple without names, since making one with names takes twice the time.
AccessRecord: TypeAlias = tuple[Timestamp, bytes, RequestClass, Response, Client]


class Parsed(NamedTuple):
    """What came of a block of lines."""

    accesses: list[AccessRecord]
    rejected: list[bytes]  # lines that are none


class _RejectedLineError(ValueError):
    pass


class _Cache(dict[_K, _V]):
    """Remembers what a function gave, up to a number of arguments; then it begins anew."""

    def __init__(self, make: Callable[[_K], _V], limit: int = _CACHE_SIZE) -> None:
        super().__init__()
        self._make = make
        self._limit = limit

    def __missing__(self, key: _K) -> _V:
        value = self._make(key)
        if len(key) <= _MAX_CACHED_BYTES:
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value


class Parser:
    """Reads lines of one format; keeps nothing but its caches."""

    def __init__(self, line_format: LogFormat = LogFormat.AUTO, prefix: str = "") -> None:
        """Read lines of a format; the tree may be served below `prefix`, too (webroot.url)."""
        self._format = line_format
        self._max_time_s = 0
        self._timestamps: _Cache[bytes, Timestamp] = _Cache(self._bracketed_timestamp, 4096)
        self._requests: _Cache[bytes, ClassifiedRequest] = _Cache(
            lambda line: classify(_unescape(line), prefix)
        )
        self._responses: _Cache[bytes, Response] = _Cache(_parse_response)
        self._clients: _Cache[bytes, Client] = _Cache(_parse_quoted_agent)
        self._json_clients: _Cache[str, Client] = _Cache(parse_user_agent)

    def parse(self, block: bytes, max_time_s: int) -> Parsed:
        """Read whole lines; empty ones are passed over.

        Args:
            block: lines, each with its newline (the last may lack it).
            max_time_s: seconds since 1970; a later moment makes a line a broken one. It may
                not become less from call to call.
        """
        self._max_time_s = max_time_s
        parsed = Parsed([], [])
        for line in self._parse_simple(block.split(b"\n"), parsed.accesses):
            if line in _EMPTY_LINES:
                continue
            try:
                parsed.accesses.append(self._parse_other(line))
            except (ValueError, OverflowError, RecursionError):
                parsed.rejected.append(line)
        return parsed

    def _parse_simple(self, lines: list[bytes], accesses: list[AccessRecord]) -> list[bytes]:
        """Read lines as nearly all of them look, without a regular expression; gives the others.

        address - user [moment] "request" status size "referer" "agent"
        """
        others: list[bytes] = []
        if self._format not in _SIMPLE_FORMATS:
            return lines
        moments, requests = self._timestamps, self._requests
        answers, agents = self._responses, self._clients
        for line in lines:
            try:
                head, asked, answered, referer, gap, tail = line.split(b'"', 5)
                address, ident, _ = head.split(b" ", 2)
                # A quote behind a backslash is one within a field.
                if gap == b" " and ident == b"-" and asked[-1:] != b"\\" != referer[-1:]:
                    answer, client = answers[answered], agents[tail]
                    content = requests[asked][
                        _UNCOUNTED if client.is_builder else answer.status_class
                    ]
                    accesses.append((moments[head[-29:]], address, content, answer, client))
                    continue
            except ValueError:
                pass
            others.append(line)
        return others

    def _parse_other(self, line: bytes) -> AccessRecord:
        if len(line) > _MAX_LINE_BYTES:
            raise _RejectedLineError
        is_json = line[:1] == b"{"
        match self._format:
            case LogFormat.NGINX_JSON:
                return self._parse_nginx(line)
            case LogFormat.CADDY_JSON:
                return self._parse_caddy(line)
            case LogFormat.AUTO if is_json:
                return (
                    self._parse_caddy(line) if b'"request":{' in line else self._parse_nginx(line)
                )
            case _:
                return self._parse_text(line)

    def _parse_text(self, line: bytes) -> AccessRecord:
        match = _TEXT.fullmatch(line.rstrip(b"\r"))
        if match is None:
            raise _RejectedLineError
        tail = match["agent"]
        wanted = self._format
        if wanted in {LogFormat.COMBINED, LogFormat.COMMON} and (
            match["host"] is not None or (tail is None) is (wanted is LogFormat.COMBINED)
        ):
            raise _RejectedLineError
        return self._make_record(
            self._timestamps[b"[%b] " % match["moment"]],
            match["address"],
            self._requests[match["request"]],
            self._responses[b" %b " % match["numbers"]],
            self._clients[tail or b'-"'],
        )

    def _parse_nginx(self, line: bytes) -> AccessRecord:
        said = _NGINX.decode(line)
        asked = said.request or f"{said.request_method} {said.request_uri or said.uri}"
        return self._make_record(
            self._timestamp(said.timestamp()),
            said.remote_addr.encode(),
            self._requests[asked.encode(errors="replace")],
            _make_response(said.status, said.size()),
            self._json_clients[said.http_user_agent],
        )

    def _parse_caddy(self, line: bytes) -> AccessRecord:
        said = _CADDY.decode(line)
        asked = f"{said.request.method} {said.request.uri}"
        return self._make_record(
            self._timestamp(said.ts),
            (said.request.client_ip or said.request.remote_ip).encode(),
            self._requests[asked.encode(errors="replace")],
            _make_response(said.status, said.size),
            self._json_clients[_header(said.request.headers, "user-agent")],
        )

    @staticmethod
    def _make_record(
        moment: Timestamp,
        address: bytes,
        asked: ClassifiedRequest,
        answer: Response,
        client: Client,
    ) -> AccessRecord:
        content = asked[_UNCOUNTED if client.is_builder else answer.status_class]
        return moment, address, content, answer, client

    def _bracketed_timestamp(self, text: bytes) -> Timestamp:
        if text[:1] != b"[" or text[-2:] != b"] ":
            raise _RejectedLineError
        return self._timestamp(_parse_clf_time(text[1:-2]))

    def _timestamp(self, at_s: float) -> Timestamp:
        if not _MIN_TIME_S <= at_s <= self._max_time_s:  # also what is no number
            raise _RejectedLineError
        return _timestamp(int(at_s))


@lru_cache(4096)
def _timestamp(at_s: int) -> Timestamp:
    packed = binary_copy.pack_time(at_s)
    return Timestamp(at_s, at_s // DAY_S, at_s // 60, hash32(packed), packed)


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
_NUMBERS = re.compile(rb" (\d{3}) (\d+|-) ")
_UNCOUNTED = 2  # the place in a Request of what counts as nothing
_STATUS_CLASSES = {200: 0, 304: 1}  # of statuses in a Request; all others count as nothing
_CLF_TIME = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
#: No answer is so large; a line that says so is broken, and would break the sum of its day.
_MAX_RESPONSE_BYTES = 2**45


def _parse_clf_time(text: bytes) -> int:
    """Seconds since 1970 of 25/Nov/2026:16:00:00 +0000; a leap second is the one before it."""
    match = _CLF_TIME.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise _RejectedLineError
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
    zone = timezone(-offset if match[7] == b"-" else offset)
    moment = datetime(year, _MONTHS[match[2]], day, hour, minute, min(second, 59), tzinfo=zone)
    if second > 60:
        raise _RejectedLineError
    return int(moment.timestamp())


def _parse_response(text: bytes) -> Response:
    """What stands between request and referer: " 200 1000 "."""
    match = _NUMBERS.fullmatch(text)
    if match is None:
        raise _RejectedLineError
    return _make_response(int(match[1]), 0 if match[2] == b"-" else match[2].decode())


def _make_response(status: int | str, size_bytes: int | str | None) -> Response:
    code, size = _parse_number(status, 999), _parse_number(size_bytes)
    packed = binary_copy.pack_response(size, code)
    place = _STATUS_CLASSES.get(code, _UNCOUNTED)
    return Response(code, size, size_bytes is not None, place, packed)


def _parse_quoted_agent(text: bytes) -> Client:
    """The agent of a field up to its closing quote; further fields may follow it."""
    match = _CLOSED.match(text)
    if match is None:
        raise _RejectedLineError
    return parse_user_agent(_unescape(match[1]))


def _unescape(text: bytes) -> str:
    plain = text.decode("utf-8", "replace")
    return _ESCAPE.sub(_unescape_match, plain) if "\\" in plain else plain


def _unescape_match(match: re.Match[str]) -> str:
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

    def timestamp(self) -> float:
        """Seconds since 1970, from whichever variable there is."""
        if self.time_iso8601:
            moment = datetime.fromisoformat(self.time_iso8601)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if self.msec not in {None, ""}:
            return float(self.msec or 0)
        return _parse_clf_time(self.time_local.encode())

    def size(self) -> int | str | None:
        """Bytes sent, without the headers if that is known."""
        return self.bytes_sent if self.body_bytes_sent is None else self.body_bytes_sent


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
    size: int | None = None


_NGINX = msgspec.json.Decoder(_NginxLine)
_CADDY = msgspec.json.Decoder(_CaddyLine)


def _parse_number(text: int | str | None, maximum: int = _MAX_RESPONSE_BYTES) -> int:
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _RejectedLineError
    number = int(text or 0)
    if not 0 <= number <= maximum:
        raise _RejectedLineError
    return number


def _header(headers: dict[str, Any], wanted: str) -> str:
    for name, values in headers.items():
        if name.lower() == wanted:
            value = values[0] if isinstance(values, list) and values else values
            return value if isinstance(value, str) else ""
    return ""
