"""The floors of the house, and what each role may need."""

import re
import resource
import subprocess
import sys
from pathlib import Path


def test_the_import_contracts_hold(repository: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_help_imports_no_room(repository: Path) -> None:
    code = (
        "import sys; sys.argv = ['piw', '--help']; from piwheels.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('piwheels.')}\n"
        "assert rooms <= {'cli', 'errors'}, rooms"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository, capture_output=True)


def test_help_needs_little_more_than_click() -> None:
    """What it costs, told by what is loaded: asyncio alone would be 60 modules more."""
    told = "finally: print(*sys.modules, file=sys.stderr)"
    click = _loaded_modules(f"import sys\ntry: import click\n{told}")
    ours = _loaded_modules(
        f"import sys\nfrom piwheels.cli import main\ntry: main()\n{told}", "--help"
    )
    more = {name for name in ours - click if not name.startswith("piwheels")}
    assert len(more) <= 30, sorted(more)


def _loaded_modules(code: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stderr.split())


def test_help_comes_at_once() -> None:
    """In processor time, of which a busy machine takes no more; the best of some tries counts."""
    took: list[float] = []
    while len(took) < 20 and min(took, default=1.0) >= 0.2:
        began = _child_cpu_s()
        subprocess.run(
            [Path(sys.executable).with_name("piw"), "--help"], check=True, capture_output=True
        )
        took.append(_child_cpu_s() - began)
    assert min(took) < 0.2


def _child_cpu_s() -> float:
    """The processor time of all processes that we ran to their end."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_a_role_imports_nothing_that_it_has_no_use_for(
    repository: Path,
) -> None:
    for room, forbidden in (
        ("piwheels.builder.daemon", ("psycopg", "piwheels.db")),
        ("piwheels.cli.remote", ("psycopg", "httpx", "starlette", "piwheels.builder")),
        (
            "piwheels.accesslog.service",
            ("httpx", "jinja2", "starlette", "zmq", "piwheels.scheduler"),
        ),
    ):
        code = f"import sys, {room}; assert not set({forbidden!r}) & set(sys.modules), 'imported'"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)


def test_the_table_of_rooms_has_every_room(repository: Path) -> None:
    house = repository / "piwheels"
    rooms = {path.stem for path in house.iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms -= {"__init__", "__main__", "__pycache__"}
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z_]+) \|", text, re.MULTILINE)) - {"room"} == rooms
    floors = set(re.findall(r"[a-z_]+", text.partition("## The house")[2].partition("A room")[0]))
    assert rooms <= floors, "the picture of the floors has them too"
