"""Which wheels of a project's page make builds unnecessary, and what it says of each. Pure."""

from collections.abc import Iterator

from piwheels.db.upstream_wheels import ListedWheel, MirrorSource, UpstreamWheel
from piwheels.errors import RejectedError
from piwheels.index_client.page import FileKind, ProjectPage
from piwheels.model import ProjectStatus, UpstreamWheelPolicy, build_tag_number, projection
from piwheels.wheel.tags import compatibility_of

#: Wheels that no Linux target can use are not stored.
_OTHER_SYSTEMS = ("win32", "win_amd64", "win_arm64", "win_arm32")
_OTHER_PREFIXES = ("macosx_", "ios_", "android_", "emscripten_", "wasm", "pyodide_")


def counting_wheels(page: ProjectPage, policy: UpstreamWheelPolicy) -> list[UpstreamWheel]:
    """The wheels of a page that installers take from upstream: not yanked, for Linux or any system.

    None with the policy `build`. Of wheels of a release with the same compatibility and
    Requires-Python, the one with the highest build number, which installers take.
    """
    found: dict[tuple[str, str, str], UpstreamWheel] = {}
    if policy is UpstreamWheelPolicy.BUILD:
        return []
    usable = _usable(page, with_source=policy is UpstreamWheelPolicy.MIRROR)
    for wheel in sorted(usable, key=lambda it: (-build_tag_number(it.filename), it.filename)):
        key = (wheel.version, wheel.compatibility.identifier, wheel.requires_python)
        found.setdefault(key, wheel)
    return list(found.values())


def listed_wheels(page: ProjectPage) -> list[ListedWheel] | None:
    """What a page says of its wheels; None for that of a quarantined project, which lists none."""
    if page.status is ProjectStatus.QUARANTINED and not page.files:
        return None
    return [projection(ListedWheel, file) for file in page.files if file.kind is FileKind.WHEEL]


def _usable(page: ProjectPage, *, with_source: bool) -> Iterator[UpstreamWheel]:
    for file in page.files:
        if file.kind is not FileKind.WHEEL or not file.version or file.yanked is not None:
            continue
        try:
            compatibility = compatibility_of(file.filename)
        except RejectedError:
            continue  # no installer knows it by this name; unusable_names() reports it
        if all(map(_is_other_system, compatibility.tags.rpartition("-")[2].split("."))):
            continue
        yield UpstreamWheel(
            project=page.project,
            version=file.version,
            filename=file.filename,
            compatibility=compatibility,
            requires_python=file.requires_python,
            source=projection(MirrorSource, file) if with_source else None,
        )


def unusable_names(page: ProjectPage) -> list[str]:
    """Wheels of a page that count for nothing because their names are none of wheels (PEP 427)."""
    return [
        file.filename
        for file in page.files
        if file.kind is FileKind.WHEEL and not _has_wheel_name(file.filename)
    ]


def _has_wheel_name(filename: str) -> bool:
    try:
        compatibility_of(filename)
    except RejectedError:
        return False
    return True


def _is_other_system(platform: str) -> bool:
    return platform in _OTHER_SYSTEMS or platform.startswith(_OTHER_PREFIXES)
