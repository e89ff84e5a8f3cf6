"""Notes on the status of a release for a target: what applies in any state."""

from collections.abc import Iterator

from piwheels.model import (
    ReleaseStatusRow,
    State,
    TargetStatusRow,
    platform_words,
    target_words,
)
from piwheels.release_status.times import utc_text


def notes_of(release: ReleaseStatusRow, target: TargetStatusRow, state: State) -> Iterator[str]:
    """What else applies to a release for a target, each in a sentence."""
    if release.yanked is not None:
        reason = f": {release.yanked}" if release.yanked else ""
        yield f"The release is yanked upstream{reason}; installers take it only if pinned."
    if state is State.COVERED and target.build_note:
        yield f"{target.build_note[0].upper()}{target.build_note[1:]}."
    if (
        target.sdist_replaced
        and target.covered_by is None
        and release.sdist_replaced_at is not None
    ):
        yield (
            f"{target.to_be_rebuilt} is published and was built from an earlier sdist, which the "
            f"upstream index replaced (seen {utc_text(release.sdist_replaced_at)})."
        )
    if release.sdist_verified_by != "sha256":
        hashed = release.sdist_verified_by
        known = f"only a hash by {hashed}" if hashed else "no hash, so nothing can be verified"
        yield f"The upstream index gives {known} for its sdist."
    if target.debian_packages:
        yield f"{debian_packages_text(target)}."
    if target.jobs_outdated:
        yield "The target was changed; its queue is being recomputed."
    if state is State.COVERED and target.without_compiler:
        yield (
            "It was made by a builder without a C compiler and may lack compiled parts; it is "
            "built again when a builder with one serves the target."
        )
    if state is State.FAILED and target.to_be_rebuilt is not None:
        yield f"{target.to_be_rebuilt} is still published, and installs there."
    if target.unloadable_file is not None:
        yield (
            f"Installers prefer {target.unloadable_file} there, which needs a newer glibc than the "
            "target has, and does not load."
        )


def debian_packages_text(target: TargetStatusRow) -> str:
    """Which Debian packages the published wheel needs, and on which platform."""
    packages = " ".join(target.debian_packages)
    if platform_of(target.packages_target) == platform_of(target.target):
        return f"It needs Debian packages: `sudo apt install {packages}`"
    return (
        f"It was built for {target_words(target.packages_target)} and needs Debian packages that "
        f"are named {packages} there; on {platform_words(platform_of(target.target))} they may be "
        "named differently"
    )


def platform_of(target: str) -> str:
    """The platform of a target: `trixie-aarch64` of `cp313-trixie-aarch64`."""
    return target.partition("-")[2]
