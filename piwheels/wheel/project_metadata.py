"""What people read of a wheel's METADATA: name, summary, license, links (untrusted)."""

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from urllib.parse import urlsplit

from piwheels.errors import RejectedError
from piwheels.model import ProjectMetadata
from piwheels.untrusted_names import normalize_project

_MAX_SUMMARY, _MAX_LICENSE, _MAX_LABEL, _MAX_URL = 300, 100, 40, 500
_MAX_LINKS = 10
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
#: Printable ASCII without quotes and angle brackets.
_URL = re.compile(r"https?://[!#-;=?-~]+", re.IGNORECASE)
_LICENSE_CLASSIFIER = "License :: "


def project_metadata(content: bytes) -> ProjectMetadata:
    """The fields for people of a METADATA file whose number of headers has been checked."""
    head = _HEADERS_END.split(content, maxsplit=1)[0]
    fields = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    links = list({url: label for label, url in _links(fields)}.items())[:_MAX_LINKS]
    return ProjectMetadata(
        name=_name(fields),
        summary=_text(fields, "Summary", _MAX_SUMMARY),
        license=_license(fields),
        link_labels=tuple(label for _, label in links),
        link_urls=tuple(url for url, _ in links),
    )


def _name(fields: Message) -> str:
    name = str(fields.get("Name", "")).strip()
    try:
        normalize_project(name)
    except RejectedError:
        return ""
    return name


def _license(fields: Message) -> str:
    """The license expression (PEP 639), the short name of a license, or its classifier."""
    text = _text(fields, "License-Expression", _MAX_LICENSE)
    whole = str(fields.get("License", "")).strip()
    if text or (whole and "\n" not in whole and len(whole) <= _MAX_LICENSE):
        return text or _one_line(whole)
    for value in fields.get_all("Classifier", []):
        if str(value).startswith(_LICENSE_CLASSIFIER):
            return _one_line(str(value).rpartition(" :: ")[2])[:_MAX_LICENSE]
    return ""


def _links(fields: Message) -> Iterator[tuple[str, str]]:
    """Label and URL of each valid link."""
    homepage = str(fields.get("Home-page", "")).strip()
    if _is_web_url(homepage):
        yield "Homepage", homepage
    for value in fields.get_all("Project-URL", []):
        label, _, url = (part.strip() for part in str(value).partition(","))
        if _is_web_url(url):
            yield _one_line(label)[:_MAX_LABEL] or "Link", url


def _is_web_url(text: str) -> bool:
    if len(text) > _MAX_URL or not _URL.fullmatch(text):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _text(fields: Message, name: str, length: int) -> str:
    return _one_line(str(fields.get(name, "")))[:length].strip()


def _one_line(text: str) -> str:
    """The text without control characters and with single spaces."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(printable.split())
    return "" if line.upper() == "UNKNOWN" else line
