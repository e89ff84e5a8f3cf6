"""The error line of a failed build's log, and signs of missing memory or disk space."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.builder.log_analysis import (
    _to_plain_text,
    find_error_line,
    last_line,
    resource_shortage,
)
from piwheels.builder.sandbox_entry import PHASE_PREFIX
from piwheels.model import Outcome

HEADER = """\
  gcc -fPIC -I/usr/include/python3.11 -c lib/foo.c -o build/foo.o
  lib/foo.c:12:10: fatal error: ffi.h: No such file or directory
     12 | #include <ffi.h>
        |          ^~~~~~~
  compilation terminated.
  error: command '/usr/bin/gcc' failed with exit code 1
  error: subprocess-exited-with-error

  \N{MULTIPLICATION SIGN} Building wheel for cffi (pyproject.toml) did not run successfully.
  │ exit code: 1
  ╰─> No available output.

  note: This error originates from a subprocess, and is likely not a problem with pip.
  full command: /build/venv/bin/python /pip/_in_process.py build_wheel /build/tmp/tmpx
  Building wheel for cffi (pyproject.toml): finished with status 'error'
  ERROR: Failed building wheel for cffi
Failed to build cffi
ERROR: Failed to build one or more wheels
"""

TRACEBACK = """\
  Getting requirements to build wheel: started
  Traceback (most recent call last):
    File "/build/tmp/setup.py", line 3, in <module>
      import numpy
  ModuleNotFoundError: No module named 'numpy'
  error: subprocess-exited-with-error
  note: This error originates from a subprocess, and is likely not a problem with pip.
  Getting requirements to build wheel: finished with status 'error'
ERROR: Failed to build 'foo' when getting requirements to build wheel
"""

RUST = """\
  running build_rust
  error: can't find Rust compiler

  If you are using an outdated pip version, it is possible a prebuilt wheel is available.
  This package requires Rust >=1.56.0.
  ERROR: Failed building wheel for cryptography
"""

MESON = """\
  The Meson build system
  Project name: NumPy
  ../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]

  A full log can be found at /build/tmp/meson-log.txt
  error: metadata-generation-failed
"""

UNRESOLVED = """\
  ERROR: Could not find a version that satisfies the requirement setuptools<40 (from versions: 82)
  ERROR: No matching distribution found for setuptools<40
  error: subprocess-exited-with-error
ERROR: Failed to build 'foo' when installing build dependencies for foo
"""

LINKER = """\
  /usr/bin/ld: cannot find -lxml2: No such file or directory
  collect2: error: ld returned 1 exit status
  error: command '/usr/bin/gcc' failed with exit code 1
"""

COLORED = (
    "\x1b[31mERROR:\x1b[0m \x1b[1mthe configuration is wrong\x1b[0m\r\n"
    "\x1b[31mERROR: Failed building wheel for foo\x1b[0m\n"
)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (HEADER, "lib/foo.c:12:10: fatal error: ffi.h: No such file or directory"),
        (TRACEBACK, "ModuleNotFoundError: No module named 'numpy'"),
        (RUST, "error: can't find Rust compiler"),
        (
            MESON,
            "../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]",
        ),
        (UNRESOLVED, "ERROR: No matching distribution found for setuptools<40"),
        (LINKER, "/usr/bin/ld: cannot find -lxml2: No such file or directory"),
        (COLORED, "ERROR: the configuration is wrong"),
        ("a.c:3:5: error: expected ';'\nb.c:1:1: error: later\n", "a.c:3:5: error: expected ';'"),
        ("configure: error: no acceptable C compiler\nmake: ***\n", "configure: error: no "),
        (
            "sh: 1: cmake: not found\nERROR: Failed building wheel for x\n",
            "sh: 1: cmake: not found",
        ),
        ("ERROR: Failed building wheel for x\n", "ERROR: Failed building wheel for x"),
        ("distutils.errors.DistutilsError: bad\n", "distutils.errors.DistutilsError: bad"),
        ("SystemExit\n", "SystemExit"),
        ("just words\n\n", "just words"),
        ("", ""),
    ],
)
def test_the_line_that_explains_a_failure_is_found(log: str, line: str) -> None:
    found = find_error_line(log.encode())
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("log", "outcome"),
    [
        ("cc: fatal error: Killed signal terminated program cc1plus\n", Outcome.OUT_OF_MEMORY),
        ("  MemoryError\n", Outcome.OUT_OF_MEMORY),
        ("virtual memory exhausted: Cannot allocate memory\n", Outcome.OUT_OF_MEMORY),
        ("terminate called after throwing 'std::bad_alloc'\n", Outcome.OUT_OF_MEMORY),
        ("process didn't exit successfully: (signal: 9, SIGKILL: kill)\n", Outcome.OUT_OF_MEMORY),
        ("OSError: [Errno 28] No space left on device\n", Outcome.DISK_FULL),
        ("fatal error: error writing to /tmp/x.s: No space left on device\n", Outcome.DISK_FULL),
        ("checking for MemoryError handling... ok\nfailed\n", None),
        (HEADER, None),
    ],
)
def test_a_resource_shortage_is_distinguished_from_a_fault_of_the_release(
    log: str, outcome: Outcome | None
) -> None:
    assert resource_shortage(log.encode()) is outcome


@given(st.binary(max_size=400))
def test_any_bytes_give_one_short_line(tail: bytes) -> None:
    for line in (find_error_line(tail), last_line(tail)):
        assert "\n" not in line
        assert len(line) <= 300
    resource_shortage(tail)


def test_messages_of_the_builder_are_not_the_reason() -> None:
    assert find_error_line(f"{PHASE_PREFIX}building ---\n".encode()) == ""
    assert find_error_line(f"it broke\n{PHASE_PREFIX}building ---\n".encode()) == "it broke"


def test_a_killed_pip_subprocess_is_out_of_memory() -> None:
    tail = "  error: subprocess-exited-with-error\n  │ exit code: -9\n".encode()
    assert resource_shortage(tail) is Outcome.OUT_OF_MEMORY


def test_an_exception_is_preferred_to_the_message_of_pip_after_it() -> None:
    tail = b"""\
  Exception: Can not find valid pkg-config name.
  Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually
  error: subprocess-exited-with-error
  Getting requirements to build wheel: finished with status 'error'
