"""What people call targets, and what they mean by it."""

import pytest

from piwheels.model import target_word, targets_meant

ONE = ["cp39-bookworm-armv7l", "cp311-bookworm-armv7l", "cp313t-bookworm-armv7l"]
TWO = [*ONE, "cp311-trixie-aarch64", "cp313-trixie-aarch64"]


@pytest.mark.parametrize(
    ("target", "farm", "word"),
    [
        ("cp311-bookworm-armv7l", ONE, "cp311"),
        ("cp313t-bookworm-armv7l", ONE, "cp313t"),
        ("cp312-bookworm-armv7l", ONE, "cp312"),
        ("cp313-trixie-aarch64", ONE, "cp313-trixie-aarch64"),
        ("cp311-bookworm-armv7l", TWO, "cp311-bookworm-armv7l"),
        ("cp311-bookworm-armv7l", [], "cp311-bookworm-armv7l"),
        ("-", ONE, "-"),
        ("", ONE, ""),
    ],
)
def test_a_target_is_called_by_its_abi_where_all_share_a_platform(
    target: str, farm: list[str], word: str
) -> None:
    assert target_word(target, farm) == word


@pytest.mark.parametrize(
    ("word", "farm", "meant"),
    [
        ("cp311", ONE, ["cp311-bookworm-armv7l"]),
        ("cp311-bookworm-armv7l", TWO, ["cp311-bookworm-armv7l"]),
        ("cp313", TWO, ["cp313-trixie-aarch64"]),
        ("cp311", TWO, ["cp311-bookworm-armv7l", "cp311-trixie-aarch64"]),
        ("cp3", TWO, []),
        ("", TWO, []),
    ],
)
def test_a_target_can_be_meant_by_its_abi(word: str, farm: list[str], meant: list[str]) -> None:
    assert targets_meant(word, farm) == meant
