"""Parses the User-Agent header: the type of client, and the system that pip and uv report.

pip and uv send "name/version" and a JSON object (pip since 6.0; the fields are those that PyPI's
linehaul reads). The text is untrusted: only known values are kept, so that clients cannot fill the
tables with arbitrary text.
"""

import re
from enum import StrEnum
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

from piwheels.db import binary_copy
from piwheels.model import UserAgent

OTHER = "other"
_MAX_LENGTH = 4096
#: Odd, so that products stay distinct; it spreads checksums whose exclusive-or is taken.
_HASH_MULTIPLIER = 0x9E3779B1


class ClientType(StrEnum):
    """A type of client."""

    INSTALLER = "installer"
    MIRROR = "mirror"
    BOT = "bot"
    BROWSER = "browser"
    BUILDER = "builder"  # of this or another wheel farm: its requests are not counted
    TOOL = "tool"  # curl, scripts
    OTHER = "other"


class Client(UserAgent, frozen=True, kw_only=True):
    """A client, with what counting its requests needs."""

    packed_key: bytes  # the key as a field of a row (db.binary_copy)
    hash32: int  # 32 bits of the key
    agent_class: ClientType
    is_builder: bool = False  # agent_class is BUILDER


_ARCHES = {
    name: name
    for name in (
        "aarch64", "arm64", "armv5tel", "armv6l", "armv7l", "armv8l", "i386", "i586", "i686",
        "loongarch64", "mips64", "ppc64", "ppc64le", "riscv64", "s390x", "x86_64",
    )
} | {"amd64": "x86_64", "x64": "x86_64", "x86": "i686"}  # fmt: skip
_OS_NAMES = {
    name.lower(): name
    for name in (
        "AlmaLinux", "Alpine", "Amazon", "Android", "Arch", "Armbian", "CentOS", "Debian",
        "DietPi", "FreeBSD", "Fedora", "Gentoo", "Kali", "Linux Mint", "macOS", "Manjaro", "NixOS",
        "openSUSE", "Oracle", "Pop!_OS", "Raspbian", "Red Hat", "Rocky", "SLES", "Ubuntu", "Void",
        "Windows", "Wolfi", "Zorin",
    )
}  # fmt: skip
#: Installers by the name at the start of their User-Agent; some send JSON as pip does.
_INSTALLERS = {
    "pip": "pip", "uv": "uv", "poetry": "poetry", "pdm": "pdm", "unearth": "pdm",
    "pipenv": "pipenv", "hatch": "hatch", "pixi": "pixi", "setuptools": "setuptools",
    "distribute": "setuptools", "easy_install": "setuptools", "pex": "pex", "rye": "rye",
    "conda": "conda", "mamba": "conda",
    "micropip": "micropip", "buildout": "buildout", "bazel": "bazel", "pkgx": "pkgx",
}  # fmt: skip
_BUILDERS = re.compile(r"piwheels(?:-builder)?/")
_MIRRORS = re.compile(
    r"bandersnatch|devpi|artifactory|nexus|pulp|proxpi|pypiserver|simple-repository|z3c\.pypimirror"
    r"|pypicloud|mirror|sonatype|cloudsmith|gemfury|renovate|dependabot|libraries\.io",
    re.IGNORECASE,
)
_BOTS = re.compile(
    r"bot\b|bot[/ ;_-]|crawl|spider|slurp|archiver|scan|monitor|uptime|facebookexternalhit"
    r"|bingpreview|feedfetcher|headless|lighthouse|censys|zgrab|masscan|nmap|gptbot|claude|bytes?pider",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"(?:curl|wget|python-requests|python-urllib3?|python-httpx|aiohttp|python|go-http-client|okhttp"
    r"|apache-httpclient|java|libwww-perl|axios|node|reqwest|powershell|aria2|httpie|postman\w*)\b",
    re.IGNORECASE,
)
_NAME_VERSION = re.compile(
    r"([A-Za-z_]{2,16})(?:[/ ]v?([0-9]{1,4}(?:\.[0-9]{1,4})?))?",
)
_TWO_PARTS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4})?")
_PYTHON = re.compile(r"[23]\.[0-9]{1,2}")
_PYTHON_COMMENT = re.compile(r"\bC?Python[/ ]([23]\.[0-9]{1,2})", re.IGNORECASE)


