"""What people call targets, and what they mean by it."""

import pytest

from piwheels.model import match_targets, short_target_name

ONE_PLATFORM = ["cp39-bookworm-armv7l", "cp311-bookworm-armv7l", "cp313t-bookworm-armv7l"]
TWO_PLATFORMS = [*ONE_PLATFORM, "cp311-trixie-aarch64", "cp313-trixie-aarch64"]


@pytest.mark.parametrize(
    ("target", "farm", "word"),
    [
        ("cp311-bookworm-armv7l", ONE_PLATFORM, "cp311"),
        ("cp313t-bookworm-armv7l", ONE_PLATFORM, "cp313t"),
        ("cp312-bookworm-armv7l", ONE_PLATFORM, "cp312"),
        ("cp313-trixie-aarch64", ONE_PLATFORM, "cp313-trixie-aarch64"),
        ("cp311-bookworm-armv7l", TWO_PLATFORMS, "cp311-bookworm-armv7l"),
        ("cp311-bookworm-armv7l", [], "cp311-bookworm-armv7l"),
        ("-", ONE_PLATFORM, "-"),
        ("", ONE_PLATFORM, ""),
    ],
)
def test_a_target_is_named_by_its_abi_if_all_share_a_platform(
    target: str, farm: list[str], word: str
) -> None:
    assert short_target_name(target, farm) == word


@pytest.mark.parametrize(
    ("word", "farm", "meant"),
    [
        ("cp311", ONE_PLATFORM, ["cp311-bookworm-armv7l"]),
        ("cp311-bookworm-armv7l", TWO_PLATFORMS, ["cp311-bookworm-armv7l"]),
        ("cp313", TWO_PLATFORMS, ["cp313-trixie-aarch64"]),
        ("cp311", TWO_PLATFORMS, ["cp311-bookworm-armv7l", "cp311-trixie-aarch64"]),
        ("cp3", TWO_PLATFORMS, []),
        ("", TWO_PLATFORMS, []),
    ],
)
def test_a_target_can_be_given_by_its_abi(word: str, farm: list[str], meant: list[str]) -> None:
    assert match_targets(word, farm) == meant
