"""Situations 25 to 29: limits, memory, disks, signals, and what a sandbox refuses."""

from tests.causes.projects import backend, extension, make_project, setup_py
from tests.causes.spec import Archive, Expected, Situation, Variant

_MIB = 1 << 20


def _expect(failure_class: str, *lines: str) -> Expected:
    return Expected(failure_class=failure_class, lines=lines)


def _timeout(name: str, sdist: Archive) -> Variant:
    return Variant(
        name=name, sdist=sdist, limits={"timeout_s": 40.0}, expected=_expect("timed-out")
    )


_TIME = Situation(
    25,
    "time",
    (
        _timeout("busy", setup_py("while True:\n    pass")),
        _timeout("sleep", setup_py("import time\nprint('waiting', flush=True)\ntime.sleep(3600)")),
        _timeout(
            "pipe",
            setup_py(
                "import subprocess\n"
                "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\nchild.wait()"
            ),
        ),
        _timeout("make", make_project("all:\n    sleep 3600\n", {})),
    ),
)

_EXPANSION = "#define A0 1,\n" + "".join(f"#define A{n + 1} {f'A{n} ' * 10}\n" for n in range(7))
_MEMORY_HOG = f"{_EXPANSION}int numbers[] = {{A7}};\n"

_ALLOCATING = """
#include <vector>
int main() {
    std::vector<std::vector<char>> blocks;
    for (;;) blocks.emplace_back(16 << 20, 1);
}
"""

_MEMORY = Situation(
    26,
    "memory",
    (
        Variant(
            name="compiler",
            sdist=extension(_MEMORY_HOG, suffix="cpp", language="c++"),
            limits={"memory_bytes": 160 * _MIB},
            expected=_expect(
                "out-of-memory", "cc1plus: out of memory allocating", "virtual memory exhausted"
            ),
        ),
        Variant(
            name="memory-error",
            sdist=setup_py("table = list(range(10 ** 9))"),
            expected=_expect("out-of-memory", "MemoryError"),
        ),
        Variant(
            name="bad-alloc",
            sdist=make_project(
                """
                all: tool
                    ./tool
                tool: tool.cpp
                    $(CXX) -o $@ $<
                """,
                {"tool.cpp": _ALLOCATING},
            ),
            limits={"memory_bytes": 300 * _MIB},
            expected=_expect(
                "out-of-memory", "terminate called after throwing an instance of 'std::bad_alloc'"
            ),
        ),
        Variant(
            name="many-processes",
            sdist=setup_py(
                """
                import os, time
                for number in range(12):
                    if os.fork() == 0:
                        block = bytearray(os.urandom(1 << 20)) * 60
                        time.sleep(600)
                os.wait()
                """
            ),
            limits={"memory_bytes": 400 * _MIB},
            expected=_expect("out-of-memory"),
        ),
        Variant(
            name="rustc",
            rust=True,
            sdist=setup_py(
                "import subprocess\nsubprocess.check_call(['cargo', 'build'])",
                {
                    "Cargo.toml": '[package]\nname = "sample"\nversion = "0.1.0"\nedition = "2021"\n',
                    "src/lib.rs": "pub static TABLE: [u64; 1 << 27] = [7; 1 << 27];\n",
                },
            ),
            limits={"memory_bytes": 500 * _MIB},
            expected=_expect(
                "out-of-memory",
                "memory allocation of",
                "more memory than available to compiler",
            ),
        ),
        Variant(
            name="only-text",
            sdist=extension(
                '/* "virtual memory exhausted", ENOMEM, "out of memory", std::bad_alloc, Killed */\n'
                "#warning MemoryError: out of memory is handled by the caller\n"
                "int answer(void) { return undeclared_name; }"
            ),
            expected=_expect("compiler-error", "error: ‘undeclared_name’ undeclared"),
        ),
        Variant(
            name="only-text-python",
            sdist=setup_py(
                """
                print("checking for malloc... Cannot allocate memory (ENOMEM) is tested")
                print("c++: fatal error: Killed signal terminated program cc1plus was fixed in 1.2")
                import numpy
                """
            ),
            expected=_expect(
                "undeclared-requirement", "ModuleNotFoundError: No module named 'numpy'"
            ),
        ),
    ),
)

_LARGE_OBJECT = "char block[60 << 20] = {1};\n"

