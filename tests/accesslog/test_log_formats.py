"""Lines of every format are parsed; hostile ones are rejected without errors."""

import json
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.accesslog.classify import RequestClass, RequestKind, classify
from piwheels.accesslog.log_formats import LogFormat, Parser
from piwheels.accesslog.user_agents import Client, ClientType, parse_user_agent
from tests.accesslog.log_generator import (
    BOT,
    BROWSER,
    MIRROR,
    LogGenerator,
    combined,
    pip_agent,
    uv_agent,
    wheel_path,
)

AT_S = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())
LATER_S = AT_S + 86_400
WHEEL = wheel_path("numpy")
BUILDER = "piwheels-builder/2.0"


class Named(NamedTuple):
    """The fields of an access."""

    at_s: int
    address: bytes
    content: RequestClass
    status: int
    size_bytes: int
    agent: Client


def parse_one(line: bytes, line_format: LogFormat = LogFormat.AUTO) -> Named | None:
    """The access of a line, or None for a rejected one."""
    parsed = Parser(line_format).parse(line, LATER_S)
    assert len(parsed.accesses) + len(parsed.rejected) == 1
    for moment, address, content, answer, who in parsed.accesses:
        return Named(moment.at_s, address, content, answer.status, answer.size_bytes, who)
    return None


def nginx_json(**facts: object) -> bytes:
    message = {
        "time_iso8601": "2026-03-10T12:00:00+00:00",
        "remote_addr": "192.0.2.1",
        "request": f"GET {WHEEL} HTTP/1.1",
        "status": "200",
        "body_bytes_sent": 1000,
        "http_user_agent": pip_agent(),
    }
    return json.dumps({**message, **facts}).encode()


def caddy_json(**facts: object) -> bytes:
    message = {
        "level": "info",
        "ts": AT_S + 0.25,
        "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": {
            "remote_ip": "192.0.2.1",
            "client_ip": "192.0.2.1",
            "proto": "HTTP/1.1",
            "method": "GET",
            "uri": WHEEL,
            "headers": {"User-Agent": [pip_agent()], "Accept": ["*/*"]},
        },
        "size": 1000,
        "status": 200,
    }
    return json.dumps({**message, **facts}, separators=(",", ":")).encode()


def apache(line: bytes) -> bytes:
    r"""As Apache escapes it: \" and not \x22."""
    return line.replace(b"\\x22", b'\\"').replace(b"\\x5C", b"\\\\")


COMBINED = combined(WHEEL).rstrip(b"\n")
COMMON = COMBINED.partition(b' "-" "')[0]


@pytest.mark.parametrize(
    ("line", "formats"),
    [
        (COMBINED, "auto combined apache"),
        (COMBINED + b"\r", "auto combined apache"),
        (COMBINED + b' "192.0.2.9" 0.002', "auto combined apache"),
        (apache(COMBINED), "auto combined apache"),
        (b"wheels.example.org:443 " + COMBINED, "auto apache"),
        (COMMON, "auto common apache"),
        (b"wheels.example.org " + COMMON, "auto apache"),
        (nginx_json(), "auto nginx-json"),
        (nginx_json(status=200, body_bytes_sent="1000"), "auto nginx-json"),
        (nginx_json(time_iso8601="", msec="1773144000.123"), "auto nginx-json"),
        (nginx_json(time_iso8601="", time_local="10/Mar/2026:14:00:00 +0200"), "auto nginx-json"),
        (
            nginx_json(request="", request_method="GET", request_uri=WHEEL, uri="/x"),
            "auto nginx-json",
        ),
        (caddy_json(), "auto caddy-json"),
    ],
)
def test_every_format_gives_the_same_access(line: bytes, formats: str) -> None:
    for line_format in LogFormat:
        access = parse_one(line, line_format)
        if str(line_format) not in formats.split():
            assert access is None, line_format
            continue
        assert access is not None, line_format
        assert (access.at_s, access.address, access.status) == (AT_S, b"192.0.2.1", 200)
        assert (access.size_bytes, access.content.kind) == (1000, RequestKind.DOWNLOAD)
        assert access.content.wheel is not None
        assert access.content.wheel.project == "numpy"
        if line_format is not LogFormat.COMMON and b"pip/" in line:
            assert (access.agent.installer, access.agent.python) == ("pip", "3.11")


