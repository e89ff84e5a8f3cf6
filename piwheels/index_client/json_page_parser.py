"""JSON project pages (PEP 691, 700, 714, 792)."""

import json
from collections.abc import Iterator
from typing import Any

from piwheels.errors import RejectedError
from piwheels.index_client.raw_page import RawEntry, RawPage, first_present
from piwheels.media_types import SIMPLE_JSON
from piwheels.sanitize import truncate_line

JSON_TYPES = (
    SIMPLE_JSON,
    "application/vnd.pypi.simple.latest+json",
    "application/json",
)


def read_json_page(content: bytes, url: str) -> RawPage:
    """Decode a page.

    Raises:
        RejectedError: it is not JSON, or has no list of files.
    """
    data = _decode(content)
    meta = data.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    status = data.get("project-status")
    fields = status if isinstance(status, dict) else {"status": status, "reason": ""}
    return RawPage(
        entries=_entries(data["files"], url),
        is_index_page=True,
        api_version=meta.get("api-version"),
        display_name=data.get("name"),
        status=fields.get("status"),
        status_reason=fields.get("reason"),
        serial=meta.get("_last-serial"),
    )


def _decode(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RejectedError(truncate_line(f"not JSON: {error or type(error).__name__}")) from None
    if not isinstance(data, dict):
        raise RejectedError("not a JSON object")
    if not isinstance(data.get("files"), list):
        raise RejectedError("no list of files")
    return data


def _entries(files: list[Any], url: str) -> Iterator[RawEntry | str]:
    for number, entry in enumerate(files, start=1):
        if not isinstance(entry, dict):
            yield f"entry {number} is not an object; ignored"
            continue
        filename = entry.get("filename")
        filename = filename if isinstance(filename, str) else None
        label = f"entry {number}"
        yield RawEntry(
            label=label if filename is None else f"{label} ({truncate_line(filename, 80)})",
            filename=filename or "",
            url=entry.get("url"),
            base_url=url,
            keep_unknown=True,
            hashes=entry.get("hashes"),
            size=entry.get("size"),
            requires_python=entry.get("requires-python"),
            upload_time=entry.get("upload-time"),
            yanked=entry.get("yanked") or None,
            core_metadata=first_present(
                entry.get("core-metadata"), entry.get("dist-info-metadata")
            ),
            attestations_url=entry.get("provenance"),
        )
