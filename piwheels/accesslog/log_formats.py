"""Parses lines of access logs: text formats of nginx and Apache, JSON of nginx and Caddy.

Lines are parsed as bytes. Repeated parts (time, request, size, user agent) are looked up in bounded
caches, so that a line costs about two microseconds.
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
_MAX_CACHED_BYTES = 1000  # bytes: long ones are seldom repeated
_MAX_LINE_BYTES = 64 * 1024
#: Earlier times come from an unset clock or an invalid line.
_MIN_TIME_S = 631_152_000  # 1990-01-01
DAY_S = 86_400
_EMPTY_LINES = (b"", b"\r")


class LogFormat(StrEnum):
    """The format of a log's lines."""

    AUTO = "auto"  # detected for each line
    COMBINED = "combined"  # nginx's default and Apache's; further fields may follow
    COMMON = "common"  # without referer and user agent
    APACHE = "apache"  # either, optionally preceded by the virtual host
    NGINX_JSON = "nginx-json"  # one object per line, with the names of nginx's variables
    CADDY_JSON = "caddy-json"  # Caddy's default


#: The formats of which most lines can be parsed without a regular expression.
_SIMPLE_FORMATS = {LogFormat.AUTO, LogFormat.COMBINED, LogFormat.APACHE}


class Timestamp(Struct, frozen=True):
    """A time, in whole seconds."""

    at_s: int  # since 1970
    day: int  # since 1970, in UTC
    minute: int  # since 1970
    hash32: int  # for fingerprints
    packed: bytes  # as a field of a row (db.binary_copy)


class Response(Struct, frozen=True):
    """The status and size of a response."""

    status: int
    size_bytes: int  # sent
    is_sized: bool  # whether the log has the size
    status_class: int  # the index of its class in a ClassifiedRequest
    packed: bytes  # status and size as a field of a row


#: A logged request: time, address, class, response, client. A plain tuple, because creating a
#: named one takes twice as long.
AccessRecord: TypeAlias = tuple[Timestamp, bytes, RequestClass, Response, Client]


class Parsed(NamedTuple):
    """The result of parsing a block of lines."""

    accesses: list[AccessRecord]
    rejected: list[bytes]  # lines that are invalid


class _RejectedLineError(ValueError):
    pass


