"""Which wheels of a project's page make builds unnecessary. Pure."""

from collections.abc import Iterator

from piwheels.db.upstream_wheels import UpstreamWheel
from piwheels.index_client.page import FileKind, ProjectPage
from piwheels.model import UpstreamWheelPolicy
from piwheels.wheel.tags import compatibility_of

#: Wheels that no Linux target can use are not stored.
_OTHER_SYSTEMS = ("win32", "win_amd64", "win_arm64", "win_arm32")
_OTHER_PREFIXES = ("macosx_", "ios_", "android_", "emscripten_", "wasm", "pyodide_")


def counting_wheels(page: ProjectPage, policy: UpstreamWheelPolicy) -> list[UpstreamWheel]:
    """The wheels of a page that installers take from upstream: not yanked, for Linux or any system.

    None with the policy `build`. Of wheels of a release with the same compatibility and
    Requires-Python, the first by name.
    """
    found: dict[tuple[str, str, str], UpstreamWheel] = {}
    if policy is UpstreamWheelPolicy.BUILD:
        return []
    for wheel in sorted(_usable(page), key=lambda wheel: wheel.filename):
        key = (wheel.version, wheel.compatibility.identifier, wheel.requires_python)
        found.setdefault(key, wheel)
    return list(found.values())


def _usable(page: ProjectPage) -> Iterator[UpstreamWheel]:
    for file in page.files:
        if file.kind is not FileKind.WHEEL or not file.version or file.yanked is not None:
            continue
        compatibility = compatibility_of(file.filename)
        if all(map(_is_other_system, compatibility.tags.rpartition("-")[2].split("."))):
            continue
        yield UpstreamWheel(
            project=page.project,
            version=file.version,
            filename=file.filename,
            compatibility=compatibility,
            requires_python=file.requires_python,
        )


def _is_other_system(platform: str) -> bool:
    return platform in _OTHER_SYSTEMS or platform.startswith(_OTHER_PREFIXES)
