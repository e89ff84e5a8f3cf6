"""The names of this machine's operating system, by os-release(5)."""

import platform
import re
from collections.abc import Mapping


def os_name() -> str:
    """The system's name for people: `Debian GNU/Linux 12 (bookworm)`."""
    release = _os_release()
    return release.get("PRETTY_NAME") or f"{platform.system()} {platform.release()}"


def os_codename() -> str:
    """The distribution's codename, else its name and version: `bookworm`, `fedora43`."""
    return codename_of(_os_release())


def codename_of(release: Mapping[str, str]) -> str:
    """As `os_codename`, from the fields of an os-release file."""
    name = release.get("VERSION_CODENAME") or (
        release.get("ID", "") + release.get("VERSION_ID", "")
    )
    return re.sub(r"[^a-z0-9_.]+", "", name.lower()).strip("._") or "linux"


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