ERROR: Failed to build 'file:///build/x.tar.gz' when getting requirements to build wheel
"""
    assert find_error_line(tail) == "Exception: Can not find valid pkg-config name."


GCC = """\
  building 'demo._speedups' extension
  gcc -fPIC -I/usr/include/python3.11 -c src/speedups.c -o build/speedups.o
  src/speedups.c: In function 'go':
  src/speedups.c:7:5: warning: implicit declaration of function 'x' [-Wimplicit]
      7 |     x();
        |     ^
  src/speedups.c:9:12: error: 'PyThreadState' has no member named 'frame'
      9 |     return state->frame;
        |            ^~~~~
  cc1: some warnings being treated as errors
  error: command '/usr/bin/gcc' failed with exit code 1
  error: subprocess-exited-with-error
ERROR: Failed building wheel for demo
"""
CMAKE = """\
  CMake Error at CMakeLists.txt:4 (message):
    first of two


  CMake Error at cmake/deps.cmake:55 (message):

    libfoo 2 is needed; set
    FOO_ROOT


  -- Configuring incomplete, errors occurred!
  See also "/build/tmp/CMakeFiles/CMakeOutput.log".
  subprocess.CalledProcessError: Command '['cmake', '..']' returned non-zero exit status 1.
"""


PKG_CONFIG = """\
  -- Checking for module 'optional'
  --   No package 'optional' found
  -- Checking for module 'nosuchlib'
  --   No package 'nosuchlib' found
  CMake Error at /usr/share/cmake-3.25/Modules/FindPkgConfig.cmake:607 (message):
    A required package was not found
  Call Stack (most recent call first):
    CMakeLists.txt:4 (pkg_check_modules)

  -- Configuring incomplete, errors occurred!
  subprocess.CalledProcessError: Command '['cmake', '..']' returned non-zero exit status 1.
"""
MULTILINE = """\
    File "/build/tmp/setup.py", line 5, in <module>
      raise RuntimeError(TEXT)
  RuntimeError:

  ******************************************
  The headers of libfoo are missing.
  ******************************************
  error: subprocess-exited-with-error
"""
INVALID = """\
ERROR: Exception:
Traceback (most recent call last):
  File "/pip/pip/_vendor/packaging/version.py", line 452, in __init__
    raise InvalidVersion(f"Invalid version: {version!r}")
pip._vendor.packaging.version.InvalidVersion: Invalid version: 'x!'
"""
MAKE = """\
  make[1]: *** Waiting for unfinished jobs....
  make: *** No rule to make target 'z.o', needed by 'all'.  Stop.
  make: *** [Makefile:3: all] Error 2
  Traceback (most recent call last):
    File "/build/tmp/setup.py", line 2, in <module>
      subprocess.check_call(['make'])
  subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2.
