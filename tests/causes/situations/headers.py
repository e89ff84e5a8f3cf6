"""Situations 4 to 7: files that a compiler or the linker does not find."""

from tests.causes.projects import build_system, extension, make_project, project, setup_py
from tests.causes.spec import Expected, Situation, Variant


def _header(name: str, packages: str, *lines: str) -> Expected:
    return Expected(
        failure_class="missing-package",
        missing=(f"header:{name}",),
        packages=(packages,),
        lines=lines or (f"fatal error: {name}: No such file or directory",),
    )


def _own_file(name: str, *lines: str) -> Expected:
    return Expected(failure_class="bad-sdist", missing=(f"file:{name}",), lines=lines)


_SYSTEM_HEADERS = Situation(
    4,
    "system-header",
    (
        Variant(
            name="top",
            sdist=extension("#include <pcap.h>"),
            expected=_header("pcap.h", "libpcap0.8-dev|libpcap-dev"),
        ),
        Variant(
            name="subfolder",
            sdist=extension("#include <alsa/asoundlib.h>"),
            expected=_header("alsa/asoundlib.h", "libasound2-dev"),
        ),
        Variant(
            name="by-project-header",
            sdist=extension('#include "wrapper.h"', {"wrapper.h": "#include <ldap.h>\n"}),
            expected=_header("ldap.h", "libldap-dev|libldap2-dev"),
        ),
        Variant(
            name="three-in-parallel",
            sdist=make_project(
                """
                all: audio.o sound.o rate.o
                %.o: %.c
                    $(CC) -c $<
                """,
                {
                    "audio.c": "#include <portaudio.h>\n",
                    "sound.c": "#include <sndfile.h>\n",
                    "rate.c": "#include <samplerate.h>\n",
                },
                arguments="-k -j3",
            ),
            expected=Expected(
                failure_class="missing-package",
                packages=("portaudio19-dev|libsndfile1-dev|libsamplerate0-dev",),
                also=("portaudio19-dev", "libsndfile1-dev", "libsamplerate0-dev"),
                lines=tuple(
                    f"fatal error: {name}: No such file or directory"
                    for name in ("portaudio.h", "sndfile.h", "samplerate.h")
                ),
            ),
        ),
        Variant(
            name="private-folder",
            sdist=extension("#include <cairo.h>", include_dirs=["/usr/include/cairo"]),
            expected=_header("cairo.h", "libcairo2-dev"),
        ),
        Variant(
            name="versioned-folder",
            sdist=extension("#include <dbus/dbus.h>"),
            expected=_header("dbus/dbus.h", "libdbus-1-dev"),
        ),
        Variant(
            name="multiarch-folder",
            sdist=extension("#include <gpgme.h>"),
            expected=_header("gpgme.h", "libgpgme-dev|libgpgme11-dev"),
        ),
        Variant(
            name="cxx",
            sdist=extension("#include <boost/python.hpp>", suffix="cpp", language="c++"),
            expected=_header(
                "boost/python.hpp",
                "libboost-dev|libboost1.74-dev|libboost1.81-dev|libboost-python-dev"
                "|libboost-python1.74-dev|libboost-all-dev",
            ),
        ),
        Variant(
            name="quoted",
            sdist=extension('#include "hidapi/hidapi.h"'),
            expected=_header("hidapi/hidapi.h", "libhidapi-dev"),
        ),
    ),
)

_OWN_FILES = Situation(
    5,
    "own-file-missing",
    (
        Variant(
            name="header",
            sdist=extension('#include "sample_internal.h"'),
            expected=Expected(
                failure_class="bad-sdist",
                missing=("file:sample_internal.h|header:sample_internal.h",),
                lines=("fatal error: sample_internal.h: No such file or directory",),
            ),
        ),
        Variant(
            name="source",
            sdist=extension("", sources=["src/left_out.c"]),
            expected=_own_file(
                "src/left_out.c", "error: src/left_out.c: No such file or directory"
            ),
        ),
        Variant(
            name="readme",
            sdist=setup_py("long_description = open('README.md').read()"),
            expected=_own_file(
                "README.md", "FileNotFoundError: [Errno 2] No such file or directory: 'README.md'"
            ),
        ),
        Variant(
            name="requirements",
            sdist=setup_py(
                """
                import os
                here = os.path.abspath(os.path.dirname(__file__))
                with open(os.path.join(here, "requirements.txt")) as file:
                    requirements = file.readlines()
                """
            ),
            expected=_own_file("requirements.txt", "FileNotFoundError: [Errno 2] No such file"),
        ),
        Variant(
            name="version",
            sdist=setup_py("exec(open('sample/VERSION').read())"),
            expected=_own_file("sample/VERSION", "No such file or directory: 'sample/VERSION'"),
        ),
        Variant(
            name="readme-hatchling",
            sdist=project(
                {
                    "pyproject.toml": build_system('"hatchling"', "hatchling.build")
                    + '\n[project]\nname = "sample"\nversion = "1.0"\nreadme = "README.md"\n',
                    "sample.py": "",
                }
            ),
            tools=("hatchling",),
            expected=_own_file("README.md", "OSError: Readme file does not exist: README.md"),
        ),
        Variant(
            name="make-source",
            sdist=make_project("all: generated.o\ngenerated.o: generated.c\n    cc -c $<\n", {}),
            expected=_own_file(
                "generated.c", "No rule to make target 'generated.c', needed by 'generated.o'"
            ),
        ),
    ),
)

