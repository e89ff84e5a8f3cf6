"""What the end of a build's log says about why it failed."""

import re

from piwheels.model import Outcome

_LONGEST = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")

#: What inside.py itself says of how far it is.
_OURS = re.compile(r"--- piwheels: ")

#: Messages that pip and setuptools print after any failure at all.
_HOLLOW = re.compile(
    r"subprocess-exited-with-error|metadata-generation-failed|legacy-install-failure"
    r"|Failed to build |Failed building wheel|Could not build wheels|exited with \d"
    r"|failed-wheel-build|installing-build-dependencies|See above for output"
    r"|command '?\S+'? failed with exit (code|status)"
    r"|returned non-zero exit status|CalledProcessError|did not run successfully"
    r"|finished with status '"
    r"|exit code: |end of output|^\s*(note|hint|full command|cwd|╰─>):? ",
    re.IGNORECASE,
)

#: The most telling kind first; of one kind the first line or the last tells most.
_KINDS: tuple[tuple[re.Pattern[str], bool], ...] = tuple(
    (re.compile(pattern), last)
    for pattern, last in (
        (r"fatal error: .*(No such file|file not found)", False),
        (r"^\S+:\d+(:\d+)?: (fatal )?error: ", False),
        (r"ld(\.\w+)?: (cannot find|error: unable to find) ", False),
        (r"undefined reference to ", False),
        (r"^\s*error(\[E\d+\])?: (linker|failed to run custom build|no matching package)", False),
        (r"^\s*error\[E\d+\]: ", False),
        (r"(can't find|requires) (the )?Rust|rustc.* not (found|installed)", False),
        (r"meson\.build:\d+:\d+: ERROR: ", False),
        (r"CMake Error", False),
        (r"^\s*configure: error: ", False),
        (r"No matching distribution found for ", True),
        (r"Could not find a version that satisfies ", True),
        (r"^\s*(ModuleNotFoundError|ImportError): ", True),
        (r"^\s*([A-Za-z_]\w*\.)*([A-Z]\w*)?(Error|Exception|Exit|Interrupt|Iteration)(: |$)", True),
        (r"^\s*(ERROR|error|Error): ", True),
        (r"(command not found|: not found$|Permission denied|Read-only file system)", True),
    )
)

_OUT_OF_MEMORY = re.compile(
    r"Killed signal terminated program|virtual memory exhausted|Cannot allocate memory"
    r"|out of memory|std::bad_alloc|signal: 9, SIGKILL|Signals\.SIGKILL: 9"
    r"|exit(ed with)? (code|status):? -9\b|memory allocation of \d+ bytes failed|\bENOMEM\b"
    r"|^\s*(numpy\S*)?MemoryError\b",
    re.IGNORECASE | re.MULTILINE,
)
_DISK_FULL = re.compile(
    r"No space left on device|\[Errno 28\]|Disk quota exceeded|\bENOSPC\b", re.IGNORECASE
)


def failing_line(tail: bytes) -> str:
    """The one line of a failed build's log that says most about why; "" if there is none.

    Args:
        tail: the end of the log, from which escape sequences are dropped.
    """
    plain = _plain(tail).splitlines()
    lines = [line.rstrip() for line in plain if line.strip() and not _OURS.match(line)]
    telling = [line for line in lines if not _HOLLOW.search(line)]
    for pattern, last in _KINDS:
        for line in reversed(telling) if last else telling:
            if pattern.search(line):
                return line.strip()[:_LONGEST]
    return (telling or lines or [""])[-1].strip()[:_LONGEST]


def last_line(tail: bytes) -> str:
    """The last line of a log that is not blank; "" if there is none."""
    lines = _plain(tail).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_LONGEST]


def shortage(tail: bytes) -> Outcome | None:
    """OUT_OF_MEMORY or DISK_FULL, if the end of a failed build's log shows signs of it."""
    text = _plain(tail)
    if _DISK_FULL.search(text):
        return Outcome.DISK_FULL
    return Outcome.OUT_OF_MEMORY if _OUT_OF_MEMORY.search(text) else None


def _plain(tail: bytes) -> str:
    return _ESCAPES.sub("", tail.decode(errors="replace").replace("\r", "\n"))