_DISK = Situation(
    27,
    "disk",
    (
        Variant(
            name="temporary-file",
            disk_bytes=60 * _MIB,
            sdist=setup_py(
                """
                import tempfile
                with tempfile.TemporaryFile() as file:
                    file.write(bytes(80 << 20))
                """
            ),
            expected=_expect("disk-full", "OSError: [Errno 28] No space left on device"),
        ),
        Variant(
            name="assembling",
            disk_bytes=60 * _MIB,
            sdist=extension(_LARGE_OBJECT),
            expected=_expect("disk-full", "No space left on device"),
        ),
        Variant(
            name="filled",
            disk_bytes=60 * _MIB,
            sdist=setup_py(
                """
                import time
                with open("large", "wb") as file:
                    for number in range(1000):
                        try:
                            file.write(bytes(1 << 20))
                            file.flush()
                        except OSError:
                            time.sleep(60)
                """
            ),
            expected=_expect("disk-full"),
        ),
        Variant(
            name="inodes",
            disk_bytes=200 * _MIB,
            disk_inodes=8000,
            limits={"inode_reserve": 0},
            sdist=setup_py("for number in range(9000):\n    open(f'part-{number}', 'w')"),
            expected=_expect("disk-full", "OSError: [Errno 28] No space left on device: 'part-"),
        ),
        Variant(
            name="inodes-reserve",
            disk_bytes=200 * _MIB,
            disk_inodes=12_000,
            sdist=setup_py(
                """
                import time
                for number in range(9000):
                    open(f"part-{number}", "w")
                time.sleep(60)
                """
            ),
            expected=_expect("disk-full"),
        ),
        # There is room for the wheel, and none for pip's copy of it.
        Variant(
            name="copying-the-wheel",
            disk_bytes=100 * _MIB,
            sdist=backend(
                """
                disk = os.statvfs(".")
                filler = disk.f_bavail * disk.f_frsize - (23 << 20)
                open(os.path.expanduser("~/filler"), "wb").write(bytes(filler))
                return "x" * (20 << 20)
                """
            ),
            limits={"disk_reserve_bytes": 0},
            expected=_expect("disk-full", "[Errno 28] No space left on device"),
        ),
        Variant(
            name="file-size",
            limits={"file_bytes": 20 * _MIB},
            sdist=setup_py("open('large', 'wb').write(bytes(30 << 20))"),
            expected=_expect("limit", "OSError: [Errno 27] File too large"),
        ),
        Variant(
            name="file-size-compiler",
            limits={"file_bytes": 20 * _MIB},
            sdist=extension(_LARGE_OBJECT),
            expected=_expect(
                "limit",
                "File too large",
                "File size limit exceeded",
                "terminated with signal 25",
            ),
        ),
    ),
)


def _signal(name: str, failure_class: str, *lines: str) -> Variant:
    """The build backend is ended by a signal."""
    script = f"import os, signal\nos.kill(os.getpid(), signal.SIG{name.upper()})"
    return Variant(
        name=f"backend-{name}", sdist=setup_py(script), expected=_expect(failure_class, *lines)
    )


def _compiler_signal(name: str, failure_class: str, *lines: str) -> Variant:
    """The compiler is ended by a signal."""
    options = ["-wrapper", f"sh,-c,kill -{name.upper()} $$"]
    return Variant(
        name=f"compiler-{name}",
        sdist=extension("", extra_compile_args=options),
        expected=_expect(failure_class, *lines),
    )


_SIGNALS = Situation(
    28,
    "signal",
    (
        _signal("term", "killed", "exit code: -15", "died with <Signals.SIGTERM: 15>"),
        _signal("kill", "killed", "exit code: -9", "died with <Signals.SIGKILL: 9>"),
        _signal("segv", "crashed", "exit code: -11", "died with <Signals.SIGSEGV: 11>"),
        _signal("ill", "crashed", "exit code: -4", "died with <Signals.SIGILL: 4>"),
        _signal("abrt", "crashed", "exit code: -6", "died with <Signals.SIGABRT: 6>"),
        _compiler_signal("kill", "killed", "Killed signal terminated program"),
        _compiler_signal(
            "segv",
            "crashed",
            "internal compiler error: Segmentation fault signal terminated program",
        ),
        Variant(
            name="tool-segv",
            sdist=make_project(
                """
                all: tool
                    ./tool > generated.c
                """,
                {"tool.c": "int main(void) { volatile int *p = 0; return *p; }\n"},
            ),
            expected=_expect("crashed", "Segmentation fault", "Error 139"),
        ),
    ),
)

_REFUSED = Situation(
    29,
    "refused",
    (
        Variant(
            name="processes",
            limits={"processes": 40},
            sdist=setup_py(
                """
                import os, time
                for number in range(60):
                    if os.fork() == 0:
                        time.sleep(10)
                        os._exit(0)
                """
            ),
            expected=_expect(
                "limit", "BlockingIOError: [Errno 11] Resource temporarily unavailable"
            ),
        ),
        Variant(
            name="open-files",
            limits={"open_files": 200},
            sdist=setup_py("files = [open('sample.py') for number in range(300)]"),
            expected=_expect("limit", "OSError: [Errno 24] Too many open files"),
        ),
        Variant(
            name="mount",
            sdist=setup_py(
                "import subprocess\n"
                "subprocess.check_call(['mount', '-t', 'tmpfs', 'tmpfs', '/mnt'])"
            ),
            expected=_expect("unknown", "mount: "),
        ),
        Variant(
            name="ptrace",
            programs=("strace",),
            sdist=setup_py("import subprocess\nsubprocess.check_call(['strace', '-f', 'true'])"),
            expected=None,  # a build may trace its own processes
        ),
        Variant(
            name="write-usr",
            sdist=setup_py("open('/usr/share/sample.conf', 'w').write('answer = 42')"),
            expected=_expect(
                "unknown", "OSError: [Errno 30] Read-only file system: '/usr/share/sample.conf'"
            ),
        ),
        Variant(
            name="chown",
            sdist=setup_py("import os\nos.chown('setup.py', 0, 0)"),
            expected=_expect(
                "unknown", "[Errno 1] Operation not permitted", "[Errno 22] Invalid argument"
            ),
        ),
        Variant(
            name="sudo",
            sdist=setup_py("import subprocess\nsubprocess.check_call(['sudo', 'ldconfig'])"),
            expected=Expected(
                failure_class="missing-package|unknown",
                also=("sudo",),
                lines=("No such file or directory: 'sudo'", "sudo: "),
            ),
        ),
    ),
)

SITUATIONS = (_TIME, _MEMORY, _DISK, _SIGNALS, _REFUSED)