_PYTHON_HEADERS = Situation(
    6,
    "python-header",
    (
        Variant(
            name="longintrepr",
            pythons=("3.13",),
            sdist=extension("#include <longintrepr.h>"),
            expected=Expected(
                failure_class="python-too-new",
                missing=("header:longintrepr.h",),
                lines=("fatal error: longintrepr.h: No such file or directory",),
            ),
        ),
        Variant(
            name="pyatomic",
            pythons=("3.9",),
            sdist=extension("#include <pyatomic.h>"),
            expected=Expected(
                failure_class="python-too-new",
                missing=("header:pyatomic.h",),
                lines=("fatal error: pyatomic.h: No such file or directory",),
            ),
        ),
        Variant(
            name="type-slot",
            sdist=extension("int answer(PyTypeObject *kind) { return kind->tp_print != NULL; }"),
            expected=Expected(
                failure_class="python-too-new",
                lines=("error: ‘PyTypeObject’ {aka ‘struct _typeobject’} has no member named",),
            ),
        ),
        Variant(
            name="thread-state",
            sdist=extension("void *answer(PyThreadState *state) { return state->exc_type; }"),
            expected=Expected(
                failure_class="python-too-new", lines=("has no member named ‘exc_type’",)
            ),
        ),
        Variant(
            name="long-digits",
            pythons=("3.13",),
            sdist=extension("int answer(PyLongObject *n) { return n->ob_digit[0]; }"),
            expected=Expected(
                failure_class="python-too-new", lines=("has no member named ‘ob_digit’",)
            ),
        ),
        Variant(
            name="size-assignment",
            pythons=("3.13",),
            sdist=extension("void set(PyObject *thing) { Py_TYPE(thing) = &PyLong_Type; }"),
            expected=Expected(
                failure_class="python-too-new",
                lines=("error: lvalue required as left operand of assignment",),
            ),
        ),
    ),
)

_LIBRARIES = Situation(
    7,
    "library",
    (
        Variant(
            name="linker",
            sdist=extension("", libraries=["portaudio"]),
            expected=Expected(
                failure_class="missing-package",
                missing=("library:portaudio",),
                packages=("portaudio19-dev",),
                lines=("cannot find -lportaudio",),
            ),
        ),
        Variant(
            name="alternatives",
            sdist=extension("", libraries=["lapack"]),
            expected=Expected(
                failure_class="missing-package",
                missing=("library:lapack",),
                packages=("liblapack-dev|libopenblas-dev|libatlas-base-dev",),
                lines=("cannot find -llapack",),
            ),
        ),
        Variant(
            name="several",
            sdist=extension("", libraries=["usb-1.0", "ftdi1"]),
            expected=Expected(
                failure_class="missing-package",
                missing=("library:usb-1.0",),
                packages=("libusb-1.0-0-dev",),
                also=("libftdi1-dev",),
                lines=("cannot find -lusb-1.0",),
            ),
        ),
        Variant(
            name="dlopen",
            sdist=setup_py("import ctypes\nctypes.CDLL('libgeos_c.so.1')"),
            expected=Expected(
                failure_class="missing-package",
                missing=("library:libgeos_c.so.1",),
                packages=("libgeos-c1v5|libgeos-dev",),
                lines=("OSError: libgeos_c.so.1: cannot open shared object file",),
            ),
        ),
    ),
)

SITUATIONS = (_SYSTEM_HEADERS, _OWN_FILES, _PYTHON_HEADERS, _LIBRARIES)
