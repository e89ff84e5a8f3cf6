"""Compares the bucket of `publish.target` with the web root, in both directions.

The web root is authoritative; the other parts compare it with the database. Of both sides, a batch
of files with their objects and a part of a listing are held in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from piwheels.audit import tree
from piwheels.audit.errors import AuditError
from piwheels.audit.finding import Finding, Problem, Repair
from piwheels.audit.session import Session
from piwheels.bucket.site_objects import (
    LocalFile,
    is_immutable,
    is_stored_plain,
    key_of,
    read_local,
)
from piwheels.bucket.store import Store, StoredObject
from piwheels.db import audit_queries, bucket_changes
from piwheels.object_storage.errors import BucketError
from piwheels.object_storage.files import MAX_HELD_BYTES
from piwheels.webroot import gz_path

#: So many objects are asked for at the same time.
_BATCH = 16
_ROWS = 1000


async def audit_copies(session: Session, after: str) -> None:
    """Look for each file of the web root, after a key, in the bucket.

    Raises:
        AuditError: the bucket does not answer.
    """
    if session.bucket is None:
        return
    keys = _keys_of_projects(session) if session.options.projects else _keys_of_tree(session, after)
    batch: list[str] = []
    async for key in keys:
        batch.append(key)
        if len(batch) == _BATCH:
            await _check_batch(session, session.bucket, batch)
            session.checkpoint(key, 0.0)
            batch.clear()
    await _check_batch(session, session.bucket, batch)


async def audit_objects(session: Session, after: str) -> None:
    """Look for each object of the bucket in the web root; `after` is not used: listings are quick.

    Raises:
        AuditError: the bucket does not answer.
    """
    del after
    if session.bucket is None:
        return
    projects = session.options.projects
    prefixes = [f"{part}/{name}" for name in projects for part in ("simple", "project")] or [""]
    try:
        for prefix in prefixes:
            async for part in session.bucket.list(prefix):
                for item in part:
                    await _check_object(session, session.bucket, item.key)
    except BucketError as error:
        raise _stopped(error) from None


def _stopped(error: BucketError) -> AuditError:
    return AuditError(f"{error}; the audit stopped at the bucket, run it again")


# --- files, and their objects ---


async def _keys_of_tree(session: Session, after: str) -> AsyncIterator[str]:
    passed = after.split("/") if after else []
    keys = _walk(session.webroot.root, "")
    while batch := await asyncio.to_thread(lambda: list(islice(keys, _ROWS))):
        for key in batch:
            if key.split("/") > passed:
                yield key


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """The keys of all files of a directory, in the order of their parts."""
    names = {}
    for entry in tree.list_dir(folder):
        if entry.name.startswith(".") or not tree.is_text(entry.name):
            continue
        if entry.is_file:
            names[key_of(f"{prefix}{entry.name}").rpartition("/")[2]] = False
        elif entry.kind is tree.EntryKind.FOLDER:
            names[entry.name] = True
    for name in sorted(names):
        if names[name]:
            yield from _walk(folder / name, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"


async def _keys_of_projects(session: Session) -> AsyncIterator[str]:
    after = ("", "")
    projects = session.options.projects
    while rows := await audit_queries.published_files_of(session.db, projects, after, _ROWS):
        for row in rows:
            wheel = session.webroot.wheel_path(row.sha256, row.filename)
            for entry in tree.list_dir(wheel.parent):
                yield session.relative(wheel.with_name(entry.name))
        after = (rows[-1].sha256, rows[-1].filename)
    for name in projects:
        for key in _walk(session.webroot.simple_dir(name), f"simple/{name}/"):
            yield key
        for key in _walk(session.webroot.project_dir(name), f"project/{name}/"):
            yield key


async def _check_batch(session: Session, store: Store, keys: Sequence[str]) -> None:
    try:
        objects = await asyncio.gather(*(store.head(key) for key in keys))
    except BucketError as error:
        raise _stopped(error) from None
    for key, stored in zip(keys, objects, strict=True):
        await _check_copy(session, key, stored)


async def _check_copy(session: Session, key: str, stored: StoredObject | None) -> None:
    try:
        local = await asyncio.to_thread(read_local, session.webroot.root, key, MAX_HELD_BYTES)
    except OSError:
        return  # the parts before said so
    if local is None:
        return  # deleted just now
    await session.compared(read_bytes=local.size_bytes)
    detail = _difference(local, stored)
    if not detail or await _is_pending(session, key, local.path):
        return
    is_other = stored is not None and is_immutable(key) and stored.sha256 != local.sha256
    await session.found(
        Finding(
            problem=Problem.MISSING if stored is None else Problem.WRONG,
            path=key,
            project="",
            detail=detail,
            repair=Repair.NONE if is_other else Repair.COPY,
        )
    )


def _difference(local: LocalFile, stored: StoredObject | None) -> str:
    """How an object differs from its file; "" if it does not."""
    if stored is None:
        return "the bucket lacks it"
    if stored.size_bytes != local.size_bytes:
        return f"the bucket has {stored.size_bytes} bytes of it, not {local.size_bytes}"
    if stored.sha256 != local.sha256:
        return "the bucket has other bytes of it"
    if stored.headers != local.headers:
        return "the bucket has it with other headers"
    return ""


async def _is_pending(session: Session, key: str, path: Path) -> bool:
    """Whether the follower is about to copy it: a change waits, or the file was just written."""
    if await bucket_changes.is_key_pending(session.db, key):
        return True
    entry = tree.look(path)
    return entry is not None and session.is_fresh(entry)


# --- objects, and their files ---


async def _check_object(session: Session, store: Store, key: str) -> None:
    if await asyncio.to_thread(_is_there, session.webroot.root, key):
        return
    if await bucket_changes.is_key_pending(session.db, key):
        return
    stored = await store.head(key)
    if stored is None or await asyncio.to_thread(_is_there, session.webroot.root, key):
        return
    await session.found(
        Finding(
            problem=Problem.EXTRA,
            path=key,
            project="",
            detail=(
                "the bucket has a copy of what is no longer in the web root"
                if stored.sha256
                else "the bucket has it, and no follower put it there"
            ),
            repair=Repair.COPY if stored.sha256 else Repair.NONE,
        )
    )


def _is_there(root: Path, key: str) -> bool:
    paths: Iterable[Path] = (
        (root / key,) if is_stored_plain(key) else (root / key, gz_path(root / key))
    )
    return any(path.is_file() for path in paths)
