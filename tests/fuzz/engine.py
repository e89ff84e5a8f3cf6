"""Fuzzes one target in this process until an input fails or the time is over.

    python -m tests.fuzz.engine ENGINE TARGET SECONDS FOLDER

The input that failed is written into FOLDER. atheris (libFuzzer) mutates what reaches new code;
without it hypothesis tries random edits of the seeds.
"""

import hashlib
import importlib
import sys
import time
from pathlib import Path
from typing import Any

#: What atheris follows: this project, and libraries that parse for it.
_INSTRUMENTED = [
    "piwheels",
    "packaging",
    "elftools",
    "zipfile",
    "tarfile",
    "tomllib",
    "email",
    "html",
]

#: Code that atheris follows takes several times as long.
_INSTRUMENTED_CPU_S = 30.0


def _target(name: str) -> Any:
    from tests.fuzz.targets import TARGETS

    return next(target for target in TARGETS if target.name == name)


def _run_atheris(name: str, seconds: float, folder: Path) -> None:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = _target(name)
    seeds = folder / "corpus"
    seeds.mkdir(parents=True, exist_ok=True)
    kept = [path.read_bytes() for path in target.cases()]
    for number, seed in enumerate([*target.seeds(), *kept]):
        (seeds / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds:.0f}", "-max_len=20000", "-timeout=60", "-verbosity=0"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={folder}/", "-print_final_stats=1", str(seeds)],
        lambda data: target.check(data, _INSTRUMENTED_CPU_S),
    )
    atheris.Fuzz()


def _run_hypothesis(name: str, seconds: float, folder: Path) -> None:
    from hypothesis import HealthCheck, given, seed, settings

    from tests.fuzz.mutations import damaged

    target, ends, tried = _target(name), time.monotonic() + seconds, 0
    failing = b""

    def check(data: bytes) -> None:
        nonlocal tried, failing
        if time.monotonic() > ends and not failing:
            return
        tried += 1
        try:
            target.check(data)
        except BaseException:
            failing = data  # the last one that hypothesis tries is the smallest
            raise

    try:
        while time.monotonic() < ends:
            options = settings(
                max_examples=200, deadline=None, database=None,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            seed(time.time_ns())(options(given(damaged(target.seeds()))(check)))()
    except Exception:
        digest = hashlib.sha256(failing).hexdigest()
        (folder / f"crash-{digest[:16]}").write_bytes(failing)
        raise
    finally:
        print(f"tried {tried:,} inputs")


def main(engine: str, name: str, seconds: str, folder: str) -> None:
    """Run one engine on one target."""
    run = _run_atheris if engine == "atheris" else _run_hypothesis
    run(name, float(seconds), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
