"""Situations 30 and 31: sdists and wheels that are no use, refusals, and builds that succeed noisily."""

import gzip
import io
import tarfile
import zipfile

from tests.builder import sdists
from tests.causes.projects import backend, extension, project, setup_py
from tests.causes.spec import Archive, Expected, Situation, Variant


def _expect(failure_class: str, *lines: str) -> Expected:
    return Expected(failure_class=failure_class, lines=lines)


def _setup(text: str) -> Archive:
    return project({"setup.py": f"from setuptools import setup\n{text}\n", "sample.py": ""})


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("sample-1.0/setup.py", "from setuptools import setup\nsetup()\n")
    return content.getvalue()


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> Archive:
    return Archive(content=sdists.hostile_archive("sample", *entries))


_NOISE = gzip.decompress(setup_py("# " + " ".join(map(str, range(20_000)))).content)

_UNREADABLE = (
    Variant(
        name="truncated",
        sdist=Archive(content=gzip.compress(_NOISE)[:2000]),
        expected=_expect("bad-sdist", "Compressed file ended before the end-of-stream marker"),
    ),
    Variant(
        name="zip-named-tar",
        pythons=("3.13",),  # the last pip for Python 3.9 unpacks it
        sdist=Archive(content=_zip()),
        expected=_expect("bad-sdist", "not a gzip file", "cannot be read"),
    ),
    Variant(
        name="empty",
        sdist=Archive(content=b""),
        expected=_expect("bad-sdist", "empty file", "cannot be read"),
    ),
    Variant(
        name="html",
        sdist=Archive(content=b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n"),
        expected=_expect("bad-sdist", "not a gzip file", "cannot be read"),
    ),
    Variant(
        name="no-project",
        sdist=project({"README": "nothing else"}),
        expected=_expect(
            "bad-sdist", "Neither 'setup.py' nor 'pyproject.toml' found", "does not appear to be"
        ),
    ),
    Variant(
        name="traversal",
        sdist=_tar(
            (sdists.member("sample-1.0/setup.py", size=1), b"\n"),
            (sdists.member("sample-1.0/../../outside", size=1), b"x"),
        ),
        expected=_expect("bad-sdist", "trying to install outside target directory", "outside"),
    ),
    Variant(
        name="link-out",
        sdist=_tar(
            (sdists.member("sample-1.0/setup.py", size=1), b"\n"),
            (sdists.member("sample-1.0/link", tarfile.SYMTYPE, link="../../../etc/passwd"), b""),
        ),
        expected=_expect("bad-sdist", "outside", "link"),
    ),
    Variant(
        name="broken-toml",
        sdist=project({"pyproject.toml": "[build-system\nrequires = [", "setup.py": ""}),
        expected=_expect(
            "metadata|bad-sdist",
            "TOMLDecodeError",
            "Expected ']' at the end of a table declaration",
        ),
    ),
)

_WHEELS = (
    Variant(
        name="wrong-name",
        sdist=_setup("setup(name='other', version='1.0', py_modules=['sample'])"),
        expected=_expect("wrong-name"),
    ),
    Variant(
        name="wrong-version",
        sdist=_setup("setup(name='sample', version='2.0', py_modules=['sample'])"),
        expected=_expect("wrong-version"),
    ),
    Variant(
        name="no-wheel",
        sdist=_setup("import os\nprint('nothing to do', flush=True)\nos._exit(0)"),
        expected=_expect("no-wheel|unknown", "output.json", "nothing to do"),
    ),
    Variant(
        name="empty-wheel",
        sdist=project(
            {
                "setup.py": "from setuptools import setup\nsetup(name='sample', version='1.0', packages=[])\n",
                "sample/__init__.py": "answer = 42\n",
            }
        ),
        expected=_expect("empty-wheel"),
    ),
    Variant(
        name="several-wheels",
        sdist=backend(
            """
            import glob
            for path in glob.glob("/build/wheels"):
                open(path + "/sample-1.0-py2-none-any.whl", "wb").write(b"PK")
            """
        ),
        expected=_expect("several-wheels"),
    ),
)

_DECISIONS = (
    Variant(
        name="failing-tests",
        sdist=setup_py(
            """
            import subprocess, sys
            subprocess.check_call([sys.executable, "-m", "unittest", "test_sample"])
            """,
            {
                "test_sample.py": "import unittest\n\n"
                "class SampleTest(unittest.TestCase):\n"
                "    def test_answer(self):\n        self.assertEqual(42, 41)\n"
            },
        ),
        expected=_expect(
            "tests-in-build",
            "FAILED (failures=1)",
            "AssertionError: 42 != 41",
            "FAIL: test_answer",
        ),
    ),
    Variant(
        name="make-check",
        sdist=setup_py(
            """
            import subprocess
            print("PASS: test_open", "FAIL: test_close", sep="\\n", flush=True)
            print("1 of 2 tests failed", flush=True)
            subprocess.check_call(["make", "check"])
            """,
            {"Makefile": "check:\n\t@false\n"},
        ),
        expected=_expect(
            "tests-in-build",
            "1 of 2 tests failed",
            "FAIL: test_close",
            "[Makefile:2: check] Error 1",
        ),
    ),
    Variant(
        name="input",
        sdist=setup_py("answer = input('Where is the library? ')"),
        expected=_expect("unknown", "EOFError: EOF when reading a line"),
    ),
    Variant(
        name="renamed",
        sdist=setup_py(
            """
            raise Exception("The 'sample' package on PyPI is deprecated, use 'better-sample' instead.")
            """
        ),
        expected=_expect("refused", "is deprecated, use 'better-sample' instead"),
    ),
    Variant(
        name="placeholder",
        sdist=setup_py(
            """
            import sys
            sys.exit("This package is a placeholder. Please install it with: pip install better-sample")
            """
        ),
        expected=_expect("refused", "This package is a placeholder"),
    ),
    Variant(
        name="windows-only",
        sdist=setup_py(
            """
            import sys
            if sys.platform != "win32":
                raise RuntimeError("sample is only supported on Windows")
            """
        ),
        expected=_expect("refused", "sample is only supported on Windows"),
    ),
    Variant(
        name="wheels-only",
        sdist=setup_py(
            """
            raise RuntimeError("Building sample from source is not supported: install one of its wheels.")
            """
        ),
        expected=_expect("refused", "Building sample from source is not supported"),
    ),
    Variant(
        name="project-exception",
        sdist=setup_py("settings = {}\ncompiler = settings['compiler']"),
        expected=_expect("unknown", "KeyError: 'compiler'"),
    ),
)

_ARCHIVES = Situation(30, "archive", (*_UNREADABLE, *_WHEELS, *_DECISIONS))

_SUCCESS = Situation(
    31,
    "success",
    (
        Variant(
            name="noisy",
            sdist=setup_py(
                """
                print("error: command 'gcc' failed with exit code 1 (tried, and done without)")
                print("fatal error: libpq-fe.h: No such file or directory")
                print("ModuleNotFoundError: No module named 'numpy'")
                print("No space left on device", "MemoryError", "Killed", sep="\\n")
                """
            ),
            expected=None,
        ),
        Variant(
            name="optional-part",
            sdist=project(
                {
                    "setup.py": """
                    from setuptools import Extension, setup
                    part = Extension("sample_speedups", ["speedups.c"], optional=True)
                    setup(name="sample", version="1.0", py_modules=["sample"], ext_modules=[part])
                    """,
                    "sample.py": "answer = 42\n",
                    "speedups.c": "#include <pcap.h>\n",
                }
            ),
            expected=None,
        ),
        Variant(
            name="deprecated-key",
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\nsetup()\n",
                    "setup.cfg": "[metadata]\nname = sample\nversion = 1.0\ndescription-file = README\n"
                    "[options]\npy_modules = sample\n",
                    "README": "",
                    "sample.py": "",
                }
            ),
            expected=None,
        ),
        Variant(name="warnings", sdist=extension("#warning nothing is wrong"), expected=None),
    ),
)

SITUATIONS = (_ARCHIVES, _SUCCESS)
