"""What must be true of a farm that has nothing more to do."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from piwheels.audit.finding import ReportedFinding
from piwheels.db.database import Database
from piwheels.webroot import Webroot, files_beside, wheel_of
from tests.crashes.farm import CrashFarm

#: Queries that return nothing when the farm has nothing to do.
_WORK = {
    "jobs": """
        SELECT project, version, claimed_by, retry_at::text FROM jobs
         WHERE claimed_by IS NOT NULL OR (hold_reason IS NULL AND NOT parked)
    """,
    "changed pages": "SELECT page_kind, page_key FROM page_invalidations WHERE page_key <> ''",
    # The list of projects (key '') is written once a minute.
    "pages": "SELECT page_kind, page_key FROM page_queue WHERE dirty AND page_key <> ''",
    "deletions": "SELECT filename FROM file_deletions",
}


async def open_work(db: Database, farm: CrashFarm) -> dict[str, list[Any]]:
    """What the farm has yet to do."""
    found: dict[str, list[Any]] = {
        name: await db.rows(f"{query} LIMIT 3") for name, query in _WORK.items()
    }
    read = await db.value("SELECT coalesce(sum(position), 0)::bigint FROM ingested_logs")
    written = farm.soak.access_log.stat().st_size + farm.web_server.size_bytes
    found["access log"] = [] if read >= written else [f"{read} of {written} bytes"]
    return {name: rows for name, rows in found.items() if rows}


async def faults(db: Database, farm: CrashFarm, removed: set[tuple[str, str]]) -> list[str]:
    """Everything that is wrong with a farm that has nothing to do.

    Args:
        db: its database.
        farm: its processes and files.
        removed: releases that were removed, by project and version.
    """
    return [
        *await _lost_builds(db, farm, removed),
        *await _wrong_queue(db),
        *await _wrong_counts(db, farm),
        *await _wrong_files(db, farm),
        *await _wrong_logs(db, farm),
        *_litter(farm),
        *farm.orphans(),
    ]


class _Audit(msgspec.Struct, frozen=True):
    """What `piw audit --json` prints."""

    findings: tuple[ReportedFinding, ...]


async def audit_findings(farm: CrashFarm) -> list[str]:
    """What `piw audit` finds in a farm that has nothing to do, by the real command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piwheels", "audit", "--json", "--restart"),
        *("--config", str(farm.soak.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode not in {0, 1}:
        return [f"piw audit ended with {process.returncode}: {errors.decode()[-1500:]}"]
    found = msgspec.json.decode(output, type=_Audit).findings
    return [f"piw audit: {it.problem} {it.path} ({it.project}): {it.detail}" for it in found]


async def _lost_builds(db: Database, farm: CrashFarm, removed: set[tuple[str, str]]) -> list[str]:
    there = {row["build_id"] for row in await db.rows("SELECT build_id FROM builds")}
    told = farm.acknowledged_builds()
    lost = [build for build in told.keys() - there if told[build] not in removed]
    without_file = await db.rows(
        """
        SELECT b.build_id FROM builds b
         WHERE b.outcome = 'built'
           AND NOT EXISTS (
               SELECT FROM files f WHERE f.project = b.project AND f.version = b.version)
        """
    )
    refused = await db.rows("SELECT build_id, reason FROM builds WHERE outcome = 'refused'")
    return [
        *(f"build {build} was reported as recorded, and is lost" for build in lost),
        *(f"build {row['build_id']} has no file" for row in without_file),
        *(f"build {row['build_id']} was refused: {row['reason']}" for row in refused),
    ]


async def _wrong_queue(db: Database) -> list[str]:
    rows = await db.rows(
        """
        SELECT j.project, j.version, j.target FROM jobs j WHERE j.claimed_by IS NULL
        EXCEPT SELECT project, version, target FROM wanted_jobs
        """
    )
    missing = await db.rows(
        """
        SELECT project, version, target FROM wanted_jobs
        EXCEPT SELECT project, version, target FROM jobs
        """
    )
    return [f"nobody wants the job {row}" for row in rows] + [
        f"a job is missing: {row}" for row in missing
    ]


async def _wrong_counts(db: Database, farm: CrashFarm) -> list[str]:
    counts, piped = farm.soak.traffic.counts, farm.web_server.lines
    expected = {
        "lines": counts.lines + piped,
        "rejected_lines": counts.rejected,
        "downloads": sum(counts.downloads.values()) + piped,
    }
    found = await db.row(
        """
        SELECT coalesce(sum(lines), 0)::bigint AS lines,
               coalesce(sum(rejected_lines), 0)::bigint AS rejected_lines,
               (SELECT coalesce(sum(counted), 0)::bigint FROM downloads_daily) AS downloads
          FROM ingested_logs
        """
    )
    return [] if found == expected else [f"accesses: {found} instead of {expected}"]


async def _wrong_files(db: Database, farm: CrashFarm) -> list[str]:
    """Published files that are not there or not named by their page, and files that nobody knows."""
    webroot, client = Webroot(farm.www), farm.client
    rows = await db.rows("SELECT project, filename, sha256, metadata_sha256 FROM files")
    known: dict[Path, str] = {}
    wrong = []
    for row in rows:
        wheel = webroot.wheel_path(row["sha256"], row["filename"])
        known[wheel] = row["sha256"]
        known[files_beside(wheel)[1]] = row["metadata_sha256"]
        for name in ("index.html", "index.v1_json"):
            page = webroot.simple_dir(row["project"]) / name
            if not page.exists() or row["filename"].encode() not in page.read_bytes():
                wrong.append(f"{page} does not name {row['filename']}")
    wrong += [
        f"{path} is missing or wrong" for path in known if client.sha256_of(path) != known[path]
    ]
    packages = farm.www / "packages"
    for path in packages.rglob("*") if packages.exists() else ():
        if path.is_dir():
            wrong += [f"{path} is empty"] if not any(path.iterdir()) else []
        elif path.with_name(wheel_of(path.name)) not in known:
            wrong.append(f"nobody knows {path}")
    return wrong


async def _wrong_logs(db: Database, farm: CrashFarm) -> list[str]:
    webroot = Webroot(farm.www)
    rows = await db.rows("SELECT build_id FROM builds WHERE outcome IN ('built', 'failed')")
    return [
        f"{webroot.log_path(row['build_id'])} is missing or empty"
        for row in rows
        if not webroot.log_path(row["build_id"]).exists()
    ]


def _litter(farm: CrashFarm) -> list[str]:
    spool = farm.disk / "spool"
    places = [
        *(path for path in farm.www.rglob(".*") if path.suffix == ".new"),
        *(path for name in ("logs", "") for path in (spool / name).glob("*") if path.is_file()),
        *(path for path in spool.glob("[0-9]*")),
        *(farm.disk / "jobs").glob("*"),
        *farm.disk.rglob("*.tmp"),
    ]
    return [f"{path} was left" for path in places]