@given(st.integers(0, 2**32), st.sampled_from(sorted(b' "\\[]-:0Z\xff')), st.integers(-40, 700))
def test_a_line_of_the_usual_form_is_parsed_as_one_with_a_host(
    seed: int, byte: int, at: int
) -> None:
    """The first is split, and the second is matched by a regular expression; one byte is changed."""
    line = next(LogGenerator(seed, projects=2).lines(1)).rstrip(b"\n")
    for text in (line, apache(line), line + b' "192.0.2.7" 0.003'):
        changed = text[:at] + bytes([byte]) + text[at + 1 :] if 30 < at < len(text) else text
        assert parse_one(changed + b" ") == parse_one(b"wheels.example.org " + changed + b" ")


@pytest.mark.parametrize(
    "line",
    [
        combined(WHEEL, agent=BUILDER),
        nginx_json(http_user_agent=BUILDER),
        caddy_json(request={"method": "GET", "uri": WHEEL, "headers": {"User-Agent": [BUILDER]}}),
    ],
)
def test_requests_of_builders_are_not_counted(line: bytes) -> None:
    access = parse_one(line)
    assert access is not None
    assert access.agent.agent_class is ClientType.BUILDER
    assert access.content.kind is RequestKind.OTHER
    assert access.content.wheel is None


