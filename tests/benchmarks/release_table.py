"""Builds real releases in a root: python -m tests.benchmarks.release_table [--jobs N] [--only NAME].

Each result is appended to a file, so that a run that is interrupted goes on where it stopped; the
table of all results is printed at the end. A release that is built again replaces its result.
"""

import argparse
import asyncio
import csv
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from piwheels.builder.build_runner import BuildRunner, create_build_runner
from piwheels.builder.job_dir import JobDir
from piwheels.config import BuilderSection
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind
from piwheels.index_client.pip_config import pip_index_url
from piwheels.model import Job, Outcome, Sdist, Struct
from piwheels.protocol.messages import BuildFinished
from piwheels.sanitize import truncate_line

RELEASES = Path(__file__).with_name("releases.toml")
_TIME_LIMIT_S = 1800.0
#: The lines of the builder in a log that tell how a round differs from the one before.
_ADDED = re.compile(r"^--- piwheels: (.+) added ---$", re.MULTILINE)
_TRY = re.compile(r"^--- piwheels: .* trying again with the (.+) ---$", re.MULTILINE)
_COLUMNS = (
    "release", "date", "result", "class", "missing", "packages added", "tools", "rounds", "seconds",
    "deciding line",
)  # fmt: skip


class Release(Struct, frozen=True, kw_only=True):
    """A release of the list."""

    project: str
    version: str
    by_hand: str = ""  # what it needs besides packages
    impossible: str = ""  # why nothing builds it

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


class Result(Struct, frozen=True, kw_only=True):
    """How a release was built."""

    release: str
    released_at: datetime
    outcome: Outcome
    failure_class: str = ""
    missing: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # added in rounds
    tools: str = ""  # how the last try differed: "index as of 2021-08-31 and cython"
    rounds: int = 1
    seconds: float = 0.0
    peak_memory_bytes: int = 0  # 0: unknown
    peak_disk_bytes: int = 0  # 0: unknown
    line: str = ""


def read_releases() -> list[Release]:
    """The releases of the list."""
    with RELEASES.open("rb") as file:
        return msgspec.convert(tomllib.load(file)["release"], list[Release])


