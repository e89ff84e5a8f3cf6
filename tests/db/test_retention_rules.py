"""Retention of wheels, logs and moved files: a dry run says what is removed, and nothing else is."""

import os
import random
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from piwheels.config import Config
from piwheels.config.sections import MasterSection, RetentionSection, WebrootSection
from piwheels.db import catalog, job_queue, retention_queries, target_queries
from piwheels.db.database import Database
from piwheels.master.retention import DailyRetention
from piwheels.master.retention_rules import RetentionRules, RuleReport
from piwheels.webroot import Webroot
from tests.backup.farm import HERE, Builds
from tests.db.scenario import RULES, complete_as_built, make_release, make_wheel

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=1000)


@pytest.fixture
def builds(database: Database, tmp_path: Path) -> Builds:
    return Builds(database, Webroot(tmp_path / "www"), tmp_path)


def config_with(folder: Path, **settings: int) -> Config:
    return Config(
        webroot=WebrootSection(root=folder / "www"),
        master=MasterSection(spool_dir=folder / "spool", event_retention_days=0),
        retention=RetentionSection(**settings),
    )


def rules(builds: Builds, **settings: int) -> RetentionRules:
    return RetentionRules(builds.db, config_with(builds.folder, **settings), NOW, pause_s=0.0)


async def old_releases(builds: Builds, versions: list[str], project: str = "demo") -> None:
    """Build releases; their wheels were published long ago, in this order."""
    for number, version in enumerate(versions):
        await builds.add(project, version)
        await builds.build(version)
        await builds.db.execute(
            """
            UPDATE releases SET released_at = %(at)s
             WHERE project = %(project)s AND version = %(version)s
            """,
            {"project": project, "version": version, "at": OLD + timedelta(days=number)},
        )
    await builds.db.execute("UPDATE files SET published_at = %(at)s", {"at": OLD})


async def count_download(builds: Builds, filename: str, day: datetime) -> None:
    """One download of a wheel, as the reader of access logs stores it."""
    facts = {"filename": filename, "day": day.date(), "id": hash(filename) % 2**60}
    await builds.db.execute(
        """
        INSERT INTO downloaded_wheels (wheel_id, filename, project)
        VALUES (%(id)s, %(filename)s, split_part(%(filename)s, '-', 1))
            ON CONFLICT DO NOTHING
        """,
        facts,
    )
    await builds.db.execute(
        """
        INSERT INTO downloads_monthly_by_wheel (month, wheel_id, downloads, days)
        VALUES (date_trunc('month', %(day)s::date), %(id)s, 1,
                ('[' || extract(day FROM %(day)s::date) || ':' || extract(day FROM %(day)s::date)
                     || ']={1}')::integer[])
        """,
        facts,
    )
    await builds.db.execute(
        "INSERT INTO downloads_daily (day, counted) VALUES (%(day)s, 1) ON CONFLICT DO NOTHING",
        facts,
    )


async def count_days(builds: Builds, days_ago: Iterable[int]) -> None:
    """Have the reader of access logs have counted something on these days, but no wheel."""
    await builds.db.execute(
        """
        INSERT INTO downloads_daily (day, index_hits)
        SELECT %(today)s::date - number, 1 FROM unnest(%(days)s::integer[]) AS number
            ON CONFLICT (day) DO UPDATE SET index_hits = 1
        """,
        {"today": NOW.date(), "days": list(days_ago)},
    )


async def listed(builds: Builds) -> list[str]:
    rows = await builds.db.rows("SELECT version FROM files ORDER BY version")
    return [row["version"] for row in rows]


def of(reports: list[RuleReport], rule: str) -> RuleReport:
    return next(report for report in reports if report.rule == rule)