def parse_user_agent(text: str) -> Client:
    """The client of a User-Agent; "" and "-" mean that the header is missing."""
    text = text[:_MAX_LENGTH].strip()
    match = _NAME_VERSION.match(text)
    name = match[1].lower() if match else ""
    if match and name in _INSTALLERS:
        return _installer(_INSTALLERS[name], match[2] or "", text[match.end() :])
    return _make_client(agent_class=_client_type(text))


def _client_type(text: str) -> ClientType:
    if text in {"", "-"}:
        return ClientType.OTHER
    if _BUILDERS.match(text):
        return ClientType.BUILDER
    if _MIRRORS.search(text):
        return ClientType.MIRROR
    if _BOTS.search(text):
        return ClientType.BOT
    if _TOOLS.match(text):
        return ClientType.TOOL
    return ClientType.BROWSER if text.startswith(("Mozilla/", "Opera/")) else ClientType.OTHER


def _installer(name: str, version: str, rest: str) -> Client:
    brace = rest.find("{")
    reported = _parse_json(rest[brace:]) if brace >= 0 else {}
    system, release = _os_and_release(reported)
    python = _match_prefix(_PYTHON, _nested_text(reported, "python"))
    if not python and (match := _PYTHON_COMMENT.search(rest)):
        python = match[1]
    return _make_client(
        agent_class=ClientType.INSTALLER,
        installer=name,
        installer_version=version,
        arch=_arch(_nested_text(reported, "cpu")),
        os=system,
        os_release=release,
        python=python,
    )


def _parse_json(text: str) -> dict[str, Any]:
    try:
        reported = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return reported if isinstance(reported, dict) else {}


def _nested_text(reported: Any, *keys: str) -> str:
    for key in keys:
        reported = reported.get(key) if isinstance(reported, dict) else None
    return reported if isinstance(reported, str) else ""


def _arch(text: str) -> str:
    return _ARCHES.get(text.lower(), OTHER) if text else ""


def _os_and_release(reported: dict[str, Any]) -> tuple[str, str]:
    """Distribution and release, or the operating system if there is no distribution (Windows)."""
    name, version = (
        _nested_text(reported, "distro", "name"),
        _nested_text(reported, "distro", "version"),
    )
    if not name:
        name, version = (
            _nested_text(reported, "system", "name"),
            _nested_text(reported, "system", "release"),
        )
        if name == "Linux":
            return "Linux", ""
    if not name:
        return "", ""
    words = name.lower().removesuffix(" linux").removesuffix(" gnu/linux")
    known = _OS_NAMES.get(words) or _OS_NAMES.get(words.split(" ")[0])
    if known is None:
        known = next((shown for key, shown in _OS_NAMES.items() if words.startswith(key)), None)
    return (known, _match_prefix(_TWO_PARTS, version)) if known else (OTHER, "")


def _match_prefix(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return match[0] if match else ""


def _make_client(**fields: Any) -> Client:
    text = "\0".join(fields[name] for name in sorted(fields))
    key = hash64(text.encode())
    is_builder = fields["agent_class"] is ClientType.BUILDER
    return Client(
        key=key,
        packed_key=binary_copy.pack_key(key),
        hash32=key & 0xFFFFFFFF,
        is_builder=is_builder,
        **fields,
    )


def hash32(content: bytes) -> int:
    """A 32-bit hash, a part of the fingerprint of a line (see line_fingerprints)."""
    return crc32(content) * _HASH_MULTIPLIER & 0xFFFFFFFF


def hash64(content: bytes) -> int:
    """The first eight bytes of a hash, as a signed number: the key of a wheel or a user agent."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)
