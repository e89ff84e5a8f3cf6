"""Whether a wheel contains the modules of its release.

A build can succeed and leave modules out, because the build backend no longer finds the packages
or an optional extension did not compile. The sdist's own metadata and the upstream wheel of the
same release tell what should be there. The functions take paths of members, and do no I/O.

An empty wheel is rejected if the release has code; anything else that is missing is reported. A
wheel is empty when it has no module, script, header or data file besides its metadata. A release
with dependencies or entry points and nothing else is a meta-package: its empty wheel is rejected
only if its sdist or the upstream wheel has modules.
"""

import re
from collections.abc import Iterable

import msgspec

from piwheels.sanitize import truncate_line

_MODULE = re.compile(r"(?P<module>[^.]+)(\.py|\.pyc|(\.[^/]*)?\.(so|pyd))")
_DATA_SCHEME = re.compile(r"\A[^/]+\.data/(purelib|platlib)/")
_DIST_INFO = re.compile(r"[^/]+\.dist-info(/|$)")
_SOURCE_SUFFIXES = (
    ".py",
    ".pyx",
    ".c",
    ".cc",
    ".cpp",
    ".cxx",
    ".rs",
    ".go",
    ".f",
    ".f90",
    ".m",
    ".so",
)
#: Directories of sdists that are not installed.
_NOT_INSTALLED = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmark", "benchmarks",
     "tool", "tools", "build", "dist", "ci", "scripts"}
)  # fmt: skip
_TOOL_SCRIPTS = frozenset(
    {"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py", "versioneer.py"}
)
_MAX_SHOWN = 5
_MAX_REASON_CHARS = 400


class WheelContents(msgspec.Struct, frozen=True, kw_only=True):
    """What a wheel contains besides its metadata."""

    modules: frozenset[str]  # dotted names
    has_files: bool  # any file that would be installed
    declares_dependencies: bool = False  # or entry points


class SdistContents(msgspec.Struct, frozen=True, kw_only=True):
    """What a wheel of an sdist should contain, according to the sdist."""

    top_level: frozenset[str] = frozenset()  # of its egg-info, from the maintainer's own build
    packages: frozenset[str] = frozenset()  # packages and modules where backends look for them
    first_source: str = ""  # a source file that is neither a test nor a tool


class UpstreamWheel(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream wheel of the same release."""

    filename: str
    modules: frozenset[str]


class CompletenessResult(msgspec.Struct, frozen=True, kw_only=True):
    """Why a wheel is rejected, or what it lacks; "" for neither."""

    rejection: str = ""
    missing: str = ""


def wheel_contents(members: Iterable[str], *, declares: bool = False) -> WheelContents:
    """What a wheel with these members contains."""
    modules: set[str] = set()
    has_files = False
    for name in members:
        if name.endswith("/") or _DIST_INFO.match(name):
            continue
        path = _DATA_SCHEME.sub("", name, count=1)
        module = _module_name(path)
        has_files = has_files or bool(module) or "/" in path or path.endswith(".pth")
        if module:
            modules.add(module)
    return WheelContents(
        modules=frozenset(modules), has_files=has_files, declares_dependencies=declares
    )


def sdist_contents(project: str, members: Iterable[str], top_level: Iterable[str]) -> SdistContents:
    """What a wheel of an sdist should contain.

    Args:
        project: its normalized name.
        members: paths of files below the sdist's one folder.
        top_level: the lines of its top_level.txt, if it has one.
    """
    packages: set[str] = set()
    first = ""
    own = project.replace("-", "_")
    beside = _NOT_INSTALLED - {own}
    for path in sorted(members):
        parts = path.split("/")
        below = parts[1:] if parts[0] == "src" else parts
        if not _is_project_code(below, beside):
            continue
        if path.endswith(_SOURCE_SUFFIXES) and parts[-1] not in _TOOL_SCRIPTS:
            first = first or path
        named = len(below) == 1 and below[0] == f"{own}.py"
        if named or (len(below) == 2 and below[1] == "__init__.py"):
            packages.add(below[0].removesuffix(".py"))
    named_there = {line.strip() for line in top_level}
    return SdistContents(
        top_level=frozenset(name for name in named_there if name.isidentifier()) - beside,
        packages=frozenset(name for name in packages if name.isidentifier()),
        first_source=first,
    )


def check_completeness(
    wheel: WheelContents, source: SdistContents | None, upstream: UpstreamWheel | None
) -> CompletenessResult:
    """Compare a wheel with its sdist and the upstream wheel; None where there is none."""
    source = source or SdistContents()
    if not wheel.has_files:
        return CompletenessResult(
            rejection=truncate_line(_empty_wheel_reason(wheel, source, upstream), _MAX_REASON_CHARS)
        )
    tops = {name.partition(".")[0] for name in wheel.modules}
    lacks = []
    if upstream is not None and (missing := upstream.modules - wheel.modules):
        lacks.append(f"{_format_modules(missing)}, which the upstream's {upstream.filename} has")
    # Some projects list a package's submodule as a top-level module.
    elif missing := source.top_level - tops - {name.rpartition(".")[2] for name in wheel.modules}:
        lacks.append(f"{_format_modules(missing)}, which the sdist's own metadata names")
    return CompletenessResult(
        missing=truncate_line(f"the wheel lacks {lacks[0]}", _MAX_REASON_CHARS) if lacks else ""
    )


def _empty_wheel_reason(
    wheel: WheelContents, source: SdistContents, upstream: UpstreamWheel | None
) -> str:
    """Why an empty wheel is wrong for the release, or ""."""
    empty = "the wheel is empty: it has no module, script or data file"
    if upstream is not None and upstream.modules:
        modules = _format_modules(upstream.modules)
        return f"{empty}, and the upstream's {upstream.filename} has {modules}"
    if named := source.top_level | source.packages:
        found = _format_modules(named)
    else:
        found = "" if wheel.declares_dependencies else source.first_source
    return f"{empty}, and the sdist has {found}" if found else ""


def _module_name(path: str) -> str:
    """The dotted module name of a file; "" if it cannot be imported."""
    folder, _, base = path.rpartition("/")
    found = _MODULE.fullmatch(base)
    if found is None or "__mypyc" in base:
        return ""
    parts = [*folder.split("/"), found["module"]] if folder else [found["module"]]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _is_project_code(parts: list[str], beside: frozenset[str]) -> bool:
    """Whether a file is in a directory with the project's own code."""
    return beside.isdisjoint(parts[:-1]) and not any(part.startswith(".") for part in parts)


def _format_modules(modules: Iterable[str]) -> str:
    """The first modules by name, without those below a package that is listed itself."""
    names = set(modules)
    tops = sorted(name for name in names if not _parents(name) & names)
    more = f" and {len(tops) - _MAX_SHOWN} more" if len(tops) > _MAX_SHOWN else ""
    return f"{', '.join(tops[:_MAX_SHOWN])}{more}"


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}
