"""What apt cannot do is one line with the way out."""

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from piwheels.config import Archive
from piwheels.errors import ConfigError, TransientError
from piwheels.roots import apt as module
from piwheels.roots.apt import Apt
from tests import requires

_ABSENT = Archive(url="file:///nonexistent/debian", suites=("trixie", "trixie-updates"))


def _apt(tmp_path: Path, archive: Archive = _ABSENT) -> Apt:
    keyring = tmp_path / "sample-archive-keyring.gpg"
    keyring.touch()
    archives = (Archive(url=archive.url, suites=archive.suites, keyring=keyring),)
    return Apt(
        tmp_path / "state", archive_cache=tmp_path / "cache", archives=archives, arch="arm64"
    )


def test_a_system_without_apt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"apt, which this system does not have: .*folder"):
        _apt(tmp_path).update()
    assert not list(tmp_path.glob("state/*"))


def test_a_missing_keyring_is_named_with_its_package(tmp_path: Path) -> None:
    apt = _apt(tmp_path)
    (tmp_path / "sample-archive-keyring.gpg").unlink()
    with pytest.raises(ConfigError, match="install the package sample-archive-keyring"):
        apt.update()


def test_an_archive_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_DELAY_S", 0.0)
    with pytest.raises((ConfigError, TransientError), match=r"apt: .*nonexistent") as caught:
        _apt(tmp_path).update()
    assert "\n" not in str(caught.value)


@pytest.fixture
def signer(tmp_path: Path) -> Callable[..., None]:
    """Runs gpg with keys of the test's own."""
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str | Path) -> None:
        subprocess.run(
            ["gpg", "--batch", "--homedir", home, "--pinentry-mode", "loopback", *arguments],
            check=True, capture_output=True,
        )  # fmt: skip

    return gpg


@requires.requires_program("apt-get")
@requires.requires_program("gpg")
@pytest.mark.parametrize("signed_by", ["the archive", "somebody", "nobody"])
def test_only_what_the_keyring_of_an_archive_signed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: Callable[..., None], signed_by: str
) -> None:
    monkeypatch.setattr(module, "_RETRY_DELAY_S", 0.0)
    keyring, lists = tmp_path / "sample-archive-keyring.gpg", tmp_path / "archive/dists/sid"
    for name in ("the archive", "somebody"):
        signer("--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
    packages = lists / "main/binary-arm64/Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("")
    release = lists / "Release"
    digest = hashlib.sha256(b"").hexdigest()
    release.write_text(
        f"Suite: sid\nCodename: sid\nArchitectures: arm64\nComponents: main\n"
        f"Date: {format_datetime(datetime.now(UTC))}\n"
        f"SHA256:\n {digest} 0 main/binary-arm64/Packages\n"
    )
    if signed_by != "nobody":
        target = lists / "InRelease"
        signer("--local-user", signed_by, "--output", target, "--clearsign", release)
    apt = _apt(tmp_path, Archive(url=f"file://{tmp_path}/archive", suites=("sid",)))
    keyring.unlink()
    signer("--output", keyring, "--export", "the archive")
    if signed_by == "the archive":
        apt.update()
    else:
        with pytest.raises((ConfigError, TransientError), match=r"not signed|NO_PUBKEY"):
            apt.update()


def test_an_unknown_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unable to locate package libnothing-dev"):
        _apt(tmp_path).resolve(["libnothing-dev"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("E: Failed to fetch http://x/P.xz  File has unexpected size (1 != 2).", TransientError),
        ("E: Failed to fetch http://x/y.deb  404  Not Found [IP: 192.0.2.1 80]", TransientError),
        ("E: Failed to fetch http://x/InRelease  Could not resolve 'x'", TransientError),
        ("E: Unable to correct problems, you have held broken packages.", ConfigError),
        ("W: GPG error: http://x trixie InRelease: NO_PUBKEY 1", ConfigError),
        ("", ConfigError),
    ],
)  # fmt: skip
def test_what_passes_and_what_does_not(text: str, kind: type[Exception]) -> None:
    error = module._error(text)
    assert type(error) is kind
    assert str(error).startswith("apt: ")


def test_a_pocket_that_is_out_of_step_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = _apt(tmp_path)
    monkeypatch.setattr(module, "_RETRY_DELAY_S", 0.0)
    text = (
        "E: Failed to fetch http://x/dists/trixie-updates/P.xz  File has unexpected size (1 != 2)."
    )
    sources = tmp_path / "state/sources.list"

    def run(*_: object) -> tuple[int, str, str]:
        return (100, "", text) if "trixie-updates" in sources.read_text() else (0, "", "")

    monkeypatch.setattr(module, "_run_apt", run)
    apt.update()
    assert apt.left_out == ("trixie-updates",)
    monkeypatch.setattr(module, "_run_apt", lambda *_: (100, "", text.replace("-updates", "")))
    with pytest.raises(TransientError, match="the archive is changing; try again later"):
        apt.update()
