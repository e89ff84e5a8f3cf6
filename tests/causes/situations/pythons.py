"""Situations 16 to 18: code for another Python, and modules that nothing declares."""

from tests.causes.projects import backend, extension, setup_py
from tests.causes.spec import Expected, Situation, Variant


def _too_new(*lines: str, missing: str = "") -> Expected:
    return Expected(
        failure_class="python-too-new", lines=lines, missing=(missing,) if missing else ()
    )


def _removed(module: str, *, pythons: tuple[str, ...] = ("3.13",)) -> Variant:
    """A module that Python no longer has."""
    return Variant(
        name=f"no-{module.replace('.', '-').lower()}",
        pythons=pythons,
        sdist=setup_py(f"import {module}"),
        expected=_too_new(
            f"ModuleNotFoundError: No module named '{module}'", missing=f"module:{module}"
        ),
    )


_PYTHON_2 = Situation(
    16,
    "python-2",
    (
        Variant(
            name="print",
            sdist=setup_py("print 'building sample'"),
            expected=_too_new("SyntaxError: Missing parentheses in call to 'print'"),
        ),
        Variant(
            name="except",
            sdist=setup_py("try:\n    import json\nexcept ImportError, error:\n    json = None"),
            expected=_too_new(
                "SyntaxError: invalid syntax",
                "SyntaxError: multiple exception types must be parenthesized",
            ),
        ),
        Variant(
            name="octal",
            sdist=setup_py("import os\nos.chmod('setup.py', 0755)"),
            expected=_too_new(
                "SyntaxError: leading zeros in decimal integer literals are not permitted"
            ),
        ),
        _removed("ConfigParser", pythons=("3.9", "3.13")),
        _removed("urllib2", pythons=("3.9", "3.13")),
        Variant(
            name="execfile",
            sdist=setup_py("execfile('sample.py')"),
            expected=_too_new("NameError: name 'execfile' is not defined"),
        ),
        Variant(
            name="tabs",
            sdist=setup_py("if True:\n        first = 1\n\tsecond = 2"),
            expected=_too_new("TabError: inconsistent use of tabs and spaces in indentation"),
        ),
        Variant(
            name="c-strings",
            sdist=extension(
                "int is_text(PyObject *thing) { return Py_TYPE(thing) == &PyString_Type; }"
            ),
            expected=_too_new("error: ‘PyString_Type’ undeclared"),
        ),
        Variant(
            name="use-2to3",
            sdist=setup_py("import setuptools\nsetuptools.setup(name='sample', use_2to3=True)"),
            expected=Expected(
                failure_class="tools-too-new|python-too-new",
                lines=("error in sample setup command: use_2to3 is invalid.",),
            ),
        ),
    ),
)

_REMOVED = Situation(
    17,
    "removed",
    (
        Variant(
            name="no-distutils",
            pythons=("3.13",),
            sdist=backend("from distutils.core import setup"),
            expected=_too_new(
                "ModuleNotFoundError: No module named 'distutils'", missing="module:distutils"
            ),
        ),
        *map(_removed, ("imp", "asyncore", "cgi", "pipes", "lib2to3")),
        Variant(
            name="safe-config-parser",
            pythons=("3.13",),
            sdist=setup_py("import configparser\nparser = configparser.SafeConfigParser()"),
            expected=_too_new("module 'configparser' has no attribute 'SafeConfigParser'"),
        ),
        Variant(
            name="imp-importer",
            pythons=("3.13",),
            sdist=setup_py("import pkgutil\npkgutil.ImpImporter"),
            expected=_too_new("module 'pkgutil' has no attribute 'ImpImporter'"),
        ),
        Variant(
            name="clock",
            sdist=setup_py("import time\nbegan = time.clock()"),
            expected=_too_new("AttributeError: module 'time' has no attribute 'clock'"),
        ),
        Variant(
            name="linux-distribution",
            sdist=setup_py("import platform\nname = platform.linux_distribution()[0]"),
            expected=_too_new("module 'platform' has no attribute 'linux_distribution'"),
        ),
        Variant(
            name="collections",
            pythons=("3.13",),
            sdist=setup_py("from collections import MutableMapping"),
            expected=_too_new(
                "ImportError: cannot import name 'MutableMapping' from 'collections'"
            ),
        ),
        Variant(
            name="gcd",
            sdist=setup_py("from fractions import gcd"),
            expected=_too_new("ImportError: cannot import name 'gcd' from 'fractions'"),
        ),
        Variant(
            name="universal-newlines",
            pythons=("3.13",),
            sdist=setup_py("text = open('sample.py', 'rU').read()"),
            expected=_too_new("ValueError: invalid mode: 'rU'"),
        ),
        Variant(
            name="own-check",
            pythons=("3.13",),
            sdist=setup_py(
                """
                import sys
                if sys.version_info >= (3, 11):
                    raise RuntimeError("Cannot install on Python version 3.13.0; only versions >=3.7,<3.11 are supported.")
                """
            ),
            expected=_too_new("RuntimeError: Cannot install on Python version"),
        ),
    ),
)


def _undeclared(module: str, statement: str = "") -> Variant:
    name = module.partition(".")[0]
    return Variant(
        name=name.lower(),
        sdist=setup_py(statement or f"import {module}"),
        expected=Expected(
            failure_class="undeclared-requirement",
            missing=(f"module:{name}",),
            lines=(f"ModuleNotFoundError: No module named '{name}'",),
        ),
    )


_UNDECLARED = Situation(
    18,
    "undeclared",
    (
        _undeclared("numpy", "import numpy\ninclude = numpy.get_include()"),
        _undeclared("Cython.Build", "from Cython.Build import cythonize"),
        _undeclared("torch", "from torch.utils.cpp_extension import CUDAExtension"),
        _undeclared("pybind11"),
        _undeclared("requests"),
        _undeclared("yaml"),
        Variant(
            name="numpy-distutils",
            pythons=("3.13",),
            tools=("numpy",),
            sdist=setup_py("from numpy.distutils.core import Extension", requires='"numpy"'),
            expected=Expected(
                failure_class="python-too-new|tools-too-new",
                missing=("module:numpy.distutils",),
                lines=("No module named 'numpy.distutils'",),
            ),
        ),
        Variant(
            name="own-import",
            sdist=setup_py(
                "import sample_package",
                {
                    "sample_package/__init__.py": "from simplejson import dumps\n__version__ = '1.0'\n"
                },
            ),
            expected=Expected(
                failure_class="undeclared-requirement",
                missing=("module:simplejson",),
                lines=("ModuleNotFoundError: No module named 'simplejson'",),
            ),
        ),
    ),
)

SITUATIONS = (_PYTHON_2, _REMOVED, _UNDECLARED)
