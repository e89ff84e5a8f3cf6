"""Lines about memory, disk space, limits, signals and crashes."""

from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

_EXCEPTION = r"^(?:[A-Za-z_]\w*\.)*_*[A-Z]\w*"

RULES = (
    # Memory
    rule(
        "compiler-killed",
        "Killed signal",
        r"fatal error: Killed signal terminated program \S+$",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "cannot-allocate",
        "annot allocate memory",
        r": Cannot allocate memory\.?$|\[Errno 12\] Cannot allocate",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "out-of-memory",
        "out of memory",
        r"^(?:\S+:\s|.*\berror: |LLVM ERROR: |.*runtime: )?out of memory(?: allocating|: cannot|$)",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "linker-memory",
        "memory exhausted",
        r"\bld(?:\.\w+)?: .*: memory exhausted$|^virtual memory exhausted",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "bad-alloc",
        "bad_alloc",
        r"^terminate called after throwing .*'std::bad_alloc'|^what\(\):  std::bad_alloc",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "rust-allocation",
        "memory allocation of ",
        r"memory allocation of \d+ bytes failed",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "rustc-memory",
        "more memory than available",
        r"more memory than available to compiler",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "node-memory",
        "heap out of memory",
        r"FATAL ERROR: .*heap out of memory",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "memory-error",
        "MemoryError",
        r"^(?:[A-Za-z_]\w*\.)*(?:_*[A-Z]\w*)?MemoryError(?:: |$)",
        C.OUT_OF_MEMORY,
        Rank.PRECISE,
    ),
    rule(
        "killed-by-9",
        ("SIGKILL", "-9", "Error 137", "Killed"),
        r"\(signal: 9, SIGKILL: kill\)|died with <Signals\.SIGKILL: 9>"
        r"|\b(?:exit(?:ed with)?|failed with) (?:code|status|exit status):? -9\b|\] Error 137$"
        r"|^(?:make(?:\[\d+\])?: \*\*\* \[.*\] |/bin/sh: line \d+: +\d+ |bash: line \d+: +\d+ )?"
        r"Killed(?:\s|$)",
        C.OUT_OF_MEMORY,
        Rank.ERROR,
        weight=0,
    ),
    # Disk space
    rule(
        "errno-28",
        "[Errno 28]",
        r"^(?:(?:[A-Za-z_]\w*\.)*\w+: .*)?\[Errno 28\]",
        C.DISK_FULL,
        Rank.PRECISE,
    ),
    rule(
        "no-space",
        ("No space left on device", "Disk quota exceeded"),
        r": '?(?:No space left on device|Disk quota exceeded)'?(?: \(os error \d+\))?\.?$",
        C.DISK_FULL,
        Rank.PRECISE,
    ),
    rule(
        "enospc",
        "ENOSPC",
        r"^(?:\w+ )?(?:[A-Z]\w*: )?ENOSPC: no space left on device",
        C.DISK_FULL,
        Rank.PRECISE,
    ),
    # Limits
    rule(
        "file-too-large",
        ("File too large", "File size limit exceeded", "SIGXFSZ", "signal 25"),
        r"\[Errno 27\] File too large|: File too large|\bFile size limit exceeded"
        r"|[Ss]ignal (?:SIGXFSZ|25\b)|<Signals\.SIGXFSZ",
        C.LIMIT,
        Rank.PRECISE,
    ),
    rule(
        "too-many-files",
        "oo many open files",
        r"\[Errno 2[34]\] Too many open files|: Too many open files",
        C.LIMIT,
        Rank.PRECISE,
    ),
    rule(
        "cannot-fork",
        ("emporarily unavailable", "can't start new thread", "annot fork"),
        r"BlockingIOError: \[Errno 11\]|\bfork: .*Resource temporarily unavailable"
        r"|: can't start new thread|: Cannot fork\b|vfork: Resource temporarily"
        r"|Resource temporarily unavailable \(os error 11\)|pthread_create.*temporarily unavailable"
        r"|: [Ff]ork(?: failed)?:? .*Resource temporarily unavailable",
        C.LIMIT,
        Rank.PRECISE,
    ),
    # Crashes and signals
    rule(
        "internal-compiler-error",
        ("nternal compiler error", "nternal error: ", "compiler unexpectedly panicked"),
        r"\binternal compiler error\b|^internal error: |the compiler unexpectedly panicked",
        C.CRASHED,
        Rank.PRECISE,
        weight=4,
    ),
    rule(
        "compiler-crash",
        ("PLEASE submit a bug report", "rontend command failed due to signal"),
        r"PLEASE submit a bug report|frontend command failed due to signal",
        C.CRASHED,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "crash-signal",
        (
            "Signals.SIG",
            "(signal: ",
            "egmentation fault",
            "llegal instruction",
            "Aborted",
            "core dumped",
            "Bus error",
        ),
        r"died with <Signals\.SIG(?:SEGV|ILL|ABRT|BUS|FPE|TRAP)|\(signal: (?:4|6|7|8|11)\b"
        r"|^(?:Fatal Python error: )?(?:Segmentation fault|Illegal instruction|Aborted|Bus error)"
        r"(?:\s*\(core dumped\))?\.?$"
        r"|(?:Segmentation fault|Illegal instruction|Aborted|Bus error)(?: +\(core dumped\))"
        r"|\] (?:Segmentation fault|Illegal instruction|Aborted|Bus error)",
        C.CRASHED,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "kill-signal",
        ("Signals.SIG", "(signal: ", "Terminated", "terminated program", "Hangup"),
        r"died with <Signals\.SIG(?:TERM|HUP|INT|USR\d|XCPU)|\(signal: (?:1|2|15)\b"
        r"|^(?:make(?:\[\d+\])?: \*\*\* \[.*\] )?Terminated$"
        r"|fatal error: \w+ signal terminated program",
        C.KILLED,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "exit-by-crash",
        (": -", "exit code -", "exit status -", "code=-", "Error 1"),
        r"(?:exit code|exit status|code)[:= ]+-(?:4|6|7|8|11)\b|\] Error 13[4-9]$",
        C.CRASHED,
        Rank.HINT,
        weight=6,
    ),
    rule(
        "exit-by-signal",
        (": -", "exit code -", "exit status -", "code=-", "Error 1"),
        r"(?:exit code|exit status|code)[:= ]+-(?:1|2|15)\b|\] Error 143$",
        C.KILLED,
        Rank.HINT,
        weight=6,
    ),
)
