"""The class, the missing thing and the line of failed builds, whatever else their logs hold."""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.causes import Cause, Evidence, FailureClass, IndexRecord, Limit, MissingKind, classify
from piwheels.causes.classify import classify_with
from piwheels.causes.rule import Rule
from piwheels.causes.rules import RULES
from tests.causes.samples import GCC_END, PIP_END, SAMPLES, SUBPROCESS_TRACE, Sample, trace

C = FailureClass
BY_NAME = {each.name: each for each in SAMPLES}
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def stripped_lines(log: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.split("\n")]


def differences(sample: Sample, cause: Cause) -> list[str]:
    what = str(cause.missing[0]) if cause.missing else ""
    return [
        f"{found} instead of {expected}"
        for found, expected in (
            (str(cause.failure_class), sample.failure_class),
            (what, sample.what),
            (cause.line[: len(sample.line)], sample.line),
        )
        if found != expected
    ]


def assert_judged(sample: Sample, log: str) -> None:
    cause = classify(log)
    assert not differences(sample, cause)
    assert cause.line in stripped_lines(log)[cause.line_number - 1]


@samples
def test_the_end_of_a_log_tells_the_cause(sample: Sample) -> None:
    assert_judged(sample, sample.log + PIP_END)


DECOYS = """\
checking for strlcpy... no
checking whether gcc accepts -foo... no
Package libdecoy was not found in the pkg-config search path.
Run-time dependency libdecoy found: NO (tried pkgconfig)
-- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE)
-- Performing Test HAVE_X - Failed
x.c:1:1: warning: implicit declaration of function 'error' [-Wimplicit]
decoy.c:1:10: fatal error: decoy.h: No such file or directory
    1 | #include <decoy.h>
error: command '/usr/bin/gcc' failed with exit code 1
WARNING: The C extension could not be compiled, speedups are not enabled.
gcc -DERROR='"fatal error: x.h: No such file"' -c y.c -o y.o
"""
WARNINGS = "".join(
    f"part{n}.c:{n}:7: warning: unused variable 'error' [-Wunused-variable]\n"
    f"{n:5} |   int error = failed_call();\n      |       ^~~~~\n"
    for n in range(5000)
)


def _indented(text: str, by: str = "  ") -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


NOISE: dict[str, Callable[[str], str]] = {
    "indented": _indented,
    "indented-deeply": lambda log: _indented(log, " " * 10),
    "colors": lambda log: re.sub(r"(error:|ERROR:|\w+Error\b)", "\x1b[31m\\1\x1b[0m", log),
    "crlf": lambda log: log.replace("\n", "\r\n"),
    "decoys": lambda log: DECOYS + log,
    "earlier-step": lambda log: (
        "a.c:1:1: error: in a step before\n  Preparing metadata: finished with status 'done'\n"
        + log
    ),
    "warnings-after": lambda log: log + WARNINGS,
    "cut-tail": lambda log: "ng is cut off\n" + "copying demo/x.py -> build\n" * 9000 + log,
}


#: With these a log is so long that every sixteenth or eighth is enough.
_LONG_NOISE = {"warnings-after": 16, "cut-tail": 8}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_changes_nothing(noise: str) -> None:
    for sample in SAMPLES[:: _LONG_NOISE.get(noise, 1)]:
        log = NOISE[noise](sample.log) + PIP_END
        found = differences(sample, classify(log))
        assert not found, (sample.name, found)


