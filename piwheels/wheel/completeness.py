"""Whether a wheel holds what its release is made of: the modules that it should have, and any.

A build can succeed and leave the modules out: a build backend that no longer finds the packages,
an optional extension that did not compile. The sdist's own metadata and the upstream's wheel of
the same release say what should be there. The functions take paths of members, and do no I/O.

The rule: an empty wheel is refused where the release has code; where anything else is missing,
that is said. A wheel is empty when it holds no module, script, header or data file beside its
metadata. A release that has dependencies or entry points and nothing else is a meta-package: its
empty wheel is refused only if its sdist or the upstream's wheel has modules.
"""

import re
from collections.abc import Iterable

import msgspec

from piwheels.lines import one_line

_MODULE = re.compile(r"(?P<module>[^.]+)(\.py|\.pyc|(\.[^/]*)?\.(so|pyd))")
_INSTALLED = re.compile(r"[^/]+\.data/(purelib|platlib)/")
_METADATA = re.compile(r"[^/]+\.dist-info(/|$)")
_SOURCES = (".py", ".pyx", ".c", ".cc", ".cpp", ".cxx", ".rs", ".go", ".f", ".f90", ".m", ".so")
#: What sdists carry beside what is installed.
_BESIDE = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmark", "benchmarks",
     "tool", "tools", "build", "dist", "ci", "scripts"}
)  # fmt: skip
_TOOLS = frozenset(
    {"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py", "versioneer.py"}
)
_SHOWN = 5
_LONGEST = 400


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a wheel holds beside its metadata."""

    modules: frozenset[str]  # dotted names
    has_files: bool  # anything at all that would be installed
    declares: bool = False  # it has dependencies or entry points


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What an sdist says that a wheel of it should hold."""

    top_level: frozenset[str] = frozenset()  # of its egg-info: what the upstream's own build had
    packages: frozenset[str] = frozenset()  # packages and modules where backends look for them
    first_source: str = ""  # a file of code that is neither a test nor a tool


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream's wheel of the same release."""

    filename: str
    modules: frozenset[str]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Why a wheel is refused, or what it lacks; "" for neither."""

    refusal: str = ""
    lacks: str = ""


def wheel_contents(members: Iterable[str], *, declares: bool = False) -> Contents:
    """What the members of a wheel are."""
    modules: set[str] = set()
    has_files = False
    for name in members:
        if name.endswith("/") or _METADATA.match(name):
            continue
        path = _INSTALLED.sub("", name, count=1)
        module = _module(path)
        has_files = has_files or bool(module) or "/" in path or path.endswith(".pth")
        if module:
            modules.add(module)
    return Contents(modules=frozenset(modules), has_files=has_files, declares=declares)


def sdist_source(project: str, members: Iterable[str], top_level: Iterable[str]) -> Source:
    """What an sdist should become.

    Args:
        project: its normalised name.
        members: paths of files below the sdist's one folder.
        top_level: the lines of its top_level.txt, if it has one.
    """
    packages: set[str] = set()
    first = ""
    own = project.replace("-", "_")
    beside = _BESIDE - {own}
    for path in sorted(members):
        parts = path.split("/")
        below = parts[1:] if parts[0] == "src" else parts
        if not _is_installed(below, beside):
            continue
        if path.endswith(_SOURCES) and parts[-1] not in _TOOLS:
            first = first or path
        named = len(below) == 1 and below[0] == f"{own}.py"
        if named or (len(below) == 2 and below[1] == "__init__.py"):
            packages.add(below[0].removesuffix(".py"))
    named_there = {line.strip() for line in top_level}
    return Source(
        top_level=frozenset(name for name in named_there if name.isidentifier()) - beside,
        packages=frozenset(name for name in packages if name.isidentifier()),
        first_source=first,
    )


def judge(wheel: Contents, source: Source | None, upstream: Upstream | None) -> Verdict:
    """Compare a wheel with what is known of its release; None is not known."""
    source = source or Source()
    if not wheel.has_files:
        return Verdict(refusal=one_line(_why_not_empty(wheel, source, upstream), _LONGEST))
    tops = {name.partition(".")[0] for name in wheel.modules}
    lacks = []
    if upstream is not None and (missing := upstream.modules - wheel.modules):
        lacks.append(f"{_listed(missing)}, which the upstream's {upstream.filename} has")
    # Some name a module of a package as if it were one beside it.
    elif missing := source.top_level - tops - {name.rpartition(".")[2] for name in wheel.modules}:
        lacks.append(f"{_listed(missing)}, which the sdist's own metadata names")
    return Verdict(lacks=one_line(f"the wheel lacks {lacks[0]}", _LONGEST) if lacks else "")


def _why_not_empty(wheel: Contents, source: Source, upstream: Upstream | None) -> str:
    """Why an empty wheel is not what the release should be, or ""."""
    empty = "the wheel is empty: it holds no module, script or data file"
    if upstream is not None and upstream.modules:
        return f"{empty}, and the upstream's {upstream.filename} has {_listed(upstream.modules)}"
    if named := source.top_level | source.packages:
        return f"{empty}, and the sdist has {_listed(named)}"
    if source.first_source and not wheel.declares:
        return f"{empty}, and the sdist has {source.first_source}"
    return ""


def _module(path: str) -> str:
    """The dotted name of the module that a file is; "" if it is none that can be imported."""
    folder, _, base = path.rpartition("/")
    found = _MODULE.fullmatch(base)
    if found is None or "__mypyc" in base:
        return ""
    parts = [*folder.split("/"), found["module"]] if folder else [found["module"]]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _is_installed(parts: list[str], beside: frozenset[str]) -> bool:
    """Whether a file lies where code of the project itself does."""
    return beside.isdisjoint(parts[:-1]) and not any(part.startswith(".") for part in parts)


def _listed(modules: Iterable[str]) -> str:
    """Some modules by name; what is below a missing package is not listed with it."""
    names = set(modules)
    tops = sorted(name for name in names if not _parents(name) & names)
    more = f" and {len(tops) - _SHOWN} more" if len(tops) > _SHOWN else ""
    return f"{', '.join(tops[:_SHOWN])}{more}"


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}
