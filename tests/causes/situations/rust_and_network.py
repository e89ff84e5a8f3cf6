"""Situations 12 to 14: Rust, and builds that need a network."""

from tests.causes.projects import build_system, cmake_project, project, setup_py
from tests.causes.spec import Archive, Expected, Situation, Variant

_RUST_PACKAGES = "rustc|cargo|rustup"
_LIB = "pub fn answer() -> u32 { 42 }\n"


def _cargo(manifest: str, files: dict[str, str] | None = None) -> Archive:
    """A project whose setup.py runs cargo."""
    head = '[package]\nname = "sample"\nversion = "0.1.0"\n'
    return setup_py(
        "import subprocess\nsubprocess.check_call(['cargo', 'build', '--release'])",
        {"Cargo.toml": head + manifest, "src/lib.rs": _LIB, **(files or {})},
    )


def _no_rust(what: str, *lines: str) -> Expected:
    return Expected(
        failure_class="missing-toolchain",
        missing=(f"program:{what}",),
        packages=(_RUST_PACKAGES,),
        also=("rustc", "cargo", "rustup"),
        lines=lines,
    )


def _needs(host: str, program: str, *lines: str) -> Expected:
    return Expected(
        failure_class="needs-network",
        missing=((f"host:{host}",) if host else ()) + (f"downloader:{program}",),
        lines=lines,
    )


_SETUPTOOLS_RUST = project(
    {
        "pyproject.toml": build_system('"setuptools", "setuptools-rust"'),
        "setup.py": """
        from setuptools import setup
        from setuptools_rust import RustExtension
        setup(name="sample", version="1.0", rust_extensions=[RustExtension("sample")])
        """,
        "Cargo.toml": '[package]\nname = "sample"\nversion = "0.1.0"\n',
        "src/lib.rs": _LIB,
    }
)

_RUST = Situation(
    12,
    "rust",
    (
        Variant(
            name="setuptools-rust",
            tools=("setuptools-rust",),
            sdist=_SETUPTOOLS_RUST,
            expected=_no_rust("rustc", "error: can't find Rust compiler"),
        ),
        Variant(
            name="maturin",
            tools=("maturin", "puccinialin"),
            sdist=project(
                {
                    "pyproject.toml": build_system('"maturin"', "maturin")
                    + '\n[project]\nname = "sample"\nversion = "1.0"\n',
                    "Cargo.toml": '[package]\nname = "sample"\nversion = "0.1.0"\n'
                    '[lib]\ncrate-type = ["cdylib"]\n[dependencies]\npyo3 = "0.22"\n',
                    "src/lib.rs": _LIB,
                }
            ),
            # Without one, maturin has a requirement that downloads a toolchain.
            expected=Expected(
                failure_class="missing-toolchain",
                missing=("program:cargo|program:rustc",),
                packages=(_RUST_PACKAGES,),
                also=("rustc", "cargo", "rustup"),
                lines=(
                    "Rust not found, installing into a temporary directory",
                    "httpx.ConnectError: [Errno -2] Name or service not known",
                ),
            ),
        ),
        Variant(
            name="cargo-command",
            sdist=_cargo(""),
            expected=_no_rust("cargo", "No such file or directory: 'cargo'"),
        ),
        Variant(
            name="rust-version",
            rust=True,
            sdist=_cargo('edition = "2021"\nrust-version = "1.999"\n'),
            expected=_no_rust(
                "rustc",
                "requires rustc 1.999 or newer",
                "rustc 1.999",
                "is not supported by the following package",
            ),
        ),
        Variant(
            name="edition",
            rust=True,
            sdist=_cargo('edition = "2099"\n'),
            expected=_no_rust(
                "cargo",
                "failed to parse the `edition` key",
                "is older than the `2099` edition",
                "supported edition values are",
            ),
        ),
    ),
)

_VENDORED = {
    "part/Cargo.toml": '[package]\nname = "part"\nversion = "0.1.0"\nedition = "2021"\n',
    "part/src/lib.rs": "pub fn value() -> u32 { 42 }\n",
}

