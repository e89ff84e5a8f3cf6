"""Presets and settings of roots."""

from pathlib import Path

import pytest

from piwheels.config import Archive, BuilderSection, RootSection
from piwheels.errors import ConfigError
from piwheels.roots import architectures
from piwheels.roots.definition import find_definition, preset_names


def test_every_preset_is_complete() -> None:
    for name in preset_names():
        found = find_definition(name, {}, BuilderSection())
        assert found.arch in architectures.ARCHITECTURES
        assert found.archives
        assert all("{" not in archive.url for archive in found.archives)
        assert ("untried" in found.title) == name.startswith("rpios")


def test_settings_change_a_preset() -> None:
    config = BuilderSection(debian_mirror_url="http://mirror.example/")
    found = find_definition(
        "desk", {"desk": RootSection(preset="trixie-arm64", packages=("libxml2-dev",))}, config
    )
    assert (found.name, found.arch, found.packages) == ("desk", "arm64", ("libxml2-dev",))
    assert [archive.url for archive in found.archives] == [
        "http://mirror.example/debian", "http://mirror.example/debian-security",
    ]  # fmt: skip
    six = find_definition("rpios-bookworm-armv6", {}, config)
    assert (six.machine, six.cpu) == ("armv6l", "arm1176")
    assert not any("security" in suite for archive in six.archives for suite in archive.suites)


@pytest.mark.parametrize(
    ("name", "section", "error"),
    [
        ("potato-m68k", None, "there is no root potato-m68k: name one of bookworm-amd64"),
        ("x", RootSection(preset="potato"), "there is no root potato"),
        ("x", RootSection(folder=Path("/srv/root")), "needs an arch"),
        ("x", RootSection(arch="arm64"), "needs archives, a preset or a folder"),
    ],
)
def test_an_incomplete_root_is_one_line(name: str, section: RootSection | None, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        find_definition(name, {name: section} if section else {}, BuilderSection())


def test_a_root_made_otherwise_needs_no_archives() -> None:
    section = RootSection(folder=Path("/srv/root"), arch="arm64")
    assert find_definition("x", {"x": section}, BuilderSection()).folder == Path("/srv/root")
    assert Archive(url="http://a.example/x", suites=("s",)).components == ("main",)


def test_what_runs_here_depends_on_the_kernel() -> None:
    assert architectures.is_native("amd64", "x86_64")
    assert not architectures.is_native("arm64", "x86_64")
    assert architectures.is_native("armhf", "aarch64")
    assert architectures.needs_linux32("armhf", "aarch64")
    assert not architectures.needs_linux32("armhf", "armv7l")
    assert architectures.host_architecture("riscv64") == "riscv64"
    assert architectures.host_architecture("s390x") == ""


def test_an_emulator_is_registered_by_the_elf_header() -> None:
    line = architectures.binfmt_registration(architectures.ARCHITECTURES["arm64"], "/tmp/4")
    name, kind, offset, magic, mask, program, flags = line.split(":")[1:]
    assert (name, kind, offset, program, flags) == ("qemu-aarch64", "M", "0", "/tmp/4", "FP")
    assert magic.startswith(r"\x7f\x45\x4c\x46\x02\x01\x01")
    assert magic.endswith(r"\xb7\x00")
    assert magic.count("x") == mask.count("x") == 20
