"""Ends of logs of failed builds, as tools print them, with the cause of each."""

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Sample:
    """A log; `line` is the start of the line that tells, `what` the first missing thing."""

    name: str
    failure_class: str
    what: str
    line: str
    log: str


def sample(name: str, failure_class: str, what: str, line: str, log: str) -> Sample:
    return Sample(name, failure_class, what, line, dedent(log).lstrip("\n"))


PIP_END = """\
  error: subprocess-exited-with-error

  \N{MULTIPLICATION SIGN} Building wheel for demo (pyproject.toml) did not run successfully.
  │ exit code: 1
  ╰─> No available output.

  note: This error originates from a subprocess, and is likely not a problem with pip.
  full command: /build/venv/bin/python /pip/_in_process.py build_wheel /build/tmp/tmpx
  cwd: /build/tmp/pip-req-build-x
  Building wheel for demo (pyproject.toml): finished with status 'error'
  ERROR: Failed building wheel for demo
Failed to build demo
ERROR: Failed to build one or more wheels
"""

GCC_END = "error: command '/usr/bin/gcc' failed with exit code 1\n"
TRACE = """\
Traceback (most recent call last):
  File "/pip/_vendor/pyproject_hooks/_in_process/_in_process.py", line 389, in <module>
    main()
  File "/build/tmp/setup.py", line 3, in <module>
    {source}
"""


def trace(exception: str, source: str = "go()") -> str:
    return TRACE.format(source=source) + exception + "\n"


SUBPROCESS_TRACE = """\
Traceback (most recent call last):
  File "/build/tmp/setup.py", line 9, in <module>
    out = subprocess.check_output(['{name}', '--cflags'])
  File "/usr/lib/python3.11/subprocess.py", line 1955, in _execute_child
    raise child_exception_type(errno_num, err_msg, err_filename)
FileNotFoundError: [Errno 2] No such file or directory: '{name}'
"""