def main() -> None:
    """Build what has no result yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.release_table")
    parser.add_argument("--folder", type=Path, default=Path("release-table"))
    parser.add_argument("--root", default="bookworm-amd64", help="a root; it is made if need be")
    parser.add_argument("--roots-dir", type=Path, help="as the setting builder.roots_dir")
    parser.add_argument("--only", action="append", help="a project; built again if it was before")
    parser.add_argument("--failed", action="store_true", help="also those that failed, again")
    parser.add_argument("--jobs", type=int, default=1, help="builds at the same time")
    parser.add_argument("--print", action="store_true", help="only print the table")
    parser.add_argument("--record", type=Path, help="write what each build took to a file (CSV)")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    releases, results = read_releases(), Results(options.folder / "results.jsonl")
    if not options.print:
        chosen = list(_choose(options, releases, results.latest()))
        asyncio.run(_build_all(options, chosen, results))
    print(as_markdown(releases, results.latest()))
    if options.record:
        record(options.record, results.latest().values())


class Results:
    """The file of results, one line each; of several for a release the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, result: Result) -> None:
        """Add a result."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")

    def latest(self) -> dict[str, Result]:
        """The results by release."""
        if not self._path.exists():
            return {}
        lines = self._path.read_bytes().splitlines()
        results = [msgspec.json.decode(line, type=Result) for line in lines]
        return {result.release: result for result in results}


def _choose(
    options: argparse.Namespace, releases: Sequence[Release], known: dict[str, Result]
) -> Iterator[Release]:
    for release in releases:
        result = known.get(str(release))
        if options.only:
            if release.project in options.only:
                yield release
        elif result is None or (options.failed and result.outcome is not Outcome.BUILT):
            yield release


async def _build_all(
    options: argparse.Namespace, releases: Sequence[Release], results: Results
) -> None:
    queue = iter(enumerate(releases, 1))
    async with SimpleIndex(pip_index_url()) as index:
        runner = await create_build_runner(_config(options), index, None, ())

        async def work() -> None:
            for number, release in queue:
                result = await _build(runner, index, options.folder, number, release)
                results.append(result)
                print(f"{release}: {result.outcome}: {result.line}", flush=True)

        async with asyncio.TaskGroup() as group:
            for _ in range(options.jobs):
                group.create_task(work())


def _config(options: argparse.Namespace) -> BuilderSection:
    return BuilderSection(
        roots=(options.root,),
        roots_dir=options.roots_dir,
        work_dir=(options.folder / "work").resolve(),
        build_timeout_s=_TIME_LIMIT_S,
    )


async def _build(
    runner: BuildRunner, index: SimpleIndex, folder: Path, number: int, release: Release
) -> Result:
    job = await _job(index, number, release, target=next(iter(runner.interpreters)))
    name = f"{release.project}-{release.version}"
    job_dir = JobDir((folder / "jobs" / name).resolve())
    job_dir.start(job)
    finished = await runner.run(job, job_dir, lambda _phase: None)
    text = job_dir.read_log(0, 1 << 25)
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    (logs / f"{name}.log").write_bytes(text)
    job_dir.clear()
    return result_of(release, job.released_at, finished, text.decode(errors="replace"))


async def _job(index: SimpleIndex, number: int, release: Release, target: str) -> Job:
    page = await index.project(release.project)
    assert page is not None, release
    file = next(
        file
        for file in page.files
        if file.kind is FileKind.SDIST and file.version == release.version
    )
    return Job(
        build_id=number,
        project=release.project,
        version=release.version,
        target=target,
        sdist=Sdist(filename=file.filename, url=file.url, sha256=file.sha256),
        released_at=file.uploaded_at or datetime.now(UTC),
    )


def result_of(release: Release, released_at: datetime, finished: BuildFinished, log: str) -> Result:
    """The result of a build, with what its log tells of its rounds."""
    added, tries = _ADDED.findall(log), _TRY.findall(log)
    return Result(
        release=str(release),
        released_at=released_at,
        outcome=finished.outcome,
        failure_class=str(finished.failure_class or ""),
        missing=finished.evidence.missing,
        packages=tuple(name for line in added for name in line.split(", ")),
        tools=tries[-1] if tries else "",
        rounds=1 + len(added) + len(tries),
        seconds=finished.duration_s,
        peak_memory_bytes=finished.peak_memory_bytes,
        peak_disk_bytes=finished.peak_disk_bytes,
        line=truncate_line(finished.reason, 160),
    )


def record(path: Path, results: Iterable[Result]) -> None:
    """Write what each build took, for tests/benchmarks/scheduler_simulation.py."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["release", "outcome", "class", "seconds", "memory_mib", "disk_mib"])
        for it in sorted(results, key=lambda each: each.release):
            memory, disk = it.peak_memory_bytes >> 20, it.peak_disk_bytes >> 20
            rows.writerow(
                [it.release, it.outcome, it.failure_class, f"{it.seconds:.1f}", memory, disk]
            )


def as_markdown(releases: Sequence[Release], results: dict[str, Result]) -> str:
    """The table, and the counts below it."""
    rows = [_row(release, results[str(release)]) for release in releases if str(release) in results]
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *map(_line, rows), ""]
    return "\n".join([*lines, *_counts(releases, results)])


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _row(release: Release, result: Result) -> tuple[str, ...]:
    built = result.outcome is Outcome.BUILT
    remark = release.impossible and f"nothing builds it: {release.impossible}"
    remark = remark or (release.by_hand and f"by hand: {release.by_hand}")
    return (
        str(release),
        f"{result.released_at:%Y-%m}",
        str(result.outcome),
        result.failure_class,
        ", ".join(result.missing),
        ", ".join(result.packages),
        result.tools,
        str(result.rounds),
        f"{result.seconds:.0f}",
        result.line if built or not remark else f"{result.line} ({remark})",
    )


def _counts(releases: Sequence[Release], results: dict[str, Result]) -> Iterator[str]:
    done = [(release, results[str(release)]) for release in releases if str(release) in results]
    built = [result for _, result in done if result.outcome is Outcome.BUILT]
    possible = [release for release, _ in done if not release.impossible]
    yield f"{len(done)} releases, {len(possible)} of which can be built by hand"
    if possible:
        yield f"built: {len(built)} ({len(built) / len(possible):.0%} of these)"
    yield f"built with packages added: {sum(bool(result.packages) for result in built)}"
    yield f"built with other build tools or requirements: {sum(bool(result.tools) for result in built)}"


if __name__ == "__main__":
    main()
