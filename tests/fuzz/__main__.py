"""Fuzzes every parser of bytes from outside, each in a process of its own.

    python -m tests.fuzz --minutes 60
    python -m tests.fuzz --minutes 5 --only recipe --only elf

The time is shared evenly. An input that fails is kept in tests/fuzz/cases, where the default tests
try it from then on: give it a name that says what it is. With `pip install atheris` the inputs
follow the code that they reach; without it, hypothesis makes them.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def _keep_findings(target: Target, folder: Path) -> list[Path]:
    """Move the inputs that failed to the kept cases."""
    kept = []
    for pattern in ("crash-*", "timeout-*", "oom-*"):
        for found in sorted(folder.glob(pattern)):
            path = target.case_folder / found.name[:24]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.read_bytes())
            kept.append(path)
    return kept


def _fuzz(target: Target, engine: str, seconds: float) -> bool:
    """Fuzz one target; whether it failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="piwheels-fuzz-run-") as name:
        process = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.engine", engine, target.name, str(seconds), name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            check=False,
        )  # fmt: skip
        kept = _keep_findings(target, Path(name))
    tried = [
        line.rpartition(":")[2].strip() if "executed" in line else line.split()[1]
        for line in process.stdout.splitlines()
        if line.startswith(("stat::number_of_executed_units", "tried "))
    ]
    failed = process.returncode != 0
    print(
        f"{target.name:28}{time.monotonic() - began:6.0f} s{tried[0] if tried else '?':>12} inputs  "
        f"{'FAILED' if failed else 'ok'}",
        flush=True,
    )
    if failed:
        print("\n".join(process.stdout.splitlines()[-40:]), *kept, sep="\n", flush=True)
    return failed


def main() -> int:
    """Fuzz what was asked for; 1 if anything failed."""
    has_atheris = importlib.util.find_spec("atheris") is not None
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [target.name for target in TARGETS]
    parser.add_argument("--minutes", type=float, default=60.0, help="in all; 60 by default")
    parser.add_argument("--only", action="append", choices=names, help="a target, repeatable")
    parser.add_argument(
        "--engine", choices=("atheris", "hypothesis"),
        default="atheris" if has_atheris else "hypothesis",
    )  # fmt: skip
    options = parser.parse_args()
    chosen = [target for target in TARGETS if target.name in (options.only or names)]
    seconds = options.minutes * 60 / len(chosen)
    print(f"{len(chosen)} targets, {seconds:.0f} s each, with {options.engine}", flush=True)
    return int(sum(_fuzz(target, options.engine, seconds) for target in chosen) > 0)


if __name__ == "__main__":
    sys.exit(main())