SAMPLES = [
    # 1 C and C++
    sample(
        "c-error",
        "compiler-error",
        "",
        "src/a.c:3:5: error: expected ';' before 'return'",
        """
        building 'demo' extension
        gcc -Wall -fPIC -I/usr/include/python3.11 -c src/a.c -o build/temp/src/a.o
        src/a.c: In function 'go':
        src/a.c:3:5: error: expected ';' before 'return'
            3 |     return 1
              |     ^~~~~~
        src/a.c:9:5: warning: unused variable 'x' [-Wunused-variable]
        """
        + GCC_END,
    ),
    sample(
        "template-error",
        "compiler-error",
        "",
        "src/v.cpp:40:17: error: no matching function for call to 'f(int)'",
        """
        In file included from /usr/include/c++/12/vector:64,
                         from src/v.cpp:1:
        /usr/include/c++/12/bits/stl_vector.h: In instantiation of 'class std::vector<X>':
        src/v.cpp:40:17:   required from here
        src/v.cpp:40:17: error: no matching function for call to 'f(int)'
        /usr/include/c++/12/bits/x.h:12:7: note: candidate: 'template<class T> void f(T*)'
        /usr/include/c++/12/bits/x.h:12:7: note:   template argument deduction/substitution failed:
        """
        + GCC_END,
    ),
    # 2
    sample(
        "implicit-declaration",
        "compiler-error",
        "",
        "a.c:3:5: error: implicit declaration of function 'foo'",
        "a.c:3:5: error: implicit declaration of function 'foo' [-Wimplicit-function-declaration]\n"
        + GCC_END,
    ),
    sample(
        "own-werror",
        "compiler-error",
        "",
        "a.c:3:5: error: unused variable 'x' [-Werror=unused-variable]",
        "a.c:3:5: error: unused variable 'x' [-Werror=unused-variable]\ncc1: all warnings being treated as errors\n"
        + GCC_END,
    ),
    sample(
        "c-api",
        "python-too-new",
        "",
        "a.c:9:12: error: 'PyThreadState' {aka 'struct _ts'} has no member named 'frame'",
        "a.c:9:12: error: 'PyThreadState' {aka 'struct _ts'} has no member named 'frame'\n"
        + GCC_END,
    ),
    sample(
        "c-api-implicit",
        "python-too-new",
        "",
        "a.c:9:12: error: implicit declaration of function ‘PyUnicode_GET_SIZE’",
        "a.c:9:12: error: implicit declaration of function ‘PyUnicode_GET_SIZE’; did you mean ‘PyTuple_GET_SIZE’?\n"
        + GCC_END,
    ),
    # 3
    sample(
        "x86-header",
        "compiler-error",
        "header immintrin.h",
        "src/simd.c:1:10: fatal error: immintrin.h: No such file",
        "src/simd.c:1:10: fatal error: immintrin.h: No such file or directory\n    1 | #include <immintrin.h>\n"
        + GCC_END,
    ),
    sample(
        "x86-option",
        "compiler-error",
        "",
        "gcc: error: unrecognized command-line option '-msse2'",
        "gcc: error: unrecognized command-line option '-msse2'\n" + GCC_END,
    ),
    sample(
        "error-directive",
        "compiler-error",
        "",
        'a.c:3:2: error: #error "only 64 bit"',
        'a.c:3:2: error: #error "only 64 bit"\n    3 | #error "only 64 bit"\n' + GCC_END,
    ),
    sample(
        "assembler",
        "compiler-error",
        "",
        "/tmp/ccx.s:12: Error: bad instruction `movl %eax,%ebx'",
        "/tmp/ccx.s: Assembler messages:\n/tmp/ccx.s:12: Error: bad instruction `movl %eax,%ebx'\n"
        + GCC_END,
    ),
    # 4
    sample(
        "header",
        "missing-package",
        "header libxml/xmlversion.h",
        "src/a.c:1:10: fatal error: libxml/xmlversion.h: No such",
        'src/a.c:1:10: fatal error: libxml/xmlversion.h: No such file or directory\n    1 | #include "libxml/xmlversion.h"\n'
        "      |          ^~~~\ncompilation terminated.\n" + GCC_END,
    ),
    sample(
        "clang-header",
        "missing-package",
        "header ffi.h",
        "a.c:1:10: fatal error: 'ffi.h' file not found",
        "a.c:1:10: fatal error: 'ffi.h' file not found\n#include <ffi.h>\n         ^~~~~~~\n1 error generated.\n"
        + GCC_END,
    ),
    sample(
        "python-header",
        "missing-package",
        "header Python.h",
        "a.c:1:10: fatal error: Python.h: No such file or directory",
        "a.c:1:10: fatal error: Python.h: No such file or directory\n    1 | #include <Python.h>\n"
        + GCC_END,
    ),
    sample(
        "fortran-include",
        "missing-package",
        "header mpif.h",
        "Fatal Error: Cannot open included file 'mpif.h'",
        "x.f90:3:9:\n\n    3 | include 'mpif.h'\n      |         1\nFatal Error: Cannot open included file 'mpif.h'\n",
    ),
    sample(
        "swig-include",
        "missing-package",
        "header openssl/opensslconf.h",
        "SWIG/_m2crypto.i:30: Error: Unable to find",
        "SWIG/_m2crypto.i:30: Error: Unable to find 'openssl/opensslconf.h'\nerror: command 'swig' failed with exit code 1\n",
    ),
    sample(
        "numpy-header",
        "undeclared-requirement",
        "module numpy",
        "a.c:1:10: fatal error: numpy/arrayobject.h: No such",
        "a.c:1:10: fatal error: numpy/arrayobject.h: No such file or directory\n    1 | #include <numpy/arrayobject.h>\n"
        + GCC_END,
    ),
    # 5
    sample(
        "own-header",
        "bad-sdist",
        "file demo/core.h",
        "demo/a.c:1:10: fatal error: demo/core.h: No such file",
        'demo/a.c:1:10: fatal error: demo/core.h: No such file or directory\n    1 | #include "demo/core.h"\n'
        + GCC_END,
    ),
    sample(
        "own-source",
        "bad-sdist",
        "file src/gone.c",
        "cc1: fatal error: src/gone.c: No such file or directory",
        "cc1: fatal error: src/gone.c: No such file or directory\ncompilation terminated.\n"
        + GCC_END,
    ),
    sample(
        "readme",
        "bad-sdist",
        "file README.md",
        "FileNotFoundError: [Errno 2] No such file or directory: 'README.md'",
        trace("FileNotFoundError: [Errno 2] No such file or directory: 'README.md'"),
    ),
    sample(
        "package-directory",
        "bad-sdist",
        "file demo",
        "error: package directory 'demo' does not exist",
        "running build_py\nerror: package directory 'demo' does not exist\n",
    ),
    sample(
        "poetry-package",
        "bad-sdist",
        "file demo",
        "ValueError: No file/folder found for package demo",
        trace("ValueError: No file/folder found for package demo"),
    ),
    sample(
        "flit-module",
        "bad-sdist",
        "file demo",
        "ValueError: No file/folder found for module demo",
        trace("ValueError: No file/folder found for module demo"),
    ),
    sample(
        "setuptools-file",
        "bad-sdist",
        "file src/x.c",
        "error: src/x.c: No such file or directory",
        "running build_ext\nerror: src/x.c: No such file or directory\n",
    ),
    sample(
        "make-no-rule",
        "bad-sdist",
        "file z.o",
        "make: *** No rule to make target 'z.o', needed by 'all'.  Stop.",
        "make: *** No rule to make target 'z.o', needed by 'all'.  Stop.\n"
        + trace(
            "subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2."
        ),
    ),
    sample(
        "ninja-input",
        "bad-sdist",
        "file ../x.c",
        "ninja: error: '../x.c', needed by 'x.o', missing and no known rule to make it",
        "ninja: error: '../x.c', needed by 'x.o', missing and no known rule to make it\n",
    ),
    sample(
        "cmake-submodule",
        "bad-sdist",
        "",
        'add_subdirectory given source "third_party/pybind11" which is not an existing directory',
        """
        CMake Error at CMakeLists.txt:12 (add_subdirectory):
          add_subdirectory given source "third_party/pybind11" which is not an existing directory.

        -- Configuring incomplete, errors occurred!
        """,
    ),
    sample(
        "meson-file",
        "bad-sdist",
        "file x.c",
        "../meson.build:3:0: ERROR: File x.c does not exist.",
        "../meson.build:3:0: ERROR: File x.c does not exist.\n\nA full log can be found at /x/meson-log.txt\n",
    ),
    sample(
        "rust-source",
        "bad-sdist",
        "file src/x.rs",
        "error: couldn't read `src/x.rs`: No such file or directory",
        "error: couldn't read `src/x.rs`: No such file or directory (os error 2)\nerror: could not compile `demo`\n",
    ),
    # 6
    sample(
        "private-header",
        "python-too-new",
        "header longintrepr.h",
        "a.c:1:10: fatal error: longintrepr.h: No such file",
        'a.c:1:10: fatal error: longintrepr.h: No such file or directory\n    1 | #include "longintrepr.h"\n'
        + GCC_END,
    ),
    # 7
    sample(
        "library",
        "missing-package",
        "library xslt",
        "/usr/bin/ld: cannot find -lxslt: No such file or directory",
        "gcc -shared a.o -lxslt -o x.so\n/usr/bin/ld: cannot find -lxslt: No such file or directory\n"
        "collect2: error: ld returned 1 exit status\n" + GCC_END,
    ),
    sample(
        "dlopen",
        "missing-package",
        "library libportaudio.so.2",
        "OSError: libportaudio.so.2: cannot open shared object file",
        trace(
            "OSError: libportaudio.so.2: cannot open shared object file: No such file or directory"
        ),
    ),
    # 8
    sample(
        "undefined-reference",
        "compiler-error",
        "",
        "a.c:(.text+0x3): undefined reference to `gone'",
        "/usr/bin/ld: a.o: in function `go':\na.c:(.text+0x3): undefined reference to `gone'\n"
        "collect2: error: ld returned 1 exit status\n" + GCC_END,
    ),
    sample(
        "multiple-definition",
        "compiler-error",
        "",
        "/usr/bin/ld: b.o:(.bss+0x0): multiple definition of `x'",
        "/usr/bin/ld: b.o:(.bss+0x0): multiple definition of `x'; a.o:(.bss+0x0): first defined here\n"
        "collect2: error: ld returned 1 exit status\n" + GCC_END,
    ),
    sample(
        "linker",
        "compiler-error",
        "",
        "/usr/bin/ld: libx.a(x.o): relocation R_X86_64_32 against `.rodata' can not be used",
        "/usr/bin/ld: libx.a(x.o): relocation R_X86_64_32 against `.rodata' can not be used when making a shared object; "
        "recompile with -fPIC\ncollect2: error: ld returned 1 exit status\n" + GCC_END,
    ),
    sample(
        "undefined-symbol",
        "compiler-error",
        "",
        "ImportError: /build/x.so: undefined symbol: gone",
        trace("ImportError: /build/x.so: undefined symbol: gone"),
    ),
    # 9
    sample(
        "no-pkg-config",
        "missing-package",
        "program pkg-config",
        "FileNotFoundError: [Errno 2] No such file or directory: 'pkg-config'",
        SUBPROCESS_TRACE.format(name="pkg-config"),
    ),
    sample(
        "pc-absent",
        "missing-package",
        "pkg-config libfoo",
        "Package libfoo was not found in the pkg-config search path.",
        "Package libfoo was not found in the pkg-config search path.\n"
        + trace(
            "subprocess.CalledProcessError: Command '['pkg-config', '--libs', 'libfoo']' returned non-zero exit status 1."
        ),
    ),
    sample(
        "pc-requires",
        "missing-package",
        "pkg-config libbar",
        "Package 'libbar', required by 'libfoo', not found",
        "Package 'libbar', required by 'libfoo', not found\n"
        + trace(
            "subprocess.CalledProcessError: Command '['pkg-config', '--libs', 'libfoo']' returned non-zero exit status 1."
        ),
    ),
    sample(
        "pc-too-old",
        "missing-package",
        "pkg-config libfoo >= 99",
        "Requested 'libfoo >= 99' but version of libfoo is 1.0",
        "Requested 'libfoo >= 99' but version of libfoo is 1.0\n" + trace("SystemExit: 1"),
    ),
    sample(
        "pkg-config-command",
        "missing-package",
        "pkg-config mysqlclient",
        "Command 'pkg-config --exists mysqlclient' returned",
        "Trying pkg-config --exists mysqlclient\nCommand 'pkg-config --exists mysqlclient' returned non-zero exit status 127.\n"
        + trace("IndexError: list index out of range"),
    ),
    sample(
        "pkgconfig-module",
        "missing-package",
        "pkg-config libfoo",
        "pkgconfig.pkgconfig.PackageNotFoundError: libfoo not found",
        trace("pkgconfig.pkgconfig.PackageNotFoundError: libfoo not found"),
    ),
    sample(
        "meson-dependency",
        "missing-package",
        "pkg-config libfoo",
        '../meson.build:9:0: ERROR: Dependency "libfoo" not found, tried pkgconfig and cmake',
        'Run-time dependency libfoo found: NO (tried pkgconfig and cmake)\n\n../meson.build:9:0: ERROR: Dependency "libfoo" not found, '
        "tried pkgconfig and cmake\n\nA full log can be found at /x/meson-log.txt\n",
    ),
    sample(
        "meson-version",
        "missing-package",
        "pkg-config libfoo",
        "../meson.build:9:0: ERROR: Dependency lookup for libfoo with method",
        "../meson.build:9:0: ERROR: Dependency lookup for libfoo with method 'pkgconfig' failed: Invalid version, need 'libfoo' ['>= 9'] found '1'.\n",
    ),
    sample(
        "meson-library",
        "missing-package",
        "library foo",
        "../meson.build:9:0: ERROR: C shared or static library 'foo' not found",
        "../meson.build:9:0: ERROR: C shared or static library 'foo' not found\n",
    ),
    sample(
        "meson-header",
        "missing-package",
        "header foo.h",
        "../meson.build:9:0: ERROR: C header 'foo.h' not found",
        "../meson.build:9:0: ERROR: C header 'foo.h' not found\n",
    ),
    sample(
        "cmake-pkg-config",
        "missing-package",
        "pkg-config libfoo",
        "--   No package 'libfoo' found",
        """
        -- Checking for module 'optional'
        --   No package 'optional' found
        -- Checking for module 'libfoo'
        --   No package 'libfoo' found
        CMake Error at /usr/share/cmake-3.25/Modules/FindPkgConfig.cmake:607 (message):
          A required package was not found
        Call Stack (most recent call first):
          CMakeLists.txt:4 (pkg_check_modules)

        -- Configuring incomplete, errors occurred!
        """
        + trace(
            "subprocess.CalledProcessError: Command '['cmake', '..']' returned non-zero exit status 1."
        ),
    ),
    sample(
        "cmake-find",
        "missing-package",
        "cmake ZLIB",
        "Could NOT find ZLIB (missing: ZLIB_LIBRARY ZLIB_INCLUDE_DIR)",
        """
        -- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE)
        CMake Error at /usr/share/cmake/Modules/FindPackageHandleStandardArgs.cmake:230 (message):
          Could NOT find ZLIB (missing: ZLIB_LIBRARY ZLIB_INCLUDE_DIR)
        Call Stack (most recent call first):
          CMakeLists.txt:5 (find_package)

        -- Configuring incomplete, errors occurred!
        """,
    ),
    sample(
        "cmake-config",
        "missing-package",
        "cmake Foo",
        'By not providing "FindFoo.cmake" in CMAKE_MODULE_PATH this project has',
        """
        CMake Error at CMakeLists.txt:5 (find_package):
          By not providing "FindFoo.cmake" in CMAKE_MODULE_PATH this project has
          asked CMake to find a package configuration file provided by "Foo", but
          CMake did not find one.

        -- Configuring incomplete, errors occurred!
        """,
    ),
    sample(
        "configure-requirements",
        "missing-package",
        "pkg-config glib-2.0",
        "configure: error: Package requirements (glib-2.0 >= 2.40) were not met:",
        "checking for GLIB... no\nconfigure: error: Package requirements (glib-2.0 >= 2.40) were not met:\n\nNo package 'glib-2.0' found\n",
    ),
    # 10
    sample(
        "foo-config",
        "missing-package",
        "program pg_config",
        "FileNotFoundError: [Errno 2] No such file or directory: 'pg_config'",
        SUBPROCESS_TRACE.format(name="pg_config"),
    ),
    sample(
        "pg-config-words",
        "missing-package",
        "program pg_config",
        "Error: pg_config executable not found.",
        "running egg_info\n\nError: pg_config executable not found.\n\npg_config is required to build psycopg2 from source.  Please add\n"
        "the directory containing pg_config to the $PATH or specify the full\nexecutable path with the option:\n",
    ),
    sample(
        "config-127",
        "missing-package",
        "program xml2-config",
        "/bin/sh: 1: xml2-config: not found",
        "/bin/sh: 1: xml2-config: not found\n" + trace("IndexError: list index out of range"),
    ),
    sample(
        "curl-config",
        "missing-package",
        "program curl-config",
        "__main__.ConfigurationError: Could not run curl-config: [Errno 2]",
        trace(
            "__main__.ConfigurationError: Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'"
        ),
    ),
    # 11
    sample(
        "swig-absent",
        "missing-package",
        "program swig",
        "error: command 'swig' failed: No such file or directory",
        "running build_ext\nswigging x.i to x_wrap.c\nswig -python -o x_wrap.c x.i\nerror: command 'swig' failed: No such file or directory\n",
    ),
    sample(
        "flex-absent",
        "missing-package",
        "program flex",
        "make: flex: No such file or directory",
        "flex -o lex.c lex.l\nmake: flex: No such file or directory\nmake: *** [Makefile:3: lex.c] Error 127\n",
    ),
    sample(
        "shell-absent",
        "missing-package",
        "program autoreconf",
        "sh: 1: autoreconf: not found",
        "sh: 1: autoreconf: not found\n"
        + trace(
            "subprocess.CalledProcessError: Command 'autoreconf -i' returned non-zero exit status 127."
        ),
    ),
    sample(
        "bash-absent",
        "missing-package",
        "program bison",
        "./build.sh: line 4: bison: command not found",
        "./build.sh: line 4: bison: command not found\n" + trace("RuntimeError: build.sh failed"),
    ),
    sample(
        "env-absent",
        "missing-package",
        "program perl",
        "/usr/bin/env: ‘perl’: No such file or directory",
        "/usr/bin/env: ‘perl’: No such file or directory\n"
        + trace(
            "subprocess.CalledProcessError: Command './Configure' returned non-zero exit status 127."
        ),
    ),
    sample(
        "java-absent",
        "missing-package",
        "program javac",
        'Cannot run program "javac"',
        'Cannot run program "javac": error=2, No such file or directory\n',
    ),
    sample(
        "cmake-absent",
        "missing-package",
        "program cmake",
        "RuntimeError: CMake must be installed to build the following extensions: demo",
        trace("RuntimeError: CMake must be installed to build the following extensions: demo"),
    ),
    sample(
        "meson-program",
        "missing-package",
        "program swig",
        "../meson.build:4:7: ERROR: Program 'swig' not found or not executable",
        "../meson.build:4:7: ERROR: Program 'swig' not found or not executable\n",
    ),
    sample(
        "no-ninja",
        "missing-package",
        "program ninja",
        'CMake Error: CMake was unable to find a build program corresponding to "Ninja".',
        'CMake Error: CMake was unable to find a build program corresponding to "Ninja".  CMAKE_MAKE_PROGRAM is not set.\n'
        "CMake Error: CMAKE_C_COMPILER not set, after EnableLanguage\n-- Configuring incomplete, errors occurred!\n",
    ),
    sample(
        "no-compiler",
        "missing-toolchain",
        "program gcc",
        "error: command 'gcc' failed: No such file or directory",
        "gcc -c a.c -o a.o\nerror: command 'gcc' failed: No such file or directory\n",
    ),
    sample(
        "configure-no-compiler",
        "missing-toolchain",
        "program gcc",
        "configure: error: no acceptable C compiler found in $PATH",
        "checking for gcc... no\nconfigure: error: no acceptable C compiler found in $PATH\n",
    ),
    sample(
        "cmake-no-fortran",
        "missing-toolchain",
        "program gfortran",
        "No CMAKE_Fortran_COMPILER could be found.",
        "CMake Error at CMakeLists.txt:3 (project):\n  No CMAKE_Fortran_COMPILER could be found.\n\n  Tell CMake where to find the compiler.\n",
    ),
    # 12
    sample(
        "no-rust",
        "missing-toolchain",
        "program rustc",
        "error: can't find Rust compiler",
        "running build_rust\nerror: can't find Rust compiler\n\nIf you are using an outdated pip version, it is possible\n",
    ),
    sample(
        "maturin-no-cargo",
        "missing-toolchain",
        "program cargo",
        "Cargo, the Rust package manager, is not installed or is not on PATH.",
        "\nCargo, the Rust package manager, is not installed or is not on PATH.\nThis package requires Rust and Cargo to compile extensions. Install it through\n"
        "the system's package manager or via https://rustup.rs/.\n\nChecking for Rust toolchain....\n",
    ),
    sample(
        "rust-too-old",
        "missing-toolchain",
        "program rustc 1.70",
        "error: package `x v1.0` cannot be built because it requires rustc 1.70 or newer",
        "error: package `x v1.0` cannot be built because it requires rustc 1.70 or newer, while the currently active rustc version is 1.63.0\n"
        "\U0001f4a5 maturin failed\n",
    ),
    sample(
        "rust-error",
        "compiler-error",
        "",
        "error[E0382]: borrow of moved value: `x`",
        "error[E0382]: borrow of moved value: `x`\n --> src/lib.rs:3:5\n  |\n3 |     x;\nerror: could not compile `demo` (lib) due to 1 previous error\n",
    ),
    sample(
        "rust-linking",
        "compiler-error",
        "",
        "error: linking with `cc` failed: exit status: 1",
        'error: linking with `cc` failed: exit status: 1\n  |\n  = note: "cc" "-m64"\nerror: could not compile `demo`\n',
    ),
    sample(
        "build-script",
        "compiler-error",
        "",
        "error: failed to run custom build command for `x-sys v1.0`",
        "error: failed to run custom build command for `x-sys v1.0`\n\nCaused by:\n  process didn't exit successfully: `/x/build-script-build` (exit status: 1)\n",
    ),
    # 13
    sample(
        "crates",
        "needs-network",
        "host index.crates.io",
        "failed to fetch `https://index.crates.io/config.json`",
        "error: failed to get `pyo3` as a dependency of package `demo v0.1.0`\n\nCaused by:\n  failed to fetch `https://index.crates.io/config.json`\n",
    ),
    sample(
        "crates-offline",
        "needs-network",
        "downloader cargo",
        "error: no matching package named `pyo3` found",
        "error: no matching package named `pyo3` found\nlocation searched: registry `crates-io`\n",
    ),
    # 14
    sample(
        "git-clone",
        "needs-network",
        "host github.com",
        "fatal: unable to access 'https://github.com/a/b.git/': Could not resolve host: github.com",
        "Cloning into 'b'...\nfatal: unable to access 'https://github.com/a/b.git/': Could not resolve host: github.com\n"
        + trace(
            "subprocess.CalledProcessError: Command '['git', 'clone']' returned non-zero exit status 128."
        ),
    ),
    sample(
        "urllib",
        "needs-network",
        "downloader Python (urllib)",
        "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        trace(
            "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>"
        ),
    ),
    sample(
        "requests",
        "needs-network",
        "host example.com",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='example.com'",
        trace(
            "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='example.com', port=443): Max retries exceeded with url: /x.tar.gz"
        ),
    ),
    sample(
        "npm",
        "needs-network",
        "host registry.npmjs.org",
        "npm ERR! network request to https://registry.npmjs.org/x failed",
        "npm ERR! network request to https://registry.npmjs.org/x failed, reason: getaddrinfo EAI_AGAIN registry.npmjs.org\n"
        + trace("subprocess.CalledProcessError: Command 'npm ci' returned non-zero exit status 1."),
    ),
    sample(
        "npm-code",
        "needs-network",
        "host registry.npmjs.org",
        "npm error network request to https://registry.npmjs.org/left-pad failed",
        "npm error code ENOTFOUND\nnpm error errno ENOTFOUND\n"
        "npm error network request to https://registry.npmjs.org/left-pad failed, reason: getaddrinfo\n",
    ),
    sample(
        "npm-code-alone",
        "needs-network",
        "downloader npm",
        "npm ERR! code EAI_AGAIN",
        "npm ERR! code EAI_AGAIN\nnpm ERR! errno EAI_AGAIN\n"
        + trace("subprocess.CalledProcessError: Command 'npm ci' returned non-zero exit status 1."),
    ),
    sample(
        "yarn",
        "needs-network",
        "downloader yarn",
        "info There appears to be trouble with your network connection. Retrying...",
        "info There appears to be trouble with your network connection. Retrying...\n"
        + trace("subprocess.CalledProcessError: Command 'yarn' returned non-zero exit status 1."),
    ),
    sample(
        "go",
        "needs-network",
        "host proxy.golang.org",
        'go: example.com/x@v1: Get "https://proxy.golang.org/x/@v/v1.mod": dial tcp',
        'go: example.com/x@v1: Get "https://proxy.golang.org/x/@v/v1.mod": dial tcp: lookup proxy.golang.org: no such host\n',
    ),
    sample(
        "fetch-content",
        "needs-network",
        "host github.com",
        "Failed to clone repository: 'https://github.com/a/b.git'",
        "CMake Error at x-gitclone.cmake:40 (message):\n  Failed to clone repository: 'https://github.com/a/b.git'\n\nCMake Error at FetchContent.cmake:1 (message):\n  Build step for x failed: 1\n",
    ),
    sample(
        "cmake-download",
        "needs-network",
        "downloader cmake",
        'status: [6;"Could not resolve hostname"]',
        'CMake Error at CMakeLists.txt:5 (file):\n  file DOWNLOAD HASH mismatch\n\n    status: [6;"Could not resolve hostname"]\n',
    ),
    # 15
    sample(
        "scm",
        "metadata",
        "",
        "LookupError: setuptools-scm was unable to detect version for /build/tmp/x.",
        trace("LookupError: setuptools-scm was unable to detect version for /build/tmp/x."),
    ),
    sample(
        "pbr",
        "metadata",
        "",
        "Exception: Versioning for this project requires either an sdist tarball, or access",
        "fatal: not a git repository (or any of the parent directories): .git\n"
        + trace(
            "Exception: Versioning for this project requires either an sdist tarball, or access to an upstream git repository."
        ),
    ),
    sample(
        "git-describe",
        "metadata",
        "",
        "fatal: not a git repository (or any of the parent directories): .git",
        "fatal: not a git repository (or any of the parent directories): .git\n"
        + trace("IndexError: list index out of range"),
    ),
    # 16
    sample(
        "print",
        "python-too-new",
        "",
        "SyntaxError: Missing parentheses in call to 'print'",
        """Traceback (most recent call last):
  File "/build/tmp/setup.py", line 3
    print "x"
    ^^^^^^^^^
SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?
""",
    ),
    sample(
        "configparser",
        "python-too-new",
        "module ConfigParser",
        "ModuleNotFoundError: No module named 'ConfigParser'",
        trace("ModuleNotFoundError: No module named 'ConfigParser'", "import ConfigParser"),
    ),
    sample(
        "unicode",
        "python-too-new",
        "",
        "NameError: name 'unicode' is not defined",
        trace("NameError: name 'unicode' is not defined. Did you mean: 'encode'?"),
    ),
    sample(
        "iteritems",
        "python-too-new",
        "",
        "AttributeError: 'dict' object has no attribute 'iteritems'",
        trace("AttributeError: 'dict' object has no attribute 'iteritems'"),
    ),
    sample(
        "print-chevron",
        "python-too-new",
        "",
        "TypeError: unsupported operand type(s) for >>: 'builtin_function_or_method'",
        trace(
            "TypeError: unsupported operand type(s) for >>: 'builtin_function_or_method' and '_io.TextIOWrapper'"
        ),
    ),
    sample(
        "open-mode",
        "python-too-new",
        "",
        "ValueError: invalid mode: 'rU'",
        trace("ValueError: invalid mode: 'rU'"),
    ),
    sample(
        "use-2to3",
        "tools-too-new",
        "",
        "error in demo setup command: use_2to3 is invalid.",
        "error in demo setup command: use_2to3 is invalid.\n",
    ),
    # 17
    sample(
        "distutils",
        "python-too-new",
        "module distutils",
        "ModuleNotFoundError: No module named 'distutils'",
        trace("ModuleNotFoundError: No module named 'distutils'"),
    ),
    sample(
        "imp",
        "python-too-new",
        "module imp",
        "ModuleNotFoundError: No module named 'imp'",
        trace("ModuleNotFoundError: No module named 'imp'"),
    ),
    sample(
        "safe-config-parser",
        "python-too-new",
        "",
        "AttributeError: module 'configparser' has no attribute 'SafeConfigParser'",
        trace(
            "AttributeError: module 'configparser' has no attribute 'SafeConfigParser'. Did you mean: 'RawConfigParser'?"
        ),
    ),
    sample(
        "imp-importer",
        "python-too-new",
        "",
        "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'",
        trace(
            "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean: 'zipimporter'?"
        ),
    ),
    sample(
        "collections-abc",
        "python-too-new",
        "",
        "ImportError: cannot import name 'Mapping' from 'collections'",
        trace(
            "ImportError: cannot import name 'Mapping' from 'collections' (/usr/lib/python3.11/collections/__init__.py)"
        ),
    ),
    sample(
        "own-version-check",
        "python-too-new",
        "",
        "RuntimeError: Cannot install on Python version 3.11.2; only versions >=3.6,<3.10",
        trace(
            "RuntimeError: Cannot install on Python version 3.11.2; only versions >=3.6,<3.10 are supported."
        ),
    ),
    sample(
        "pyo3",
        "python-too-new",
        "",
        "error: the configured Python interpreter version (3.13) is newer than PyO3's maximum",
        "error: the configured Python interpreter version (3.13) is newer than PyO3's maximum supported version (3.12)\n"
        "error: could not compile `demo`\n",
    ),
    sample(
        "requires-python",
        "python-too-new",
        "",
        "ERROR: Package 'demo' requires a different Python: 3.11.2 not in '<3.10'",
        "ERROR: Package 'demo' requires a different Python: 3.11.2 not in '<3.10'\n",
    ),
    # 18
    sample(
        "numpy-distutils",
        "python-too-new",
        "module numpy.distutils",
        "ModuleNotFoundError: No module named 'numpy.distutils'",
        trace("ModuleNotFoundError: No module named 'numpy.distutils'"),
    ),
    sample(
        "numpy",
        "undeclared-requirement",
        "module numpy",
        "ModuleNotFoundError: No module named 'numpy'",
        trace("ModuleNotFoundError: No module named 'numpy'", "import numpy"),
    ),
    sample(
        "cython-numpy",
        "undeclared-requirement",
        "module numpy",
        "demo.pyx:2:8: 'numpy.pxd' not found",
        """
        Error compiling Cython file:
        ------------------------------------------------------------
        ...
        cimport numpy
               ^
        ------------------------------------------------------------

        demo.pyx:2:8: 'numpy.pxd' not found
        """
        + trace("Cython.Compiler.Errors.CompileError: demo.pyx"),
    ),
    sample(
        "bdist-wheel",
        "undeclared-requirement",
        "module wheel",
        "error: invalid command 'bdist_wheel'",
        "usage: setup.py [global_opts]\nerror: invalid command 'bdist_wheel'\n",
    ),
    sample(
        "backend",
        "undeclared-requirement",
        "module hatchling.build",
        "pip._vendor.pyproject_hooks._impl.BackendUnavailable: Cannot import 'hatchling",
        "ERROR: Exception:\n"
        + trace(
            "pip._vendor.pyproject_hooks._impl.BackendUnavailable: Cannot import 'hatchling.build'"
        ),
    ),
    sample(
        "python-m",
        "undeclared-requirement",
        "module grpc_tools",
        "/build/venv/bin/python: No module named grpc_tools",
        "/build/venv/bin/python: No module named grpc_tools\n"
        + trace(
            "subprocess.CalledProcessError: Command 'python -m grpc_tools.protoc' returned non-zero exit status 1."
        ),
    ),
    sample(
        "distribution",
        "undeclared-requirement",
        "requirement cffi>=1",
        "pkg_resources.DistributionNotFound: The 'cffi>=1' distribution was not found",
        trace(
            "pkg_resources.DistributionNotFound: The 'cffi>=1' distribution was not found and is required by the application"
        ),
    ),
    # 19
    sample(
        "pkg-resources",
        "tools-too-new",
        "module pkg_resources",
        "ModuleNotFoundError: No module named 'pkg_resources'",
        trace("ModuleNotFoundError: No module named 'pkg_resources'"),
    ),
    sample(
        "feature",
        "tools-too-new",
        "",
        "ImportError: cannot import name 'Feature' from 'setuptools'",
        trace(
            "ImportError: cannot import name 'Feature' from 'setuptools' (/x/setuptools/__init__.py)"
        ),
    ),
    sample(
        "msvccompiler",
        "tools-too-new",
        "module distutils.msvccompiler",
        "ModuleNotFoundError: No module named 'distutils.msvccompiler'",
        trace("ModuleNotFoundError: No module named 'distutils.msvccompiler'"),
    ),
    sample(
        "install-layout",
        "tools-too-new",
        "",
        "AttributeError: install_layout",
        trace("AttributeError: install_layout. Did you mean: 'install_platlib'?"),
    ),
    sample(
        "distribution-attribute",
        "tools-too-new",
        "",
        "AttributeError: 'Distribution' object has no attribute 'convert_2to3_doctests'",
        trace("AttributeError: 'Distribution' object has no attribute 'convert_2to3_doctests'"),
    ),
    sample(
        "setup-test",
        "tools-too-new",
        "",
        "error: invalid command 'test'",
        "error: invalid command 'test'\n",
    ),
    # 20
    sample(
        "dash-separated",
        "tools-too-new",
        "",
        "setuptools.errors.InvalidConfigError: Invalid dash-separated key 'description-file'",
        trace(
            "setuptools.errors.InvalidConfigError: Invalid dash-separated key 'description-file' in 'metadata' (setup.cfg), please use the underscore name"
        ),
    ),
    sample(
        "invalid-version",
        "metadata",
        "",
        "packaging.version.InvalidVersion: Invalid version: '1.0-x_y'",
        trace("packaging.version.InvalidVersion: Invalid version: '1.0-x_y'"),
    ),
    sample(
        "install-requires",
        "metadata",
        "",
        "error in demo setup command: 'install_requires' must be a string or iterable",
        "error in demo setup command: 'install_requires' must be a string or iterable of strings containing valid project/version requirement specifiers\n",
    ),
    sample(
        "pyproject-schema",
        "metadata",
        "",
        "configuration error: `project.license` must be valid exactly",
        trace(
            "ValueError: invalid pyproject.toml config: `project.license`.\nconfiguration error: `project.license` must be valid exactly by one definition"
        ),
    ),
    sample(
        "flat-layout",
        "metadata",
        "",
        "error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].",
        "error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].\n\nTo avoid accidental inclusion of unwanted files or directories,\n",
    ),
    sample(
        "hatch-files",
        "metadata",
        "",
        "ValueError: Unable to determine which files to ship inside the wheel",
        trace(
            "ValueError: Unable to determine which files to ship inside the wheel using the following heuristics:"
        ),
    ),
    sample(
        "flit-config",
        "metadata",
        "",
        "flit_core.config.ConfigError: Unknown metadata key: foo",
        trace("flit_core.config.ConfigError: Unknown metadata key: foo"),
    ),
    sample(
        "invalid-requirement",
        "metadata",
        "",
        "packaging.requirements.InvalidRequirement: Expected end or semicolon",
        trace(
            "packaging.requirements.InvalidRequirement: Expected end or semicolon (after version specifier)"
        ),
    ),
    # 21
    sample(
        "cython",
        "tools-too-new",
        "",
        "demo.pyx:12:4: undeclared name not builtin: long",
        """
        Error compiling Cython file:
        ------------------------------------------------------------
        ...
            return long(x)
                   ^
        ------------------------------------------------------------

        demo.pyx:12:4: undeclared name not builtin: long
        """
        + trace("Cython.Compiler.Errors.CompileError: demo.pyx"),
    ),
    sample(
        "cython-only-exception",
        "tools-too-new",
        "",
        "Cython.Compiler.Errors.CompileError: demo.pyx",
        trace("Cython.Compiler.Errors.CompileError: demo.pyx"),
    ),
    # 22
    sample(
        "cmake-4",
        "tools-too-new",
        "",
        "Compatibility with CMake < 3.5 has been removed from CMake.",
        "CMake Error at CMakeLists.txt:1 (cmake_minimum_required):\n  Compatibility with CMake < 3.5 has been removed from CMake.\n\n  Update the VERSION argument\n",
    ),
    sample(
        "cmake-old",
        "missing-toolchain",
        "program cmake 3.26",
        "CMake 3.26 or higher is required.  You are running version 3.25.1",
        "CMake Error at CMakeLists.txt:1 (cmake_minimum_required):\n  CMake 3.26 or higher is required.  You are running version 3.25.1\n",
    ),
    sample(
        "meson-options",
        "tools-too-new",
        "",
        '../meson.build:1:0: ERROR: Unknown options: "foo"',
        '../meson.build:1:0: ERROR: Unknown options: "foo"\n',
    ),
    sample(
        "meson-old",
        "missing-toolchain",
        "program meson >=1.2",
        "../meson.build:1:0: ERROR: Meson version is 0.61 but project requires >=1.2",
        "../meson.build:1:0: ERROR: Meson version is 0.61 but project requires >=1.2\n",
    ),
    sample(
        "poetry",
        "tools-too-new",
        "",
        "RuntimeError: The Poetry configuration is invalid:",
        trace(
            "RuntimeError: The Poetry configuration is invalid:\n  - Additional properties are not allowed ('x' was unexpected)"
        ),
    ),
    # 23
    sample(
        "no-distribution",
        "build-requirement",
        "requirement nosuch ==1",
        "ERROR: No matching distribution found for nosuch==1",
        "ERROR: Could not find a version that satisfies the requirement nosuch==1 (from versions: none)\nERROR: No matching distribution found for nosuch==1\n",
    ),
    sample(
        "no-version",
        "build-requirement",
        "requirement nosuch ==1",
        "ERROR: Could not find a version that satisfies the requirement nosuch==1",
        "ERROR: Could not find a version that satisfies the requirement nosuch==1 (from versions: 2)\n",
    ),
    sample(
        "needs-newer-python",
        "build-requirement",
        "requirement a ==2.0",
        "ERROR: Ignored the following versions that require a different python version",
        "ERROR: Ignored the following versions that require a different python version: 2.0 Requires-Python >=3.12\n"
        "ERROR: Could not find a version that satisfies the requirement a==2.0 (from versions: none)\nERROR: No matching distribution found for a==2.0\n",
    ),
    sample(
        "needs-older-python",
        "python-too-new",
        "requirement a ==1.0",
        "ERROR: Ignored the following versions that require a different python version",
        "ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python >=3.6,<3.10; 2.0 Requires-Python >=3.12\n"
        "ERROR: Could not find a version that satisfies the requirement a==1.0 (from versions: 3.0)\nERROR: No matching distribution found for a==1.0\n",
    ),
    sample(
        "conflict",
        "build-requirement",
        "requirement a ==1",
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n\nThe conflict is caused by:\n    The user requested a==1\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/\n",
    ),
    sample(
        "pep-518-conflict",
        "build-requirement",
        "requirement setuptools==82 is incompatible with setuptools<60.",
        "ERROR: Some build dependencies for file:///x conflict with PEP 517/518",
        "ERROR: Some build dependencies for file:///x conflict with PEP 517/518 supported requirements: setuptools==82 is incompatible with setuptools<60.\n",
    ),
    sample(
        "version-conflict",
        "build-requirement",
        "requirement six>=2",
        "pkg_resources.VersionConflict: (six 1.0 (/x), Requirement.parse('six>=2'))",
        trace("pkg_resources.VersionConflict: (six 1.0 (/x), Requirement.parse('six>=2'))"),
    ),
    sample(
        "uv-conflict",
        "build-requirement",
        "",
        "× No solution found when resolving: `nosuch`",
        "  × No solution found when resolving: `nosuch`\n  ╰─▶ Because nosuch was not found\n",
    ),
    # 24
    sample(
        "index-down",
        "index-fault",
        "",
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken",
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError(1)': /simple/wheel/\n"
        "ERROR: Could not find a version that satisfies the requirement wheel (from versions: none)\nERROR: No matching distribution found for wheel\n",
    ),
    sample(
        "http-error",
        "index-fault",
        "",
        "ERROR: HTTP error 503 while getting https://files.pythonhosted.org/x.whl",
        "ERROR: HTTP error 503 while getting https://files.pythonhosted.org/x.whl\nERROR: Could not install requirement x because of HTTP error 503\n",
    ),
    sample(
        "certificate",
        "index-fault",
        "",
        "Could not fetch URL https://pypi.org/simple/a/: There was a problem confirming the ssl certificate",
        "Could not fetch URL https://pypi.org/simple/a/: There was a problem confirming the ssl certificate: certificate has expired - skipping\n"
        "ERROR: Could not find a version that satisfies the requirement a (from versions: none)\n",
    ),
    sample(
        "incomplete",
        "index-fault",
        "",
        "error: incomplete-download",
        "error: incomplete-download\n\n× Download failed because not enough bytes were received\n",
    ),
    sample(
        "html-page",
        "index-fault",
        "",
        "WARNING: Skipping page https://pypi.org/simple/a/ because the GET request got Content-Type: text/plain",
        "WARNING: Skipping page https://pypi.org/simple/a/ because the GET request got Content-Type: text/plain.\n"
        "ERROR: No matching distribution found for a\n",
    ),
    sample(
        "digest",
        "damaged-download",
        "",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated\n    a from x:\n        Expected sha256 1\n             Got        2\n",
    ),
    # 26
    sample(
        "compiler-killed",
        "out-of-memory",
        "",
        "c++: fatal error: Killed signal terminated program cc1plus",
        "c++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n"
        + GCC_END,
    ),
    sample("memory-error", "out-of-memory", "", "MemoryError", trace("MemoryError")),
    sample(
        "bad-alloc",
        "out-of-memory",
        "",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\nAborted (core dumped)\n",
    ),
    sample(
        "rust-allocation",
        "out-of-memory",
        "",
        "memory allocation of 1048576 bytes failed",
        "memory allocation of 1048576 bytes failed\nerror: could not compile `demo`\n",
    ),
    sample(
        "virtual-memory",
        "out-of-memory",
        "",
        "virtual memory exhausted: Cannot allocate memory",
        "virtual memory exhausted: Cannot allocate memory\n" + GCC_END,
    ),
    sample(
        "linker-memory",
        "out-of-memory",
        "",
        "/usr/bin/ld: final link failed: memory exhausted",
        "/usr/bin/ld: final link failed: memory exhausted\ncollect2: error: ld returned 1 exit status\n"
        + GCC_END,
    ),
    sample(
        "cc1plus-memory",
        "out-of-memory",
        "",
        "cc1plus: out of memory allocating 65536 bytes after a total of 1000 bytes",
        "cc1plus: out of memory allocating 65536 bytes after a total of 1000 bytes\n" + GCC_END,
    ),
    sample(
        "java-memory",
        "out-of-memory",
        "",
        "java.lang.OutOfMemoryError: Java heap space",
        "java.lang.OutOfMemoryError: Java heap space\n",
    ),
    sample(
        "node-memory",
        "out-of-memory",
        "",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n",
    ),
    sample(
        "errno-12",
        "out-of-memory",
        "",
        "OSError: [Errno 12] Cannot allocate memory",
        trace("OSError: [Errno 12] Cannot allocate memory"),
    ),
    sample(
        "rustc-killed",
        "out-of-memory",
        "",
        "process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)",
        "error: could not compile `demo` (lib)\n\nCaused by:\n  process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)\n",
    ),
    # 27
    sample(
        "errno-28",
        "disk-full",
        "",
        "OSError: [Errno 28] No space left on device",
        trace("OSError: [Errno 28] No space left on device"),
    ),
    sample(
        "assembler-space",
        "disk-full",
        "",
        "/tmp/x.s: Fatal error: can't close x.o: No space left on device",
        "/tmp/x.s: Fatal error: can't close x.o: No space left on device\n" + GCC_END,
    ),
    sample(
        "node-space",
        "disk-full",
        "",
        "Error: ENOSPC: no space left on device, write",
        "Error: ENOSPC: no space left on device, write\n",
    ),
    sample(
        "file-size",
        "limit",
        "",
        "OSError: [Errno 27] File too large",
        trace("OSError: [Errno 27] File too large"),
    ),
    # 28
    sample(
        "internal-compiler-error",
        "crashed",
        "",
        "a.c:3:1: internal compiler error: Segmentation fault",
        "a.c:3:1: internal compiler error: Segmentation fault\nPlease submit a full bug report,\n"
        + GCC_END,
    ),
    sample(
        "clang-crash",
        "crashed",
        "",
        "PLEASE submit a bug report to https://bugs.llvm.org",
        "PLEASE submit a bug report to https://bugs.llvm.org and include the crash backtrace\n"
        + GCC_END,
    ),
    sample(
        "segmentation-fault",
        "crashed",
        "",
        "subprocess.CalledProcessError: Command '['x']' died with <Signals.SIGSEGV: 11>.",
        trace("subprocess.CalledProcessError: Command '['x']' died with <Signals.SIGSEGV: 11>."),
    ),
    sample(
        "python-crash",
        "crashed",
        "",
        "Fatal Python error: Segmentation fault",
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1:\n",
    ),
    sample(
        "exit-11",
        "crashed",
        "",
        "│ exit code: -11",
        "  error: subprocess-exited-with-error\n  × x did not run successfully.\n  │ exit code: -11\n",
    ),
    sample(
        "terminated",
        "killed",
        "",
        "subprocess.CalledProcessError: Command '['x']' died with <Signals.SIGTERM: 15>.",
        trace("subprocess.CalledProcessError: Command '['x']' died with <Signals.SIGTERM: 15>."),
    ),
    sample(
        "exit-15",
        "killed",
        "",
        "│ exit code: -15",
        "  error: subprocess-exited-with-error\n  × x did not run successfully.\n  │ exit code: -15\n",
    ),
    # 29
    sample(
        "fork",
        "limit",
        "",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        trace("BlockingIOError: [Errno 11] Resource temporarily unavailable"),
    ),
    sample(
        "open-files",
        "limit",
        "",
        "OSError: [Errno 24] Too many open files: 'x'",
        trace("OSError: [Errno 24] Too many open files: 'x'"),
    ),
    sample(
        "write-to-usr",
        "unknown",
        "",
        "PermissionError: [Errno 13] Permission denied: '/usr/local/lib/x'",
        trace("PermissionError: [Errno 13] Permission denied: '/usr/local/lib/x'"),
    ),
    sample(
        "mount",
        "unknown",
        "",
        "mount: /mnt: permission denied.",
        "mount: /mnt: permission denied.\n",
    ),
    # 30
    sample(
        "truncated",
        "bad-sdist",
        "",
        "EOFError: Compressed file ended before the end-of-stream marker was reached",
        "ERROR: Exception:\n"
        + trace("EOFError: Compressed file ended before the end-of-stream marker was reached"),
    ),
    sample(
        "not-gzip",
        "bad-sdist",
        "",
        "tarfile.ReadError: not a gzip file",
        "ERROR: Exception:\n" + trace("tarfile.ReadError: not a gzip file"),
    ),
    sample(
        "unreadable",
        "bad-sdist",
        "",
        "the sdist cannot be read: not a gzip file",
        "the sdist cannot be read: not a gzip file\n",
    ),
    sample(
        "no-project",
        "bad-sdist",
        "",
        "ERROR: file:///x.tar.gz does not appear to be a Python project",
        "ERROR: file:///x.tar.gz does not appear to be a Python project: neither 'setup.py' nor 'pyproject.toml' found.\n",
    ),
    sample(
        "traversal",
        "bad-sdist",
        "",
        "ERROR: The tar file (x) has a file (../x) trying to install outside target directory",
        "ERROR: The tar file (x) has a file (../x) trying to install outside target directory (y)\n",
    ),
    sample(
        "toml",
        "metadata",
        "",
        "pip._vendor.tomli.TOMLDecodeError: Invalid value (at line 2, column 5)",
        "ERROR: Exception:\n"
        + trace("pip._vendor.tomli.TOMLDecodeError: Invalid value (at line 2, column 5)"),
    ),
    sample(
        "wrong-name",
        "wrong-name",
        "",
        "Requested x from file:///x has inconsistent Name: expected 'a', but metadata has 'b'",
        "  Requested x from file:///x has inconsistent Name: expected 'a', but metadata has 'b'\nDiscarding file:///x\nERROR: No matching distribution found for a\n",
    ),
    sample(
        "wrong-version",
        "wrong-version",
        "",
        "Requested x from file:///x has inconsistent version: expected '1', but metadata has '2'",
        "  Requested x from file:///x has inconsistent version: expected '1', but metadata has '2'\nERROR: No matching distribution found for a\n",
    ),
    sample("no-wheel", "no-wheel", "", "the backend made no wheel", "the backend made no wheel\n"),
    sample(
        "unittest",
        "tests-in-build",
        "",
        "FAILED (failures=1)",
        "Ran 3 tests in 0.1s\n\nFAILED (failures=1)\n" + trace("SystemExit: 1"),
    ),
    sample(
        "pytest",
        "tests-in-build",
        "",
        "=== 1 failed, 2 passed in 0.10s ===",
        "=== 1 failed, 2 passed in 0.10s ===\n" + trace("SystemExit: 1"),
    ),
    sample(
        "input",
        "unknown",
        "",
        "EOFError: EOF when reading a line",
        trace("EOFError: EOF when reading a line"),
    ),
    sample(
        "refused",
        "refused",
        "",
        "The 'sklearn' PyPI package is deprecated, use 'scikit-learn'",
        "The 'sklearn' PyPI package is deprecated, use 'scikit-learn'\nrather than 'sklearn' for pip commands.\n"
        + trace("SystemExit: 1"),
    ),
    # Messages of projects
    sample(
        "prose",
        "missing-package",
        "software libxml2",
        "Error: Please make sure the libxml2 and libxslt development packages are installed.",
        "Building without Cython.\nError: Please make sure the libxml2 and libxslt development packages are installed.\n",
    ),
    sample(
        "prose-exception",
        "missing-package",
        "software snappy",
        "RuntimeError: snappy headers were not found",
        trace("RuntimeError: snappy headers were not found"),
    ),
    sample(
        "apt-install",
        "missing-package",
        "software ocaml-nox",
        "try: apt-get install ocaml-nox",
        "try: apt-get install ocaml-nox\n" + trace("SystemExit: 1"),
    ),
    sample(
        "configure-error",
        "missing-package",
        "software gmp",
        "configure: error: GMP not found",
        "configure: error: GMP not found\n",
    ),
    sample(
        "old-gcc-header",
        "missing-package",
        "header foo.h",
        "a.c:1:17: error: foo.h: No such file or directory",
        "a.c:1:17: error: foo.h: No such file or directory\n" + GCC_END,
    ),
    sample(
        "source-argument",
        "bad-sdist",
        "file src/gone.c",
        "gcc: error: src/gone.c: No such file or directory",
        "gcc: error: src/gone.c: No such file or directory\ngcc: fatal error: no input files\n"
        + GCC_END,
    ),
    sample(
        "meson-generator",
        "missing-package",
        "program glib-genmarshal",
        "../meson.build:4:7: ERROR: Program 'glib-genmarshal' not found",
        "../meson.build:4:7: ERROR: Program 'glib-genmarshal' not found or not executable\n",
    ),
    sample(
        "meson-message",
        "unknown",
        "",
        "../meson.build:4:7: ERROR: Problem encountered: odd",
        "../meson.build:4:7: ERROR: Problem encountered: odd\n\nbye\n",
    ),
    sample(
        "configure-then-exception",
        "unknown",
        "",
        "configure: error: odd shell",
        "configure: error: odd shell\n" + trace("RuntimeError: ./configure failed"),
    ),
    sample(
        "make-separator",
        "unknown",
        "",
        "Makefile:3: *** missing separator.  Stop.",
        "Makefile:3: *** missing separator.  Stop.\n" + trace("RuntimeError: make failed"),
    ),
    sample(
        "scons",
        "unknown",
        "",
        "scons: *** No SConstruct file found.",
        "scons: *** No SConstruct file found.\n" + trace("RuntimeError: scons failed"),
    ),
    sample(
        "pc-own-message",
        "missing-package",
        "pkg-config cairo >= 1.15.10",
        "required pkg-config package 'cairo >= 1.15.10' not found",
        "required pkg-config package 'cairo >= 1.15.10' not found\n" + trace("SystemExit: 1"),
    ),
    sample(
        "git-transport",
        "needs-network",
        "host github.com",
        "fatal: transport 'https' not allowed",
        "Cloning into 'x'...\nfatal: transport 'https' not allowed\n"
        + trace(
            "subprocess.CalledProcessError: Command '['git', 'clone', 'https://github.com/a/b']' returned non-zero exit status 128."
        ),
    ),
    sample(
        "each-download",
        "needs-network",
        "host example.org",
        "Each download failed!",
        "CMake Error at x.cmake:16 (message):\n  Each download failed!\n\n    error: downloading 'https://example.org/p.tgz' failed\n",
    ),
    sample(
        "build-script-panic",
        "missing-package",
        "software openssl",
        "Could not find directory of OpenSSL installation",
        "error: failed to run custom build command for `openssl-sys v0.9`\n\nCaused by:\n  thread 'main' panicked at build/find_normal.rs:190:5:\n\n"
        "  Could not find directory of OpenSSL installation, and this `-sys` crate cannot\n",
    ),
    sample(
        "crate-pkg-config",
        "missing-package",
        "pkg-config dbus-1",
        "The system library `dbus-1` required by crate `libdbus-sys` was not found.",
        "The system library `dbus-1` required by crate `libdbus-sys` was not found.\nThe file `dbus-1.pc` needs to be installed\n",
    ),
    sample(
        "nvcc",
        "compiler-error",
        "",
        'k.cu(3): error: identifier "x" is undefined',
        'k.cu(3): error: identifier "x" is undefined\n' + GCC_END,
    ),
    sample(
        "fortran",
        "compiler-error",
        "",
        "Error: Symbol 'x' at (1) has no IMPLICIT type",
        "x.f90:3:9:\n\n    3 | y = x\n      |     1\nError: Symbol 'x' at (1) has no IMPLICIT type\n"
        + GCC_END,
    ),
    sample(
        "cython-definitions",
        "bad-sdist",
        "file absent.pxd",
        "demo.pyx:2:8: 'absent.pxd' not found",
        "Error compiling Cython file:\n---\n\ndemo.pyx:2:8: 'absent.pxd' not found\n"
        + trace("Cython.Compiler.Errors.CompileError: demo.pyx"),
    ),
    sample(
        "windows-only",
        "refused",
        "",
        "demo is only supported on Windows",
        "demo is only supported on Windows\n" + trace("SystemExit: 1"),
    ),
    sample(
        "placeholder",
        "refused",
        "",
        "This package is a placeholder",
        "This package is a placeholder\n" + trace("SystemExit: 1"),
    ),
    sample(
        "prose-hint",
        "missing-package",
        "software snappy",
        "snappy not found",
        "snappy not found\n" + trace("SystemExit: 1"),
    ),
    sample(
        "command-only",
        "unknown",
        "",
        "subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2.",
        trace("subprocess.CalledProcessError: Command '['make']' returned non-zero exit status 2.")
        + "bye\n",
    ),
    sample(
        "compile-error-class",
        "missing-package",
        "program flex",
        "sh: 1: flex: not found",
        "sh: 1: flex: not found\n" + trace("distutils.errors.CompileError: odd end"),
    ),
    sample(
        "no-access",
        "unknown",
        "",
        "mkdir: cannot create directory '/x': Permission denied",
        "mkdir: cannot create directory '/x': Permission denied\nbye\n",
    ),
    sample(
        "any-exception",
        "unknown",
        "",
        "KeyError: 'compiler'",
        trace("KeyError: 'compiler'") + "bye\n",
    ),
    sample("any-error", "unknown", "", "error: odd", "error: odd\nbye\n"),
    sample(
        "rustc-memory",
        "out-of-memory",
        "",
        "error: values of the type `[u8; 9]` need more memory than available to compiler",
        "error: values of the type `[u8; 9]` need more memory than available to compiler\n",
    ),
    sample(
        "child-exception",
        "undeclared-requirement",
        "module numpy",
        "ModuleNotFoundError: No module named 'numpy'",
        trace("ModuleNotFoundError: No module named 'numpy'")
        + trace(
            "subprocess.CalledProcessError: Command '['python', 'x.py']' returned non-zero exit status 1."
        ),
    ),
    # What other releases printed
    sample(
        "exec-locals",
        "python-too-new",
        "",
        "KeyError: '__version__'",
        trace("KeyError: '__version__'", "return locals()['__version__']"),
    ),
    sample(
        "required-packages",
        "missing-package",
        "software freetype",
        "* freetype, png",
        """
        freetype: no  [The C/C++ header could not be found.]
        * The following required packages can not be built:
        * freetype, png
        """
        + trace("AttributeError: module 'platform' has no attribute 'linux_distribution'"),
    ),
    sample(
        "tools-used-wrongly",
        "tools-too-new",
        "",
        "NameError: name 'CCompiler' is not defined. Did you mean: 'ccompiler'?",
        """
        Traceback (most recent call last):
          File "<string>", line 444, in <module>
          File "/build/tmp/pip-req-build-x/demo/distutils/ccompiler.py", line 111, in <module>
            replace_method(CCompiler, 'find_executables', CCompiler_find_executables)
                           ^^^^^^^^^
        NameError: name 'CCompiler' is not defined. Did you mean: 'ccompiler'?
        """,
    ),
    sample(
        "setuptools-by-script",
        "tools-too-new",
        "module pkg_resources",
        "socket.gaierror: [Errno -2] Name or service not known",
        """
        Traceback (most recent call last):
          File "/build/tmp/setup.py", line 21, in <module>
            use_setuptools()
          File "/build/tmp/ez_setup.py", line 132, in use_setuptools
            return _do_download(version, download_base, to_dir, download_delay)
        socket.gaierror: [Errno -2] Name or service not known
        """,
    ),
    sample(
        "generated-by-cython",
        "python-too-new",
        "module Cython",
        "demo/a.c:119:11: error: too few arguments to function 'PyCode_New'",
        """
        demo/a.c:119:11: error: too few arguments to function 'PyCode_New'
          119 |           PyCode_New(a, k, l, s, f, code, c, n, v, fv, cell, fn, name, fline, lnos)
              |           ^~~~~~~~~~
        demo/a.c:2479:15: note: in expansion of macro '__Pyx_PyCode_New'
        """
        + GCC_END,
    ),
    sample(
        "pxd-source",
        "tools-too-new",
        "",
        "error: unknown file type '.pxd' (from 'chid.pxd')",
        "[1/1] Cythonizing hid.pyx\nbuilding 'hid' extension\nerror: unknown file type '.pxd' (from 'chid.pxd')\n"
        + PIP_END,
    ),
    sample(
        "source-of-cython",
        "tools-too-new",
        "",
        "cc1: fatal error: ../common/a.c: No such file or directory",
        "[1/1] Cythonizing demo.pyx\ngcc -c ../common/a.c -o a.o\ncc1: fatal error: ../common/a.c: No such file or directory\n"
        + GCC_END,
    ),
    sample(
        "shell-not-found-as-argument",
        "missing-package",
        "program krb5-config",
        "x86_64-linux-gnu-gcc: error: krb5-config:: linker input file not found",
        """
        x86_64-linux-gnu-gcc -O2 -c a.c -o a.o /bin/sh: 1: krb5-config: not found
        x86_64-linux-gnu-gcc: warning: /bin/sh:: linker input file unused because linking not done
        x86_64-linux-gnu-gcc: error: /bin/sh:: linker input file not found: No such file or directory
        x86_64-linux-gnu-gcc: error: krb5-config:: linker input file not found: No such file or directory
        """
        + GCC_END,
    ),
    sample(
        "header-of-generated-file",
        "python-too-new",
        "module Cython",
        "src/demo.c:181:12: fatal error: longintrepr.h: No such file",
        'src/demo.c:181:12: fatal error: longintrepr.h: No such file or directory\n  181 |   #include "longintrepr.h"\n'
        + GCC_END,
    ),
    sample(
        "handled-tool-error",
        "missing-toolchain",
        "program rustc",
        "SystemExit: error: can't find Rust compiler",
        trace("distutils.errors.DistutilsPlatformError: can't find Rust compiler")
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + trace("SystemExit: error: can't find Rust compiler")
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + trace("ModuleNotFoundError: No module named 'pkg_resources'"),
    ),
    sample(
        "java-home",
        "missing-package",
        "program javac",
        "Exception: Unable to determine JAVA_HOME",
        trace("Exception: Unable to determine JAVA_HOME"),
    ),
    sample(
        "no-mpi-compiler",
        "missing-package",
        "program mpicc",
        "error: Cannot compile MPI programs. Check your configuration!!!",
        "error: Cannot compile MPI programs. Check your configuration!!!\n",
    ),
    sample(
        "path-to-config-program",
        "missing-package",
        "program gdal-config",
        "CRITICAL:root:A GDAL API version must be specified. Provide a path to gdal-config",
        "CRITICAL:root:A GDAL API version must be specified. Provide a path to gdal-config using a "
        "GDAL_CONFIG environment variable.\n",
    ),
    sample(
        "debian-package",
        "missing-package",
        "software libcups2-dev",
        "error: libcups2-dev is required",
        "error: libcups2-dev is required\n",
    ),
    sample(
        "failed-to-find",
        "missing-package",
        "software libmagic",
        "ImportError: failed to find libmagic.",
        trace("ImportError: failed to find libmagic.  Check your installation"),
    ),
    sample(
        "error-shared-object",
        "missing-package",
        "library libhdf5.so",
        "error: libhdf5.so: cannot open shared object file",
        "error: Unable to load dependency HDF5, make sure HDF5 is installed properly\n"
        "error: libhdf5.so: cannot open shared object file: No such file or directory\n",
    ),
    sample(
        "superseded-metadata",
        "tools-too-new",
        "",
        "setuptools.errors.InvalidConfigError: License classifiers have been superseded",
        trace(
            "setuptools.errors.InvalidConfigError: License classifiers have been superseded by "
            "license expressions"
        ),
    ),
    sample(
        "panic-of-a-crate",
        "missing-package",
        "software openssl",
        "Could not find directory of OpenSSL installation, and this `-sys` crate cannot",
        """
        error: failed to run custom build command for `openssl-sys v0.9.60`

        Caused by:
          process didn't exit successfully: `/x/build-script-main` (exit status: 101)
          --- stderr
          thread 'main' panicked at '

          Could not find directory of OpenSSL installation, and this `-sys` crate cannot
          proceed without this knowledge.
        """,
    ),
    sample(
        "library-not-loaded",
        "missing-package",
        "library pango-1.0",
        "OSError: cannot load library 'pango-1.0': pango-1.0: cannot open shared object file",
        trace(
            "OSError: cannot load library 'pango-1.0': pango-1.0: cannot open shared object file: No "
            "such file or directory"
        ),
    ),
    sample(
        "no-library-named",
        "missing-package",
        "library udev",
        "ImportError: No library named udev",
        trace("ImportError: No library named udev"),
    ),
]