HOSTILE = [
    b"\0" * 100,
    b"\xff\xfe\xfd",
    b"{",
    b"{}",
    b"[]",
    b'{"request":{',
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b"x" * 200_000,
    b'"' * 5000,
    b'" ' * 5000,
    b'] "' * 5000,
    b"\\" * 5000,
    b' [10/Mar/2026:12:00:00 +0000] "' * 2000,
    COMBINED.replace(b"200", b"2000"),
    COMBINED.replace(b"1000", b"9" * 40),
    COMBINED.replace(b" 1000 ", b" -5 "),
    COMBINED.replace(b"10/Mar", b"31/Feb"),
    COMBINED.replace(b"10/Mar/2026", b"10/Mar/0001"),
    COMBINED.replace(b"10/Mar/2026", b"10/Mar/9999"),
    COMBINED.replace(b"+0000", b"+9999"),
    COMBINED.replace(b":12:00:00", b":12:00:61"),
    COMBINED[:-1],
    COMBINED[: len(COMBINED) // 2],
    COMBINED[1:].replace(b" - - ", b" "),
    nginx_json(status="abc"),
    nginx_json(status=-200),
    nginx_json(status="\u0662\u0660\u0660"),
    nginx_json(body_bytes_sent="-1"),
    nginx_json(body_bytes_sent=10**30),
    nginx_json(remote_addr=None),
    nginx_json(time_iso8601="yesterday"),
    nginx_json(time_iso8601="9999-12-31T23:59:59-23:00"),
    nginx_json(time_iso8601="0001-01-01T00:00:00+23:00"),
    nginx_json(time_iso8601="", msec="nan"),
    nginx_json(time_iso8601="", msec="inf"),
    nginx_json(time_iso8601=""),
    caddy_json(ts=1e300),
    caddy_json(ts=-5),
    caddy_json(ts="2026-03-10"),
    caddy_json(status=-1),
    caddy_json(size=-1),
    caddy_json(request={"method": "GET"}),
]


@pytest.mark.parametrize("line_format", LogFormat)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_line_is_rejected(number: int, line_format: LogFormat) -> None:
    assert parse_one(HOSTILE[number], line_format) is None


@given(st.lists(st.binary(max_size=300)), st.sampled_from(LogFormat))
def test_any_bytes_are_accesses_or_rejected_lines(
    lines: list[bytes], line_format: LogFormat
) -> None:
    block = b"\n".join(lines)
    parsed = Parser(line_format).parse(block, LATER_S)
    expected = sum(line not in {b"", b"\r"} for line in block.split(b"\n"))
    assert len(parsed.accesses) + len(parsed.rejected) == expected


_FIELDS = st.text(st.characters(codec="utf-8"), max_size=60)


@given(path=_FIELDS, who=_FIELDS, status=st.integers(100, 599), size=st.integers(0, 2**40))
def test_untrusted_text_does_not_shift_fields(path: str, who: str, status: int, size: int) -> None:
    """Any request and user agent survive each server's escaping."""
    for quoted in (_as_nginx, _as_apache):
        line = (
            f'192.0.2.1 - - [10/Mar/2026:12:00:00 +0000] "{quoted("GET /" + path + " HTTP/1.1")}" '
            f'{status} {size} "{quoted(who)}" "{quoted(who)}"'
        ).encode()
        access = parse_one(line)
        assert access is not None
        assert (access.at_s, access.address) == (AT_S, b"192.0.2.1")
        assert (access.status, access.size_bytes) == (status, size)
        assert access.agent == parse_user_agent(_printable(who))


def _printable(text: str) -> str:
    """The parsed text: both servers escape bytes beyond ASCII one by one."""
    return "".join(chr(byte) for byte in text.encode())


def _as_nginx(text: str) -> str:
    return "".join(
        f"\\x{byte:02X}" if byte in b'"\\' or byte < 32 or byte > 126 else chr(byte)
        for byte in text.encode()
    )


def _as_apache(text: str) -> str:
    return "".join(
        f"\\{chr(byte)}"
        if byte in b'"\\'
        else f"\\x{byte:02x}"
        if byte < 32 or byte > 126
        else chr(byte)
        for byte in text.encode()
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"GET {WHEEL} HTTP/1.1", RequestKind.DOWNLOAD),
        (f"GET {WHEEL}?x=1 HTTP/2.0", RequestKind.DOWNLOAD),
        (f"GET {quote(WHEEL, safe='/')} HTTP/1.1", RequestKind.DOWNLOAD),
        (f"GET http://wheels.example.org{WHEEL} HTTP/1.1", RequestKind.DOWNLOAD),
        (f"HEAD {WHEEL} HTTP/1.1", RequestKind.OTHER),
        (f"POST {WHEEL} HTTP/1.1", RequestKind.OTHER),
        (f"GET {WHEEL}.metadata HTTP/1.1", RequestKind.OTHER),
        (f"GET {WHEEL}.provenance.json HTTP/1.1", RequestKind.OTHER),
        ("GET /packages/aa/bb/not-a-wheel.whl HTTP/1.1", RequestKind.OTHER),
        ("GET /packages/aa/bb/%00-1-py3-none-any.whl HTTP/1.1", RequestKind.OTHER),
        ("GET /elsewhere/numpy-1.0-py3-none-any.whl HTTP/1.1", RequestKind.OTHER),
        (f"GET /simple/numpy/{WHEEL.rpartition('/')[2]} HTTP/1.1", RequestKind.DOWNLOAD),
        ("GET /simple/numpy/not-a-wheel.whl HTTP/1.1", RequestKind.OTHER),
        ("GET /simple/ HTTP/1.1", RequestKind.INDEX),
        ("GET /simple/numpy/ HTTP/1.1", RequestKind.INDEX),
        ("GET /project/numpy/ HTTP/1.1", RequestKind.PROJECT),
        ("GET /project/numpy/json HTTP/1.1", RequestKind.JSON),
        ("GET /project/numpy/json/ HTTP/1.1", RequestKind.JSON),
        ("GET /stats.json HTTP/1.1", RequestKind.JSON),
        ("GET /logs/0000/0001/1.txt.gz HTTP/1.1", RequestKind.LOG),
        ("GET / HTTP/1.1", RequestKind.OTHER),
        ("GET /", RequestKind.OTHER),
        ("", RequestKind.OTHER),
    ],
)
def test_requests_are_classified_by_path(line: str, kind: RequestKind) -> None:
    assert classify(line).whole.kind is kind


@pytest.mark.parametrize("path", [WHEEL, f"/wheels{WHEEL}"])
def test_a_web_root_may_be_served_under_a_path(path: str) -> None:
    parsed = Parser(prefix="wheels").parse(combined(path), LATER_S)
    assert parsed.accesses[0][2].kind is RequestKind.DOWNLOAD
    assert classify(f"GET /wheels{WHEEL} HTTP/1.1").whole.kind is RequestKind.OTHER


