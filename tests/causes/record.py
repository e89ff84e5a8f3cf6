"""Records logs again: python -m tests.causes.record [--only NUMBER] [--variant NAME] [--jobs N]."""

import argparse
import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.builder.build_tools import pip_and_setuptools
from tests.causes import recordings
from tests.causes.recorder import record
from tests.causes.recordings import Recorded
from tests.causes.situations import SITUATIONS
from tests.causes.spec import Situation, Variant


def main() -> None:
    """Record the chosen situations."""
    parser = argparse.ArgumentParser(prog="python -m tests.causes.record", description=__doc__)
    parser.add_argument("--only", type=int, action="append", help="the number of a situation")
    parser.add_argument("--variant", action="append", help="the name of a variant")
    parser.add_argument("--missing", action="store_true", help="only what has no recording yet")
    parser.add_argument("--jobs", type=int, default=1, help="builds at the same time")
    chosen = sorted(_choose(parser.parse_args()), key=lambda choice: choice[2])  # 3.13 first
    with ProcessPoolExecutor(parser.parse_args().jobs) as pool:
        tasks = {
            pool.submit(_record, situation.number, variant.name, python): (
                situation,
                variant,
                python,
            )
            for situation, variant, python in chosen
        }
        for future in as_completed(tasks):
            situation, variant, python = tasks[future]
            if error := future.exception():
                print(f"{situation.folder}/{variant.name}-{python} is not recorded: {error!r}")
                continue
            recorded = future.result()
            recordings.save(situation, variant.name, python, recorded)
            facts = recorded.facts
            print(
                f"{situation.folder}/{variant.name}-{python}: {facts.outcome}: {facts.reason}",
                flush=True,
            )


def _choose(options: argparse.Namespace) -> Iterator[tuple[Situation, Variant, str]]:
    for situation in SITUATIONS:
        known = recordings.read_facts(situation) if options.missing else {}
        for variant in situation.variants:
            if options.only and situation.number not in options.only:
                continue
            if options.variant and variant.name not in options.variant:
                continue
            for python in variant.pythons:
                if f"{variant.name}-{python}" not in known:
                    yield situation, variant, python


def _record(number: int, name: str, python: str) -> Recorded:
    (variant,) = (
        variant
        for situation in SITUATIONS
        for variant in situation.variants
        if situation.number == number and variant.name == name
    )
    return asyncio.run(record(variant, python, pip_and_setuptools()))


if __name__ == "__main__":
    main()
