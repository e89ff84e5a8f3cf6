"""What the end of a build's log says about why it failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.builder.failure import failing_line, last_line, shortage
from piwheels.builder.inside import PHASE
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

COLOURED = (
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
        (COLOURED, "ERROR: the configuration is wrong"),
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
def test_the_most_telling_line_is_found(log: str, line: str) -> None:
    found = failing_line(log.encode())
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
def test_a_shortage_of_the_machine_is_told_from_a_fault_of_the_release(
    log: str, outcome: Outcome | None
) -> None:
    assert shortage(log.encode()) is outcome


@given(st.binary(max_size=400))
def test_any_bytes_give_one_short_line(tail: bytes) -> None:
    for line in (failing_line(tail), last_line(tail)):
        assert "\n" not in line
        assert len(line) <= 300
    shortage(tail)


def test_what_the_builder_itself_said_is_no_reason() -> None:
    assert failing_line(f"{PHASE}building ---\n".encode()) == ""
    assert failing_line(f"it broke\n{PHASE}building ---\n".encode()) == "it broke"


def test_a_step_of_pip_that_was_killed_was_short_of_memory() -> None:
    tail = "  error: subprocess-exited-with-error\n  │ exit code: -9\n".encode()
    assert shortage(tail) is Outcome.OUT_OF_MEMORY


def test_a_plain_exception_says_more_than_what_pip_says_after_it() -> None:
    tail = b"""\
  Exception: Can not find valid pkg-config name.
  Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually
  error: subprocess-exited-with-error
  Getting requirements to build wheel: finished with status 'error'
ERROR: Failed to build 'file:///build/x.tar.gz' when getting requirements to build wheel
"""
    assert failing_line(tail) == "Exception: Can not find valid pkg-config name."