"""


@pytest.mark.parametrize("indent", ["", "  ", "      "])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("log", "line"),
    [
        (HEADER, "lib/foo.c:12:10: fatal error: ffi.h: No such file or directory"),
        (GCC, "src/speedups.c:9:12: error: 'PyThreadState' has no member named 'frame'"),
        (CMAKE, "libfoo 2 is needed; set"),
        ("CMake Error: The source directory is empty.\n", "CMake Error: The source directory is "),
        ("CMake Error at CMakeLists.txt:4 (message):\nhello\n", "CMake Error at CMakeLists"),
        (PKG_CONFIG, "--   No package 'nosuchlib' found"),
        (MULTILINE, "The headers of libfoo are missing."),
        (INVALID, "pip._vendor.packaging.version.InvalidVersion: Invalid version: 'x!'"),
        (MAKE, "make: *** No rule to make target 'z.o', needed by 'all'.  Stop."),
        ("gcc: error: unrecognized command-line option '-mfoo'\n", "gcc: error: unrecognized"),
        (TRACEBACK, "ModuleNotFoundError: No module named 'numpy'"),
    ],
)
def test_indentation_and_line_endings_are_ignored(
    log: str, line: str, indent: str, ending: str
) -> None:
    shown = "".join(f"{indent}{each}{ending}" for each in log.splitlines())
    assert find_error_line(shown.encode()).startswith(line)


@pytest.mark.parametrize(
    "uninformative",
    [
        "  \N{MULTIPLICATION SIGN} Encountered error while generating package metadata.",
        "compilation terminated.",
        "collect2: error: ld returned 1 exit status",
        "        |          ^~~~~~~",
        "   12 | error: this is a string of the source",
        "    ~~~~^^^^^^^^",
        '  File "/build/tmp/setup.py", line 3, in <module>',
        "  src/a.c:3:1: note: error: see here",
        "https://pip.pypa.io/warnings/venv",
        "  -- Configuring incomplete, errors occurred!",
    ],
)
def test_a_generic_line_has_the_lowest_priority(uninformative: str) -> None:
    for log in (f"{uninformative}\nthe cause of it\n", f"the cause of it\n{uninformative}\n"):
        assert find_error_line(log.encode()) == "the cause of it"


def test_without_an_error_line_the_command_is_reported() -> None:
    command = "subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2."
    assert find_error_line(f"  {command}\nERROR: Failed building wheel for x\n".encode()) == command
    assert (
        find_error_line(f"make: error: why\nerror: because\n{command}\n".encode())
        == "error: because"
    )


@pytest.mark.parametrize(
    "quoted",
    [
        "   12 |     throw std::bad_alloc();",
        "      | MemoryError: of the source",
        '  File "x.py", line 3, in f\n    MemoryError: quoted',
        "src/a.c:3:9: warning: this is returned on ENOMEM: Cannot allocate memory",
        "src/a.c:3:9: error: unknown type name 'ENOSPC'",
        "gcc -DENOMEM=12 -DOUT_OF_MEMORY='\"out of memory\"' -c a.c",
        "  copying demo/out of memory.txt -> build/lib",
        "checking for ENOSPC... yes",
        "    raise OSError(28, 'No space left on device')",
        "adding 'demo/No space left on device.txt'",
        "#define ENOMEM 12  /* Out of memory */",
    ],
)
def test_quoted_source_code_is_not_a_shortage(quoted: str) -> None:
    assert resource_shortage(f"{quoted}\nerror: it failed\n".encode()) is None


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("  cc1plus: out of memory allocating 65536 bytes after a total", Outcome.OUT_OF_MEMORY),
        ("  LLVM ERROR: out of memory", Outcome.OUT_OF_MEMORY),
        ("  memory allocation of 16 bytes failed", Outcome.OUT_OF_MEMORY),
        ("  numpy.core._exceptions._ArrayMemoryError: Unable to", Outcome.OUT_OF_MEMORY),
        ("  OSError: [Errno 12] Cannot allocate memory: 'gcc'", Outcome.OUT_OF_MEMORY),
        ("ERROR: Could not install: OSError: [Errno 28] No space left", Outcome.DISK_FULL),
        ("  error: could not create 'build': No space left on device", Outcome.DISK_FULL),
        ("  /tmp/x.s: Fatal error: can't close x.o: No space left on device", Outcome.DISK_FULL),
        ("  a.c:1:1: fatal error: writing to x.s: No space left on device", Outcome.DISK_FULL),
        ("  = note: No such thing: No space left on device (os error 28)", Outcome.DISK_FULL),
        ("  cp: error writing 'x': Disk quota exceeded", Outcome.DISK_FULL),
    ],
)
def test_a_shortage_is_found_in_indented_output(line: str, outcome: Outcome) -> None:
    assert resource_shortage(f"before\n{line}\nafter\n".encode()) is outcome


_PIECES = st.sampled_from(
    [
        "\n", "\r", " ", "  ", "\x1b[", "\x1b]", "\x07", "1", ":", "error: ", "fatal error: ",
        "CMake Error at x:1 (message):", "MemoryError", "a.c:1:2: ", "|", "^", "note: ", "/gcc",
        "No space left on device", "\0", "\u2028", "\xe9", 'File "x", line 1', "Error", ".", "_",
        "Could not find a version that satisfies ", "inconsistent name",
        "CalledProcessError: Command ",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60))
def test_the_result_is_a_line_of_the_log(pieces: list[str]) -> None:
    log = "".join(pieces)
    found = find_error_line(log.encode())
    plain = _to_plain_text(log.encode())
    assert any(line.strip().startswith(found) for line in plain.split("\n"))
    assert found or not any(_to_plain_text(line.encode()).strip() for line in log.split("\n"))
    resource_shortage(log.encode())
