"""The table of real releases and its list."""

from datetime import UTC, datetime
from pathlib import Path

from piwheels.model import Outcome
from piwheels.protocol.messages import BuildFinished
from tests.benchmarks.release_table import (
    Release,
    Result,
    Results,
    as_markdown,
    read_releases,
    result_of,
)


def test_the_list_has_sixty_releases() -> None:
    releases = read_releases()
    assert len({str(release) for release in releases}) == len(releases) == 60


def test_a_later_result_replaces_the_earlier_one(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    results.append(_result("a 1.0", Outcome.FAILED, line="a.c:1:2: error: a | b"))
    results.append(_result("b 1.0", Outcome.FAILED))
    results.append(_result("a 1.0", Outcome.BUILT, packages=("libpq-dev",)))
    releases = [
        Release(project="a", version="1.0"),
        Release(project="b", version="1.0", impossible="it is for Python 2"),
    ]
    table = as_markdown(releases, results.latest())
    assert "2 releases, 1 of which can be built by hand\nbuilt: 1 (100% of these)" in table
    assert "built with packages added: 1" in table
    assert "nothing builds it: it is for Python 2" in table


def test_the_log_tells_what_each_round_changed() -> None:
    log = (
        "--- piwheels: building ---\n--- piwheels: libpq-dev, libssl-dev added ---\n"
        "--- piwheels: tools-too-new: trying again with the index as of 2021-08-31 ---\n"
    )
    result = result_of(
        Release(project="a", version="1.0"),
        datetime(2018, 5, 1, tzinfo=UTC),
        BuildFinished(build=1, outcome=Outcome.BUILT, duration_s=9.0),
        log,
    )
    assert result.packages == ("libpq-dev", "libssl-dev")
    assert (result.tools, result.rounds) == ("index as of 2021-08-31", 3)


def _result(
    release: str, outcome: Outcome, *, line: str = "", packages: tuple[str, ...] = ()
) -> Result:
    released_at = datetime(2018, 5, 1, tzinfo=UTC)
    return Result(
        release=release, released_at=released_at, outcome=outcome, line=line, packages=packages
    )
