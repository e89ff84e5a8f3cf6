"""What the finder of a console waits for among 300,000 projects."""

import random
import statistics
import time

import pytest

from piwheels.control.project_search import MAX_HITS, ProjectSearch
from piwheels.db import target_queries
from piwheels.db.database import Database
from tests.browser.factories import project_names
from tests.db.scenario import RULES, TARGETS

PROJECTS = 300_000
_SEARCHES = 400
#: Three releases of some projects; of the newest a wheel of every second one, or a failed build.
_RELEASES = """
    INSERT INTO requires_python_specifiers VALUES ('') ON CONFLICT DO NOTHING;
    INSERT INTO wheel_compatibilities VALUES ('any', 'py3-none-any', '', true);
    INSERT INTO compatible_targets SELECT 'any', target, 1 FROM targets;
    INSERT INTO releases (project, version, released_at, requires_python)
    SELECT project, v || '.0', now() - make_interval(days => 10 - v), ''
      FROM projects, generate_series(1, 3) v WHERE hashtext(project) % 10 = 0;
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, duration_s, attempt, build_inputs)
    SELECT row_number() OVER (), project, '3.0', (SELECT min(target) FROM targets), 'pi1',
           CASE WHEN row_number() OVER () % 2 = 0 THEN 'built' ELSE 'failed' END, false, '',
           now(), 1, 1, '{}'
      FROM releases WHERE version = '3.0';
    INSERT INTO reserved_filenames (filename, sha256)
    SELECT project || '.whl', '' FROM builds WHERE outcome = 'built';
    INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                       requires_python, debian_packages, project, version, build_id)
    SELECT project || '.whl', '', 1, '', 'any', '', '{}', project, version, build_id
      FROM builds WHERE outcome = 'built';
"""


async def _fill(db: Database) -> list[str]:
    for target in TARGETS:
        await target_queries.add_target(db, target, RULES)
    found = dict(project_names(PROJECTS))
    await db.execute("SET session_replication_role = replica")  # pages and jobs do not matter here
    await db.execute(
        """
        INSERT INTO projects (project, display_name)
        SELECT name, name FROM unnest(%(names)s::text[]) AS n (name)
        """,
        {"names": list(found)},
    )
    await db.execute(
        """
        INSERT INTO downloads_by_project (project, downloads, saved_s)
        SELECT name, number, 0 FROM unnest(%(names)s::text[], %(numbers)s::bigint[]) AS n (name, number)
        """,
        {"names": list(found), "numbers": list(found.values())},
    )
    for statement in _RELEASES.split(";")[:-1]:
        await db.execute(statement)
    await db.execute("SET session_replication_role = DEFAULT")
    await db.execute("ANALYZE")
    return list(found)


def _typed(names: list[str], chance: random.Random) -> str:
    """What somebody types who looks for a project, or mistypes it."""
    name = chance.choice(names[:1000]) if chance.random() < 0.3 else chance.choice(names)
    text = name[: chance.randint(1, len(name))]
    kind = chance.random()
    if kind < 0.2:  # a part of it
        return name[chance.randrange(len(name)) :]
    if kind < 0.4:  # some of its letters
        return "".join(letter for letter in name if chance.random() < 0.7)
    if kind < 0.5:  # nothing has this name
        return text + "qx"
    return text


@pytest.mark.slow
async def test_searches_of_300_000_projects(database: Database) -> None:
    names = await _fill(database)
    search = ProjectSearch(database, database)
    began = time.perf_counter()
    first = await search.find("numpy")
    print(f"\nthe first search, which reads all names: {time.perf_counter() - began:.2f} s")
    assert first.projects == len(names)
    assert first.hits[0].project == "numpy"
    assert first.hits[0].targets > 0
    chance, times_ms, own_ms = random.Random(1), [], []
    for _ in range(_SEARCHES):
        typed = _typed(names, chance)
        began, own = time.perf_counter(), time.process_time()
        reply = await search.find(typed)
        own_ms.append((time.process_time() - own) * 1000)
        times_ms.append((time.perf_counter() - began) * 1000)
        assert len(reply.hits) <= MAX_HITS
    p50, p95 = statistics.median(times_ms), statistics.quantiles(times_ms, n=20)[-1]
    print(
        f"{_SEARCHES} searches: p50 {p50:.1f} ms, p95 {p95:.1f} ms, at most {max(times_ms):.1f} ms"
    )