async def test_nothing_is_removed_by_default(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0", "3.0"])
    before = sorted(builds.webroot.root.rglob("*"))
    reports = await rules(builds).apply(dry_run=False)
    assert all(report.count == 0 and not report.enabled for report in reports)
    assert await listed(builds) == ["1.0", "2.0", "3.0"]
    assert sorted(builds.webroot.root.rglob("*")) == before


async def test_old_releases_lose_their_wheels_and_are_not_built_again(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0", "3.0", "4.0"])
    await count_days(builds, range(1, 91))
    await count_download(builds, "demo-1.0-py3-none-any.whl", NOW - timedelta(days=5))
    await builds.write_pages()
    done = of(
        await rules(builds, releases_per_project=1).apply(dry_run=False), "wheels of old releases"
    )
    assert done.count == 2
    assert await listed(builds) == ["1.0", "4.0"]
    assert await builds.queued() == []
    await builds.write_pages()
    await builds.write_pages()
    names = {path.name for path in builds.webroot.root.rglob("*.whl")}
    assert names == {"demo-1.0-py3-none-any.whl", "demo-4.0-py3-none-any.whl"}
    page = (builds.webroot.simple_dir("demo") / "index.v1_json").read_text()
    assert "demo-2.0" not in page


async def test_a_removed_release_says_why_and_can_be_brought_back(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0"])
    await count_days(builds, range(1, 91))
    old = rules(builds, releases_per_project=1)
    await old.apply(dry_run=False)
    release = next(
        item for item in await catalog.stored_releases(builds.db, "demo") if item.version == "1.0"
    )
    assert release.skip_reason is not None
    assert release.skip_reason.startswith("removed by retention")
    assert await retention_queries.bring_back(builds.db, "demo", "1.0") == 1
    assert await builds.queued() == [("demo", "1.0")]
    wheel = await builds.build("other bytes")
    assert wheel.build_tag == 1, "the name stays reserved for its former content"
    assert of(await old.apply(dry_run=False), "wheels of old releases").count == 0


async def test_a_farm_that_counts_no_downloads_keeps_its_wheels(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0"])
    done = of(
        await rules(builds, releases_per_project=1).apply(dry_run=False), "wheels of old releases"
    )
    assert (done.count, done.note != "") == (0, True)
    assert await listed(builds) == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("days", "note"),
    [
        (range(90), "the first day was"),
        ([0, 90], "on 1 of the last 90 days"),
        ([*range(1, 40), *range(50, 100)], "on 80 of the last 90 days"),
        ([*range(1, 40), *range(49, 100)], ""),
        (range(1, 91), ""),
    ],
)
async def test_wheels_are_kept_unless_logs_were_read_for_the_whole_period(
    builds: Builds, days: Sequence[int], note: str
) -> None:
    await old_releases(builds, ["1.0", "2.0"])
    await count_days(builds, days)
    done = of(
        await rules(builds, releases_per_project=1).apply(dry_run=False), "wheels of old releases"
    )
    assert note in done.note
    assert (done.count, done.note != "") == ((0, True) if note else (1, False))
    assert await listed(builds) == (["1.0", "2.0"] if note else ["2.0"])


async def test_imported_totals_do_not_say_which_wheels_are_in_use(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0"])
    await count_days(builds, range(100))
    await builds.db.execute("UPDATE downloads_daily SET index_hits = 0, imported = 5")
    await rules(builds, releases_per_project=1).apply(dry_run=False)
    assert await listed(builds) == ["1.0", "2.0"]


async def test_releases_that_cannot_be_built_again_keep_their_wheels(builds: Builds) -> None:
    await old_releases(builds, ["1.0", "2.0"])
    await count_days(builds, range(1, 91))
    await builds.db.execute("UPDATE releases SET sdist_url = NULL WHERE version = '1.0'")
    await rules(builds, releases_per_project=1).apply(dry_run=False)
    assert await listed(builds) == ["1.0", "2.0"]


def set_age(path: Path, days: int) -> None:
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


async def test_old_logs_are_removed_but_the_current_ones(builds: Builds) -> None:
    await old_releases(builds, ["1.0"])
    await builds.db.execute("UPDATE files SET rebuild_requested = true")
    await target_queries.recompute_jobs(builds.db)
    await builds.db.execute("SELECT recompute_jobs(ARRAY['demo'], ARRAY['1.0'])")
    await builds.build("second")
    unknown = builds.webroot.log_path(100)
    for path in (unknown, builds.webroot.log_page_path(100)):
        builds.webroot.write(path, b"log of a removed release")
    await builds.db.execute("UPDATE builds SET ended_at = %(at)s", {"at": OLD})
    await builds.db.execute("DELETE FROM files WHERE build_tag = 0")
    for path in builds.webroot.root.rglob("*.gz"):
        set_age(path, 500)
    old = rules(builds, log_days=400)
    dry = of(await old.apply(dry_run=True), "logs")
    done = of(await old.apply(dry_run=False), "logs")
    assert dry == done
    rows = await builds.db.rows("SELECT build_id FROM builds ORDER BY build_id")
    first, second = (builds.webroot.log_path(row["build_id"]) for row in rows)
    assert (first.exists(), second.exists(), unknown.exists()) == (False, True, False)
    assert done.count == 2


async def test_files_that_were_moved_aside_are_deleted_by_the_day_of_that(builds: Builds) -> None:
    folder = builds.folder / "spool" / "moved-aside"
    for day in ("2020-01-01", f"{NOW:%Y-%m-%d}", "notes"):
        (folder / day / "packages").mkdir(parents=True)
        (folder / day / "packages" / "file").write_bytes(b"1234")
    done = of(await rules(builds, moved_aside_days=30).apply(dry_run=False), "moved files")
    assert (done.count, done.size_bytes) == (1, 4)
    assert sorted(path.name for path in folder.iterdir()) == [f"{NOW:%Y-%m-%d}", "notes"]


async def test_moved_files_are_not_looked_at_on_the_event_loop(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_loop: list[bool] = []
    is_file = Path.is_file

    def recorded(path: Path) -> bool:
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        return is_file(path)

    folder = builds.folder / "spool" / "moved-aside" / "2020-01-01"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    monkeypatch.setattr(Path, "is_file", recorded)
    await rules(builds, moved_aside_days=30).apply(dry_run=True)
    assert on_the_loop
    assert not any(on_the_loop)


async def test_the_rules_are_applied_once_a_day(builds: Builds) -> None:
    events: list[str] = []

    async def record(text: str) -> None:
        events.append(text)

    await old_releases(builds, ["1.0", "2.0"])
    await count_days(builds, range(1, 91))
    daily = DailyRetention(builds.db, config_with(builds.folder, releases_per_project=1), record)
    assert (await daily.apply_if_due(), await daily.apply_if_due()) == (True, False)
    await builds.db.execute(
        "UPDATE key_values SET value = %(later)s WHERE key = 'retention/applied-at'",
        {"later": (datetime.now(UTC) + timedelta(days=300)).isoformat()},
    )
    assert await daily.apply_if_due(), "the clock that said so was set back"
    assert len(events) == 1
    assert events[0].startswith("retention removed 1 wheels of old releases")


async def test_a_fault_of_a_rule_does_not_end_the_daily_work(
    builds: Builds, caplog: pytest.LogCaptureFixture
) -> None:
    async def record(_: str) -> None:
        raise AssertionError("nothing was removed")

    config = config_with(builds.folder, moved_aside_days=10**6)  # beyond what a date can be
    daily = DailyRetention(builds.db, config, record)
    assert not await daily.apply_if_due()
    assert "OverflowError" in caplog.text
    await builds.db.execute("ALTER TABLE downloads_daily RENAME TO other")
    daily.config = config_with(builds.folder, releases_per_project=1)
    with pytest.raises(psycopg.errors.UndefinedTable):
        await daily.apply_if_due()


@pytest.mark.parametrize("seed", range(6))
async def test_a_dry_run_says_what_the_real_run_removes(builds: Builds, seed: int) -> None:
    chance = random.Random(seed)
    await target_queries.add_target(builds.db, HERE, RULES)
    expected: set[str] = set()
    keep = chance.randint(1, 3)
    counted = await _random_counts(builds, chance)
    for project in ("alpha", "beta", "gamma"):
        used = await _random_releases(builds, project, chance)
        newest_first = sorted(used, key=lambda name: used[name][0], reverse=True)
        if counted:
            expected |= {name for name in newest_first[keep:] if not used[name][1]}
    old = rules(builds, releases_per_project=keep)
    dry = await old.apply(dry_run=True)
    before = await _filenames(builds)
    real = await old.apply(dry_run=False)
    assert dry == real
    assert before - await _filenames(builds) == expected
    assert of(real, "wheels of old releases").count == len(expected)
    assert of(await old.apply(dry_run=True), "wheels of old releases").count == 0


async def _random_counts(builds: Builds, chance: random.Random) -> bool:
    """Days with counts; whether these are all days but a tenth since the beginning of the period.

    The days on which _random_releases counts downloads are among them in any case.
    """
    first, gap = chance.choice([60, 89, 90, 150]), chance.choice([0, 9, 10])
    lost = chance.sample([day for day in range(1, first) if day != 20], gap)
    days = {20, *range(first + 1)} - set(lost)
    await count_days(builds, days)
    return max(days) >= 90 and len(days & set(range(1, 91))) >= 81


async def _random_releases(
    builds: Builds, project: str, chance: random.Random
) -> dict[str, tuple[int, bool]]:
    """Releases with wheels: by file name, the day of the release and whether it is in use."""
    found: dict[str, tuple[int, bool]] = {}
    for number in range(chance.randint(0, 5)):
        await catalog.add_project(builds.db, project, project)
        release = make_release(project, f"{number}.0")
        await catalog.add_releases(builds.db, [release], RULES)
        job = await job_queue.claim(builds.db, "builder", [HERE.name])
        assert job is not None
        wheel = make_wheel(job, "py3-none-any")
        assert await complete_as_built(builds.db, job, "builder", wheel)
        day, published, downloaded = (
            chance.randint(200, 900) * 10 + number,
            chance.choice([10, 500]),
            chance.choice([0, 20, 200]),
        )
        facts = {"filename": wheel.filename, "version": job.version, "project": project}
        await builds.db.execute(
            """
            UPDATE files SET published_at = %(at)s WHERE filename = %(filename)s
            """,
            {**facts, "at": NOW - timedelta(days=published)},
        )
        await builds.db.execute(
            """
            UPDATE releases SET released_at = %(at)s
             WHERE project = %(project)s AND version = %(version)s
            """,
            {**facts, "at": NOW - timedelta(days=9999 - day)},
        )
        if downloaded:
            await count_download(builds, wheel.filename, NOW - timedelta(days=downloaded))
        found[wheel.filename] = (day, published < 90 or 0 < downloaded < 90)
    return found


async def _filenames(builds: Builds) -> set[str]:
    return {row["filename"] for row in await builds.db.rows("SELECT filename FROM files")}