class _Cache(dict[_K, _V]):
    """Caches a function's results up to a number of entries, then clears itself."""

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
    """Parses lines of one format; its only state is its caches."""

    def __init__(self, line_format: LogFormat = LogFormat.AUTO, prefix: str = "") -> None:
        """Parse lines of a format; `prefix` is the path of webroot.url, without outer slashes."""
        self._format = line_format
        self._max_time_s = 0
        self._timestamps: _Cache[bytes, Timestamp] = _Cache(self._bracketed_timestamp, 4096)
        self._requests: _Cache[bytes, ClassifiedRequest] = _Cache(
            lambda line: classify(_unescape(line), prefix)
        )
        self._responses: _Cache[bytes, Response] = _Cache(_parse_response)
        # Further fields, as the time that an answer took, may make the end of each line another
        # one: a user agent is parsed once all the same.
        self._agents: _Cache[bytes, Client] = _Cache(lambda sent: parse_user_agent(_unescape(sent)))
        self._clients: _Cache[bytes, Client] = _Cache(lambda text: self._agents[_quoted(text)])
        self._json_clients: _Cache[str, Client] = _Cache(parse_user_agent)

    def parse(self, block: bytes, max_time_s: int) -> Parsed:
        """Parse complete lines; empty lines are ignored.

        Args:
            block: lines with newlines (the last may lack one).
            max_time_s: seconds since 1970; lines with later times are rejected. A time that was
                accepted is still accepted after it decreased.
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
        """Parse lines of the usual form without a regular expression; returns the others.

        address - user [time] "request" status size "referer" "agent"
        """
        others: list[bytes] = []
        if self._format not in _SIMPLE_FORMATS:
            return lines
        timestamps, requests = self._timestamps, self._requests
        responses, agents = self._responses, self._clients
        for line in lines:
            try:
                head, request, numbers, referer, gap, tail = line.split(b'"', 5)
                address, ident, _ = head.split(b" ", 2)
                # A quote after a backslash belongs to a field.
                if gap == b" " and ident == b"-" and request[-1:] != b"\\" != referer[-1:]:
                    answer, client = responses[numbers], agents[tail]
                    content = requests[request][
                        _UNCOUNTED if client.is_builder else answer.status_class
                    ]
                    accesses.append((timestamps[head[-29:]], address, content, answer, client))
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
        fields = _NGINX.decode(line)
        request = fields.request or f"{fields.request_method} {fields.request_uri or fields.uri}"
        return self._make_record(
            self._timestamp(fields.timestamp()),
            fields.remote_addr.encode(),
            self._requests[request.encode(errors="replace")],
            _make_response(fields.status, fields.size()),
            self._json_clients[fields.http_user_agent],
        )

    def _parse_caddy(self, line: bytes) -> AccessRecord:
        fields = _CADDY.decode(line)
        request = f"{fields.request.method} {fields.request.uri}"
        return self._make_record(
            self._timestamp(fields.ts),
            (fields.request.client_ip or fields.request.remote_ip).encode(),
            self._requests[request.encode(errors="replace")],
            _make_response(fields.status, fields.size),
            self._json_clients[_header(fields.request.headers, "user-agent")],
        )

    @staticmethod
    def _make_record(
        moment: Timestamp,
        address: bytes,
        request: ClassifiedRequest,
        answer: Response,
        client: Client,
    ) -> AccessRecord:
        content = request[_UNCOUNTED if client.is_builder else answer.status_class]
        return moment, address, content, answer, client

    def _bracketed_timestamp(self, text: bytes) -> Timestamp:
        if text[:1] != b"[" or text[-2:] != b"] ":
            raise _RejectedLineError
        return self._timestamp(_parse_clf_time(text[1:-2]))

    def _timestamp(self, at_s: float) -> Timestamp:
        if not _MIN_TIME_S <= at_s <= self._max_time_s:  # also rejects NaN
            raise _RejectedLineError
        return _timestamp(int(at_s))


@lru_cache(4096)
def _timestamp(at_s: int) -> Timestamp:
    packed = binary_copy.pack_time(at_s)
    return Timestamp(at_s, at_s // DAY_S, at_s // 60, hash32(packed), packed)


# --- text --------------------------------------------------------------------------------

#: Within quotes, nginx writes `"` as \x22, and Apache as \".
_QUOTED = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TEXT = re.compile(
    rb"(?:(?P<host>[^\s\"]+) (?=[0-9a-fA-F]*[.:][0-9a-fA-F.:]+ ))?"
    rb"(?P<address>\S+) \S+ [^\"]*?\[(?P<moment>[^\]\"]{26})\] "
    rb'"(?P<request>%b)" (?P<numbers>\d{3} (?:\d+|-))(?: "%b" "(?P<agent>%b").*)?'
    % (_QUOTED, _QUOTED, _QUOTED),
    re.DOTALL,
)
_CLOSED = re.compile(rb'(%b)"' % _QUOTED, re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NUMBERS = re.compile(rb" (\d{3}) (\d+|-) ")
_UNCOUNTED = 2  # the index of the class of uncounted requests
_STATUS_CLASSES = {200: 0, 304: 1}  # indexes of statuses; others are uncounted
_CLF_TIME = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
#: Lines with larger responses are rejected: they would distort or overflow the sum of a day.
_MAX_RESPONSE_BYTES = 2**45


def _parse_clf_time(text: bytes) -> int:
    """Seconds since 1970 of 25/Nov/2026:16:00:00 +0000; a leap second gives the previous one."""
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
    """Parses the text between request and referer: " 200 1000 "."""
    match = _NUMBERS.fullmatch(text)
    if match is None:
        raise _RejectedLineError
    return _make_response(int(match[1]), 0 if match[2] == b"-" else match[2].decode())


def _make_response(status: int | str, size_bytes: int | str | None) -> Response:
    code, size = _parse_number(status, 999), _parse_number(size_bytes)
    packed = binary_copy.pack_response(size, code)
    place = _STATUS_CLASSES.get(code, _UNCOUNTED)
    return Response(code, size, size_bytes is not None, place, packed)


def _quoted(text: bytes) -> bytes:
    """A field up to its closing quote; further fields may follow."""
    match = _CLOSED.match(text)
    if match is None:
        raise _RejectedLineError
    return match[1]


def _unescape(text: bytes) -> str:
    plain = text.decode("utf-8", "replace")
    return _ESCAPE.sub(_unescape_match, plain) if "\\" in plain else plain


def _unescape_match(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]


# --- JSON --------------------------------------------------------------------------------


class _NginxLine(msgspec.Struct):
    """Variables of nginx's log module; numbers may be text."""

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
        """Seconds since 1970, from any of the time variables."""
        if self.time_iso8601:
            moment = datetime.fromisoformat(self.time_iso8601)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if self.msec not in {None, ""}:
            return float(self.msec or 0)
        return _parse_clf_time(self.time_local.encode())

    def size(self) -> int | str | None:
        """Bytes sent, without the headers if that is logged."""
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
