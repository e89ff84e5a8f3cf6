"""Builds with cargo: a toolchain from a directory, and vendored crates."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Outcome
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.fake_index import FakeIndex

pytestmark = [requires.requires_sandbox(), pytest.mark.slow]

CARGO_TOML = '[package]\nname = "fast"\nversion = "1.0.0"\n[dependencies]\nhelper = "1"\n'
HELPER_TOML = '[package]\nname = "helper"\nversion = "1.0.0"\n'
VENDORED = (
    '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n'
)
MAIN = 'fn main() { println!("{}", helper::answer()); }\n'
HELPER = "pub fn answer() -> u32 { 42 }\n"
BUILD = """
subprocess.run(["cargo", "build"], check=True)
return subprocess.check_output(["target/debug/fast"]).decode().strip()
"""


@pytest.fixture(scope="module")
def toolchain() -> Path:
    """The `bin` of a Rust toolchain: that of rustup is a folder of its own."""
    if shutil.which("rustc") is None:
        pytest.skip("rustc is not installed")
    command = ["rustc", "--print", "sysroot"]
    sysroot = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not (Path(sysroot) / "bin/cargo").exists() or Path(sysroot).is_relative_to("/usr"):
        pytest.skip("rustc is part of the system")
    return Path(sysroot) / "bin"


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))


def rust_sdist(*, vendored: bool) -> bytes:
    files = sdists.backend_files("fast", BUILD)
    files |= {"Cargo.toml": CARGO_TOML, "src/main.rs": MAIN}
    if vendored:
        crate = {"Cargo.toml": HELPER_TOML, "src/lib.rs": HELPER}
        sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in crate.items()}
        crate[".cargo-checksum.json"] = json.dumps({"files": sums})
        files |= {f"vendor/helper/{name}": text for name, text in crate.items()}
        files[".cargo/config.toml"] = VENDORED
    return sdists.archive("fast", files)


async def test_vendored_crates_are_built_by_a_toolchain_from_a_directory(
    builder: BuilderHarness, upstream: FakeIndex, toolchain: Path
) -> None:
    builder.options = replace(builder.options, path=(toolchain,))
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=True))
    result = await builder.build(job, probe_interpreter(Path(sys.executable)))
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert b"42" in builder.wheels[0].read_bytes()
    assert f"path {toolchain}" in result.build_inputs


def add_crate(registry: FakeIndex, name: str) -> tuple[str, str]:
    """Put a crate into a sparse registry below /crates/; its sha256 and its path there."""
    content = sdists.archive(
        name, {"Cargo.toml": HELPER_TOML, "src/lib.rs": HELPER}, version="1.0.0"
    )
    sha256 = hashlib.sha256(content).hexdigest()
    entry = {"name": name, "vers": "1.0.0", "deps": [], "cksum": sha256, "features": {}}
    path = f"/crates/dl/{name}-1.0.0.crate"
    dl = f"{registry.url}crates/dl/{{crate}}-{{version}}.crate"
    registry.files |= {
        "/crates/config.json": json.dumps({"dl": dl}).encode(),
        f"/crates/{name[:2]}/{name[2:4]}/{name}": json.dumps({**entry, "yanked": False}).encode(),
        path: content,
    }
    return sha256, path


async def test_crates_come_from_a_registry_and_are_recorded(
    builder: BuilderHarness, upstream: FakeIndex, toolchain: Path
) -> None:
    sha256, path = add_crate(upstream, "helper")
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=False))
    here = probe_interpreter(Path(sys.executable))
    async with SimpleIndex(f"{upstream.url}crates/") as crates:
        builder.options = replace(builder.options, path=(toolchain,), crates=crates)
        result = await builder.build(job, here)
        assert result.outcome is Outcome.BUILT, builder.log.decode()
        assert f"{sha256} helper-1.0.0.crate" in result.build_inputs
        # One whose bytes are not those of the index is not sent
        upstream.files[path] += b"!"
        builder.options.cache.path(sha256).unlink()
        damaged = await builder.build(job, here)
    assert damaged.failure_class is FailureClass.DAMAGED_DOWNLOAD, builder.log.decode()


async def test_crates_to_download_are_refused_and_their_host_is_named(
    builder: BuilderHarness, upstream: FakeIndex, toolchain: Path
) -> None:
    builder.options = replace(builder.options, path=(toolchain,))
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=False))
    result = await builder.build(job, probe_interpreter(Path(sys.executable)))
    assert result.failure_class is FailureClass.NEEDS_NETWORK, builder.log.decode()
    assert result.evidence.missing == ("host index.crates.io", "downloader cargo")