@pytest.mark.parametrize(
    ("method", "status", "kind"),
    [
        ("GET", 200, RequestKind.DOWNLOAD),
        ("GET", 206, RequestKind.OTHER),  # a part
        ("GET", 304, RequestKind.OTHER),
        ("GET", 404, RequestKind.OTHER),
        ("HEAD", 200, RequestKind.OTHER),
    ],
)
def test_a_wheel_is_counted_if_it_was_sent_completely(
    method: str, status: int, kind: RequestKind
) -> None:
    access = parse_one(combined(WHEEL, method=method, status=status))
    assert access is not None
    assert access.content.kind is kind


def test_an_index_page_is_counted_if_unchanged_but_not_if_missing() -> None:
    kinds = []
    for status in (200, 304, 404):
        access = parse_one(combined("/simple/numpy/", status=status))
        assert access is not None
        kinds.append(access.content.kind)
    assert kinds == [RequestKind.INDEX, RequestKind.INDEX, RequestKind.OTHER]


@pytest.mark.parametrize(
    ("tags", "factor"),
    [
        ("cp311-cp311-linux_aarch64", 1),
        ("cp311-cp311-linux_armv6l", 6),
        ("cp39-abi3-linux_armv7l", 1),
        ("py3-none-any", 0),
        ("py3-none-linux_armv6l", 0),
    ],
)
def test_saved_time_depends_on_abi_and_platform(tags: str, factor: int) -> None:
    wheel = classify(f"GET {wheel_path('numpy', tags=tags)} HTTP/1.1").whole.wheel
    assert wheel is not None
    assert wheel.time_factor == factor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (pip_agent(), "installer pip 24.0 aarch64 Debian 12 3.11"),
        (uv_agent(), "installer uv 0.5 x86_64 Ubuntu 24.04 3.13"),
        (pip_agent().replace("Debian", "Raspbian"), "installer pip 24.0 aarch64 Raspbian 12 3.11"),
        ("pip/24.0", "installer pip 24.0    "),
        ("pip/\u0662\u0664.0", "installer pip     "),
        ("pip/24.0 {not json", "installer pip 24.0    "),
        ("pip/24.0 " + "[" * 4000, "installer pip 24.0    "),
        ('pip/24.0 {"cpu":["x"],"distro":7,"python":{}}', "installer pip 24.0    "),
        (
            'pip/24.0 {"cpu":"made-up","distro":{"name":"Nonsense OS"},"python":"x"}',
            "installer pip 24.0 other other  ",
        ),
        ('pip/24.0 {"cpu":"AMD64","system":{"name":"Windows","release":"10"}}',
         "installer pip 24.0 x86_64 Windows 10 "),
        ("poetry/1.8.3 CPython/3.11.2 Linux/6.1.0", "installer poetry 1.8    3.11"),
        ("pdm/2.20.1", "installer pdm 2.20    "),
        (BROWSER, "browser      "),
        (BOT, "bot      "),
        (MIRROR, "mirror      "),
        ("devpi-server/6.9.0 (py3.11.2; linux)", "mirror      "),
        ("curl/7.88.1", "tool      "),
        ("python-requests/2.31.0", "tool      "),
        ("piwheels-builder/2.0.0", "builder      "),
        ("piwheels/2.0.0.dev1", "builder      "),
        ("piwheels-exporter/1.0", "other      "),
        ("", "other      "),
        ("-", "other      "),
    ],
)  # fmt: skip
def test_user_agents_are_parsed(text: str, expected: str) -> None:
    found = parse_user_agent(text)
    assert (
        f"{found.agent_class} {found.installer} {found.installer_version} {found.arch} "
        f"{found.os} {found.os_release} {found.python}"
    ) == expected


@given(st.text())
def test_any_user_agent_has_a_type(text: str) -> None:
    for sent in (text, f"pip/{text}", f'pip/24.0 {{"distro":{{"name":{json.dumps(text)}}}}}'):
        found = parse_user_agent(sent)
        assert isinstance(found.agent_class, ClientType)
        assert "\0" not in f"{found.installer}{found.os}{found.arch}"
