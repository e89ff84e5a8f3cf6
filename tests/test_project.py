"""The layers of packages, and what each role imports."""

import re
import subprocess
import sys
from pathlib import Path


def test_the_import_contracts_hold(repository: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_help_imports_no_other_package(repository: Path) -> None:
    code = (
        "import sys; sys.argv = ['piw', '--help']; from piwheels.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "found = {name.split('.')[1] for name in sys.modules if name.startswith('piwheels.')}\n"
        "assert found <= {'cli', 'debian_paths', 'errors', 'model', 'protocol'}, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository, capture_output=True)


def test_help_needs_little_more_than_click() -> None:
    """Its cost, as the number of modules: asyncio alone would be 60 more."""
    report = "finally: print(*sys.modules, file=sys.stderr)"
    click = _loaded_modules(f"import sys\ntry: import click\n{report}")
    code = f"import sys\nfrom piwheels.cli.main import main\ntry: main()\n{report}"
    more = {name for name in _loaded_modules(code, "--help") - click if "piwheels" not in name}
    more -= {"pathlib._abc", "pathlib._local"}  # parts of one module since Python 3.13
    assert len(more) <= 45, sorted(more)


def _loaded_modules(code: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stderr.split())


def test_a_role_imports_only_what_it_needs(repository: Path) -> None:
    for module, forbidden in (
        ("piwheels.builder.daemon", ("psycopg", "piwheels.db")),
        ("piwheels.cli.remote", ("psycopg", "httpx", "starlette", "piwheels.builder")),
        (
            "piwheels.accesslog.service",
            ("httpx", "jinja2", "starlette", "zmq", "piwheels.scheduler"),
        ),
    ):
        code = f"import sys, {module}; assert not set({forbidden!r}) & set(sys.modules), 'imported'"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)


def test_contributing_lists_every_package(repository: Path) -> None:
    root = repository / "piwheels"
    packages = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}
    packages -= {"__init__", "__main__", "__pycache__"}
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Packages")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([a-z_]+) \|", section, re.MULTILINE)) - {"package"} == packages
    layers = section.partition("A package imports")[0]
    assert set(re.findall(r"[a-z_]+", layers)) == packages
