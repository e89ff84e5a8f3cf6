"""Packages are unpacked into their folder, whatever their paths and links are."""

from pathlib import Path

import pytest

from piwheels.errors import ConfigError, RejectedError
from piwheels.roots.deb_file import unpack
from tests.roots.debs import folder, link, make_deb, regular


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "usr/bin").mkdir(parents=True)
    (made / "bin").symlink_to("usr/bin")
    return made


def test_files_links_and_folders_are_unpacked(tmp_path: Path, root: Path) -> None:
    members = [
        folder("./usr"),
        folder("./usr/share"),
        regular("./usr/share/data"),
        link("./usr/share/same", "./usr/share/data", hard=True),
        link("./usr/share/soft", "data"),
        regular("./bin/program", mode=0o4755),
        regular("./usr/share/doc/sample/copyright"),
    ]
    package = unpack(make_deb(tmp_path / "a.deb", members, scripts={"postinst": "true\n"}), root)
    assert package.identifier == "sample=1-1"
    assert package.postinst == "true\n"
    assert package.files == (
        "/usr/share/data", "/usr/share/same", "/usr/share/soft", "/bin/program",
    )  # fmt: skip
    program = root / "usr/bin/program"
    assert program.stat().st_mode & 0o7777 == 0o755, "nothing is set-uid"
    assert (root / "usr/share/soft").read_text() == "./usr/share/data"
    assert (root / "usr/share/same").stat().st_nlink == 2
    assert not (root / "usr/share/doc").exists()


def test_a_folder_in_place_of_a_link_keeps_the_link(tmp_path: Path, root: Path) -> None:
    unpack(make_deb(tmp_path / "a.deb", [folder("./bin"), regular("./bin/x")]), root)
    assert (root / "bin").is_symlink()
    assert (root / "usr/bin/x").is_file()


def test_absolute_links_lead_into_the_root(tmp_path: Path, root: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [link("./way", str(outside)), regular("./way/in"), link("./up", "../../.."),
               regular("./up/out")]  # fmt: skip
    unpack(make_deb(tmp_path / "a.deb", members), root)
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "in").is_file()
    assert (root / "out").is_file()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ([regular("../../escaped")], r"a\.deb has the path '\.\./\.\./escaped', which is outside"),
        ([regular("./usr/../../escaped")], "outside of a root"),
        ([regular("/escaped")], "outside of a root"),
        ([link("./x", "../../etc/passwd", hard=True)], "outside of a root"),
        ([link("./x", "./absent", hard=True)], "hard link to absent, which is no file"),
        ([link("./l", "l"), regular("./l/x")], "too many links"),
        ([regular("./usr")], "a file in place of the folder usr"),
    ],
)
def test_a_hostile_path_is_one_line(
    tmp_path: Path, root: Path, members: list[object], error: str
) -> None:
    deb = make_deb(tmp_path / "a.deb", members)  # type: ignore[arg-type]
    with pytest.raises(RejectedError, match=error) as caught:
        unpack(deb, root)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "escaped").exists()
    assert not Path("/escaped").exists()


def test_no_script_of_a_package_is_run(tmp_path: Path, root: Path) -> None:
    trace = tmp_path / "ran"
    script = f"#!/bin/sh\ntouch {trace}\n"
    names = ("preinst", "postinst", "prerm", "postrm", "config", "triggers")
    deb = make_deb(tmp_path / "a.deb", [], scripts=dict.fromkeys(names, script))
    assert unpack(deb, root).postinst == script
    assert not trace.exists()


def test_a_damaged_package_is_one_line(tmp_path: Path, root: Path) -> None:
    deb = tmp_path / "a.deb"
    deb.write_bytes(b"no archive")
    with pytest.raises(RejectedError, match=r"a\.deb cannot be unpacked: .+"):
        unpack(deb, root)


def test_a_system_without_dpkg_is_told(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = make_deb(tmp_path / "a.deb", [])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"dpkg-deb, which this system does not have: .*folder"):
        unpack(deb, root)