_CRATES = Situation(
    13,
    "crates",
    (
        Variant(
            name="to-fetch",
            rust=True,
            sdist=_cargo('edition = "2021"\n[dependencies]\nlibc = "0.2"\n'),
            expected=_needs(
                "index.crates.io",
                "cargo",
                "failed to get `libc` as a dependency",
                "Could not resolve host",
                "failed to query replaced source registry `crates-io`",
                "download of config.json failed",
                "error: failed to",
            ),
        ),
        Variant(
            name="git-crate",
            rust=True,
            sdist=_cargo(
                'edition = "2021"\n[dependencies]\nlibc = { git = "https://github.com/rust-lang/libc" }\n'
            ),
            expected=_needs(
                "github.com",
                "cargo",
                "failed to get `libc` as a dependency",
                "failed to resolve address for github.com",
                "Unable to update https://github.com/rust-lang/libc",
                "failed to fetch into",
                "failed to clone into",
            ),
        ),
        Variant(
            name="vendored",
            rust=True,
            sdist=_cargo('edition = "2021"\n[dependencies]\npart = { path = "part" }\n', _VENDORED),
            expected=None,
        ),
    ),
)

_FETCH_CONTENT = """
cmake_minimum_required(VERSION 3.18)
project(sample LANGUAGES C)
include(FetchContent)
FetchContent_Declare(part URL https://example.org/part.tar.gz)
FetchContent_MakeAvailable(part)
"""

_NETWORK = Situation(
    14,
    "network",
    (
        Variant(
            name="git-clone",
            programs=("git",),
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call("
                "['git', 'clone', 'https://github.com/pybind/pybind11', 'pybind11'])"
            ),
            expected=_needs(
                "github.com",
                "git",
                "fatal: transport 'https' not allowed",
                "Could not resolve host",
            ),
        ),
        Variant(
            name="git-submodule",
            programs=("git",),
            sdist=setup_py(
                """
                import subprocess
                subprocess.check_call(["git", "init", "--quiet"])
                subprocess.check_call(["git", "submodule", "add", "https://gitlab.com/libeigen/eigen.git"])
                """
            ),
            expected=_needs("gitlab.com", "git", "fatal: transport 'https' not allowed"),
        ),
        Variant(
            name="urllib",
            sdist=setup_py(
                """
                from urllib.request import urlretrieve
                print("Downloading https://downloads.example.org/part-1.0.tar.gz")
                urlretrieve("https://downloads.example.org/part-1.0.tar.gz", "part.tar.gz")
                """
            ),
            expected=_needs(
                "downloads.example.org",
                "Python (urllib)",
                "urllib.error.URLError: <urlopen error [Errno -",
                "socket.gaierror: [Errno -",
            ),
        ),
        Variant(
            name="curl",
            programs=("curl",),
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call("
                "['curl', '-sSfO', 'https://downloads.example.org/part.tar.gz'])"
            ),
            expected=_needs(
                "downloads.example.org",
                "curl",
                "curl: (6) Could not resolve host: downloads.example.org",
            ),
        ),
        Variant(
            name="wget",
            programs=("wget",),
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call("
                "['wget', 'https://downloads.example.org/part.tar.gz'])"
            ),
            expected=_needs(
                "downloads.example.org",
                "wget",
                "wget: unable to resolve host address ‘downloads.example.org’",
            ),
        ),
        Variant(
            name="npm",
            programs=("npm", "node"),
            sdist=setup_py(
                "import subprocess\n"
                "subprocess.check_call(['npm', 'install', '--fetch-retries=0', 'left-pad'])"
            ),
            expected=_needs(
                "registry.npmjs.org",
                "npm",
                "npm ERR! network request to https://registry.npmjs.org/left-pad failed",
                "npm error network request to https://registry.npmjs.org/left-pad failed",
            ),
        ),
        Variant(
            name="fetch-content",
            tools=("cmake",),
            sdist=cmake_project(_FETCH_CONTENT),
            expected=_needs(
                "example.org",
                "cmake",
                "Could not resolve host",
                "Each download failed!",
                "error: downloading 'https://example.org/part.tar.gz' failed",
                "Could not resolve hostname",
            ),
        ),
        Variant(
            name="address",
            sdist=setup_py("import socket\nsocket.create_connection(('192.0.2.1', 80), 5)"),
            expected=_needs("", "Python", "OSError: [Errno 101] Network is unreachable"),
        ),
        Variant(
            name="pip-without-pip",
            sdist=setup_py(
                "import subprocess, sys\n"
                "subprocess.check_call([sys.executable, '-m', 'pip', 'install', 'numpy'])"
            ),
            expected=Expected(
                failure_class="undeclared-requirement|needs-network",
                missing=("module:pip",),
                lines=("No module named pip",),
            ),
        ),
    ),
)

SITUATIONS = (_RUST, _CRATES, _NETWORK)