def test_box_of_pip_without_verbose_changes_nothing() -> None:
    for sample in SAMPLES:
        if "exit code: -" in sample.log:
            continue
        output = _indented(sample.log, " " * 6)
        log = (
            "  Building wheel for demo (pyproject.toml): finished with status 'error'\n"
            "  error: subprocess-exited-with-error\n  \n"
            "  × Building wheel for demo (pyproject.toml) did not run successfully.\n"
            f"  │ exit code: 1\n  ╰─> [9 lines of output]\n{output}      [end of output]\n"
            "  \n  note: This error originates from a subprocess, and is likely not a problem with pip.\n"
            "  ERROR: Failed building wheel for demo\n"
        )
        found = differences(sample, classify(log))
        assert not found, (sample.name, found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_needed(rule: Rule) -> None:
    rest = [other for other in RULES if other is not rule]
    assert any(
        differences(sample, classify_with(rest, sample.log + PIP_END, Evidence(), None))
        for sample in SAMPLES
        if any(literal in sample.log + PIP_END for literal in rule.literals)
    )


def test_rules_have_names_of_their_own_and_literals_that_lines_contain() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(literal for rule in RULES for literal in rule.literals)


# --- uninformative lines ---


@pytest.mark.parametrize(
    "uninformative",
    [
        "  × Encountered error while generating package metadata.",
        "compilation terminated.",
        "collect2: error: ld returned 1 exit status",
        "        |          ^~~~~~~",
        "   12 | error: this is a string of the source",
        "    ~~~~^^^^^^^^",
        '  File "/build/tmp/setup.py", line 3, in <module>',
        "  src/a.c:3:1: note: error: see here",
        "https://pip.pypa.io/warnings/venv",
        "  -- Configuring incomplete, errors occurred!",
        "--- piwheels: building ---",
        "make: *** [Makefile:3: all] Error 2",
    ],
)
def test_a_line_that_comes_with_any_failure_never_tells(uninformative: str) -> None:
    for log in (f"{uninformative}\nthe cause of it\n", f"the cause of it\n{uninformative}\n"):
        assert classify(log).line == "the cause of it"
    alone = f"a.c:1:2: error: why\n{uninformative}\n"
    assert classify(alone).line == "a.c:1:2: error: why"


def test_the_command_is_told_where_nothing_else_is() -> None:
    command = "subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2."
    assert classify(f"  {command}\nERROR: Failed building wheel for x\n").line == command
    assert classify(f"error: because\n{command}\n").line == "error: because"


# --- causes that come before later lines ---


def test_the_output_of_the_failing_command_decides() -> None:
    log = (
        "gcc -c probe.c -o probe.o\nprobe.c:1:10: fatal error: decoy.h: No such file or directory\n"
        "gcc -c real.c -o real.o\nreal.c:2:2: error: unknown type name 'x'\n" + GCC_END
    )
    assert classify(log).line.startswith("real.c:2:2")


def test_three_headers_of_a_parallel_make_are_all_missing() -> None:
    log = "".join(
        f"{name}.c:1:10: fatal error: {name}.h: No such file or directory\n    1 | #include <{name}.h>\n"
        for name in ("portaudio", "sndfile", "samplerate")
    )
    missing = classify(log + "make: *** [Makefile:1: x.o] Error 1\n").missing
    assert [each.name for each in missing] == ["portaudio.h", "sndfile.h", "samplerate.h"]


def test_an_exception_is_not_overruled_by_one_raised_while_it_is_handled() -> None:
    log = (
        trace("FileNotFoundError: [Errno 2] No such file or directory: 'VERSION'")
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + trace("ModuleNotFoundError: No module named 'pkg_resources'")
    )
    assert classify(log + PIP_END).failure_class is C.BAD_SDIST


def test_a_build_requirement_that_does_not_compile_is_one_that_is_not_to_be_had() -> None:
    end = "  × installing build dependencies for demo did not run successfully.\n"
    log = "a.c:1:2: error: why\nERROR: Failed building wheel for helper\n" + end
    assert classify(log).failure_class is C.BUILD_REQUIREMENT
    assert classify("x.c:1:10: fatal error: ffi.h: No such file or directory\n" + end).missing


def test_a_build_that_succeeds_noisily_is_not_judged() -> None:
    log = "a.c:1:2: error: tolerated\nSuccessfully built demo\n"
    assert classify(log).failure_class is None
    assert classify(log + "ERROR: Failed to build y\n").failure_class is C.COMPILER_ERROR
    assert classify(log, Evidence(exit_status=1)).failure_class is C.COMPILER_ERROR
    assert classify("error: x\n", Evidence(exit_status=0, wheels=("a",))).failure_class is None


# --- facts before text ---

NO_DISTRIBUTION = BY_NAME["no-distribution"].log
RETRIES = BY_NAME["index-down"].log.replace("wheel", "other")
KILLED = BY_NAME["compiler-killed"].log


@pytest.mark.parametrize(
    ("log", "evidence", "failure_class"),
    [
        (NO_DISTRIBUTION, Evidence(), C.BUILD_REQUIREMENT),
        (NO_DISTRIBUTION, Evidence(index=IndexRecord(absent=("nosuch",))), C.BUILD_REQUIREMENT),
        (NO_DISTRIBUTION, Evidence(index=IndexRecord(faulty=("nosuch",))), C.INDEX_FAULT),
        (NO_DISTRIBUTION, Evidence(index=IndexRecord(gone=("x.whl",))), C.FILE_GONE),
        (NO_DISTRIBUTION, Evidence(index=IndexRecord(damaged=("x.whl",))), C.DAMAGED_DOWNLOAD),
        (RETRIES, Evidence(), C.INDEX_FAULT),
        (RETRIES, Evidence(index=IndexRecord(absent=("other",))), C.BUILD_REQUIREMENT),
        ("a.c:1:2: error: x\n", Evidence(index=IndexRecord(faulty=("y",))), C.COMPILER_ERROR),
        (KILLED, Evidence(), C.OUT_OF_MEMORY),
        (KILLED, Evidence(out_of_memory_events=1), C.OUT_OF_MEMORY),
        (KILLED, Evidence(out_of_memory_events=0), C.KILLED),
        (KILLED, Evidence(peak_memory_bytes=1, memory_limit_bytes=100), C.KILLED),
        (KILLED, Evidence(peak_memory_bytes=99, memory_limit_bytes=100), C.OUT_OF_MEMORY),
        ("", Evidence(exit_status=137), C.OUT_OF_MEMORY),
        ("", Evidence(exit_status=137, out_of_memory_events=0), C.KILLED),
        ("", Evidence(signal=11), C.CRASHED),
        ("", Evidence(exit_status=143), C.KILLED),
        ("error: x\n", Evidence(limit=Limit.TIME), C.TIMED_OUT),
        ("error: x\n", Evidence(limit=Limit.MEMORY), C.OUT_OF_MEMORY),
        ("error: x\n", Evidence(limit=Limit.PROCESSES), C.LIMIT),
        ("error: x\n", Evidence(limit=Limit.DISK), C.DISK_FULL),
        ("", Evidence(expected_digest="a", digest="b"), C.DAMAGED_DOWNLOAD),
        ("nothing to do\n", Evidence(exit_status=0, wheels=()), C.NO_WHEEL),
        ("", Evidence(exit_status=0, wheels=("a", "b")), C.SEVERAL_WHEELS),
        ("", Evidence(), C.UNKNOWN),
    ],
)
def test_the_class_follows_the_facts(
    log: str, evidence: Evidence, failure_class: FailureClass
) -> None:
    cause = classify(log, evidence)
    assert (cause.failure_class, cause.evidence) == (failure_class, evidence)


@pytest.mark.parametrize(
    "quoted",
    [
        "   12 |     throw std::bad_alloc();",
        "      | MemoryError: of the source",
        '  File "x.py", line 3, in f\n    MemoryError: quoted',
        "src/a.c:3:9: warning: this is returned on ENOMEM: Cannot allocate memory",
        "gcc -DENOMEM=12 -DOUT_OF_MEMORY='\"out of memory\"' -c a.c",
        "  copying demo/out of memory.txt -> build/lib",
        "checking for ENOSPC... yes",
        "    raise OSError(28, 'No space left on device')",
        "adding 'demo/No space left on device.txt'",
        "#define ENOMEM 12  /* Out of memory */",
    ],
)
def test_quoted_source_is_no_sign_of_a_shortage(quoted: str) -> None:
    cause = classify(f"{quoted}\nerror: it failed\n")
    assert (cause.failure_class, cause.line) == (C.UNKNOWN, "error: it failed")


# --- packages ---


class Packages:
    """The packages of a small distribution."""

    NAMES: ClassVar[dict[tuple[MissingKind, str], tuple[str, ...]]] = {
        (MissingKind.HEADER, "libxml/tree.h"): ("libxml2-dev",),
        (MissingKind.HEADER, "curl/curl.h"): ("libcurl4-openssl-dev", "libcurl4-gnutls-dev"),
        (MissingKind.SOFTWARE, "libxml2"): ("libxml2-dev",),
        (MissingKind.SOFTWARE, "libxslt"): ("libxslt1-dev",),
        (MissingKind.PROGRAM, "pg_config"): ("libpq-dev",),
        (MissingKind.PKG_CONFIG, "libfoo"): ("libfoo-dev",),
        (MissingKind.LIBRARY, "valid"): ("libvalid-dev",),
        (MissingKind.HEADER, "hidapi/hidapi.h"): ("libhidapi-dev",),
    }

    def find_packages(self, kind: MissingKind, name: str) -> Sequence[str]:
        return self.NAMES.get((kind, name), ())


def header(name: str, quotes: str = "<>") -> str:
    return (
        f"a.c:1:10: fatal error: {name}: No such file or directory\n"
        f"    1 | #include {quotes[0]}{name}{quotes[-1]}\n" + GCC_END
    )


@pytest.mark.parametrize(
    ("log", "packages"),
    [
        (header("curl/curl.h"), ("libcurl4-openssl-dev",)),
        (header("hidapi/hidapi.h", '"'), ("libhidapi-dev",)),
        (BY_NAME["prose"].log, ("libxml2-dev", "libxslt1-dev")),
        (SUBPROCESS_TRACE.format(name="pg_config"), ("libpq-dev",)),
        (
            "Package libfoo was not found in the pkg-config search path.\n" + header("foo.h"),
            ("libfoo-dev",),
        ),
        ("RuntimeError: libfoo is needed\n", ("libfoo-dev",)),
        (
            "Command 'pkg-config --exists libfoo' returned non-zero exit status 1.\n"
            + trace("Exception: Can not find valid pkg-config name."),
            ("libfoo-dev",),
        ),
        (BY_NAME["numpy"].log, ()),
    ],
)
def test_packages_are_those_of_all_that_the_line_names(log: str, packages: tuple[str, ...]) -> None:
    assert classify(log + PIP_END, packages=Packages()).packages == packages


def test_a_header_that_no_package_has_and_quotes_enclose_is_the_projects_own() -> None:
    assert classify(header("core.hpp", '"'), packages=Packages()).failure_class is C.BAD_SDIST
    assert classify(header("core.hpp"), packages=Packages()).failure_class is C.MISSING_PACKAGE


# --- any input ---


@given(st.text(max_size=400))
def test_any_text_is_judged(log: str) -> None:
    cause = classify(log, packages=Packages())
    assert "\n" not in cause.line
    assert len(cause.line) <= 500


_PIECES = st.sampled_from(
    [
        "\n", "\r", " ", "  ", "\x1b[", "\x1b]", "\x07", "1", ":", "error: ", "fatal error: ",
        "CMake Error at x:1 (message):", "MemoryError", "a.c:1:2: ", "|", "^", "note: ", "/gcc",
        "No space left on device", "\0", "\u2028", "\xe9", 'File "x", line 1', "Error", ".", "_",
        "Could not find a version that satisfies ", "inconsistent name", "\x85", "IndexError: ",
        "CalledProcessError: Command ", "Traceback (most recent call last):", "No module named 'x.y'",
        "During handling of the above exception", "finished with status 'done'", "Successfully ",
        "error: command '", " -c ", "sh: 1: x: not found", "[Errno 2] No such file or directory: 'x'",
        "Ignored the following versions that require a different python version: ", "libxml2 missing",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60))
def test_the_line_is_the_numbered_line_of_the_log(pieces: list[str]) -> None:
    log = "".join(pieces)
    cause = classify(log, packages=Packages())
    lines = log.split("\n")
    assert 0 <= cause.line_number <= len(lines)
    if cause.line:
        own = classify(lines[cause.line_number - 1]).line
        assert (
            cause.line in own or own in cause.line or cause.line[:1] in lines[cause.line_number - 1]
        )
