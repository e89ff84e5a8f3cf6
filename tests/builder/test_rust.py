"""Builds with cargo: a toolchain from a directory or from packages of a root, and vendored crates."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build_system import BuildSystem, HostSystem
from piwheels.builder.package_rounds import add_packages
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Outcome
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.fake_index import FakeIndex
from tests.roots.real_roots import NATIVE, root_system, shared_roots

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


@dataclass(frozen=True)
class Rust:
    """Where cargo and rustc come from, and the Python that builds beside them."""

    interpreter: Interpreter
    system: BuildSystem
    path: tuple[Path, ...]  # directories of programs

    def set_up(self, builder: BuilderHarness, crates: SimpleIndex | None = None) -> None:
        """Let a builder build with it."""
        builder.options = replace(builder.options, path=self.path, crates=crates)

    @property
    def build_input(self) -> str:
        """What the record of a build begins with that used it."""
        return f"path {self.path[0]}" if self.path else "deb cargo="


def own_toolchain() -> Path | None:
    """The `bin` of a Rust toolchain in a folder of its own, as rustup makes it."""
    if shutil.which("rustc") is None:
        return None
    command = ["rustc", "--print", "sysroot"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    found = Path(shown) / "bin"
    is_own = (found / "cargo").exists() and not found.is_relative_to("/usr")
    return found if is_own else None


@pytest.fixture
async def rust() -> Rust:
    """A toolchain from a directory; without one, the packages of a root."""
    if (toolchain := own_toolchain()) is not None:
        return Rust(probe_interpreter(Path(sys.executable)), HostSystem(), (toolchain,))
    native = root_system(NATIVE)
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    system, _ = await add_packages(native, ("cargo", "rustc"), shared_roots().layer)
    return Rust(interpreter, system, ())


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


async def test_vendored_crates_are_built(
    builder: BuilderHarness, upstream: FakeIndex, rust: Rust
) -> None:
    rust.set_up(builder)
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=True))
    result = await builder.build(job, rust.interpreter, system=rust.system)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert b"42" in builder.wheels[0].read_bytes()
    assert any(text.startswith(rust.build_input) for text in result.build_inputs)


@requires.requires_program("apt-get")
async def test_rust_is_found_missing_on_a_root_and_added(
    builder: BuilderHarness, upstream: FakeIndex
) -> None:
    native = root_system(NATIVE)
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    builder.add_packages(shared_roots().layer)
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=True))
    result = await builder.build(job, interpreter, system=native)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert result.added_packages is not None
    assert "cargo" in result.added_packages
    (adding,) = [phase for phase in builder.phases if phase.startswith("adding ")]
    assert "cargo" in adding
    added = {text.partition("=")[0] for text in result.build_inputs}
    assert {"deb cargo", "deb rustc"} <= added
    assert b"42" in builder.wheels[0].read_bytes()


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
    builder: BuilderHarness, upstream: FakeIndex, rust: Rust
) -> None:
    sha256, path = add_crate(upstream, "helper")
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=False))
    async with SimpleIndex(f"{upstream.url}crates/") as crates:
        rust.set_up(builder, crates)
        result = await builder.build(job, rust.interpreter, system=rust.system)
        assert result.outcome is Outcome.BUILT, builder.log.decode()
        assert f"{sha256} helper-1.0.0.crate" in result.build_inputs
        # One whose bytes are not those of the index is not sent
        upstream.files[path] += b"!"
        builder.options.cache.path(sha256).unlink()
        damaged = await builder.build(job, rust.interpreter, system=rust.system)
    assert damaged.failure_class is FailureClass.DAMAGED_DOWNLOAD, builder.log.decode()


async def test_crates_to_download_are_refused_and_their_host_is_named(
    builder: BuilderHarness, upstream: FakeIndex, rust: Rust
) -> None:
    rust.set_up(builder)
    job = sdists.make_job(upstream, "fast", rust_sdist(vendored=False))
    result = await builder.build(job, rust.interpreter, system=rust.system)
    assert result.failure_class is FailureClass.NEEDS_NETWORK, builder.log.decode()
    assert result.evidence.missing == ("host index.crates.io", "downloader cargo")
