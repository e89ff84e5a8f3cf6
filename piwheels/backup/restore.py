"""Restores a backup: database, configuration and keys, and then the web root is compared.

The database is restored in one transaction, which also marks the restore as unfinished: no master
starts until the rest is done, and the same command again continues there.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from piwheels.audit.moved_aside import MovedAside
from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.backup import archive as members
from piwheels.backup import tree
from piwheels.backup.archive import Archive, BackupError, open_archive
from piwheels.backup.backup import Progress
from piwheels.backup.database_dump import load_database, programs_for_restore
from piwheels.backup.tree import TreeRepair, TreeReport
from piwheels.config import LoadedConfig, load
from piwheels.config.sections import MasterSection
from piwheels.config.sources import DEFAULT_CONFIG_FILE, find_config_file
from piwheels.db import own_webroot, restored
from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.db.restored import TargetDatabase, locked_target
from piwheels.formatting import join_words, pluralize
from piwheels.model import Struct
from piwheels.provenance import signing_keys
from piwheels.sanitize import strip_controls
from piwheels.webroot import Webroot, make_dir, replace_file
from piwheels.webroot.tree_epoch import read_epoch
from piwheels.webroot.tree_farm import FARM_FILE, read_farm
from piwheels.wheel.tags import PackagingRules

#: Builds that began after the backup, and whose logs are not here, had numbers up to this many
#: higher for each day since then. Their builders may still offer them.
_BUILDS_PER_DAY = 100_000
#: At most these permissions, whatever an archive says: keys are private, and a configuration is
#: read by a group at most, because it may have a password.
_KEY_MODE = 0o600
_CONFIG_MODE = 0o640
#: Settings whose values are not shown.
_SECRET_SETTINGS = frozenset({"database.dsn", "builder.join_token"})


class RestoreOptions(Struct, frozen=True, kw_only=True):
    """What a restore may do."""

    force: bool = False  # replace a database, a configuration and keys
    keep_config: bool = False  # use the configuration of this machine
    backup_key_dir: bool = False  # write keys wherever the backup's configuration has them
    dry_run: bool = False
    hashes: bool = True  # of all wheels in the web root are compared
    complete_tree: bool = False  # the web root has all wheels that were ever published
    allow_empty: bool = False  # build all wheels again, if the web root has none
    other_webroot: bool = False  # the web root may be that of another farm


class RestoreResult(Struct, frozen=True, kw_only=True):
    """What a restore did, or with `dry_run` would do."""

    identifier: str
    created_at: datetime
    program_version: str
    config_file: str  # that was written; "" for none
    key_dir: str
    keys: int
    left_out: tuple[str, ...]  # files of the backup beside its keys, such as open invitations
    wheels: int  # in the backup's list
    next_build_id: int
    tree: TreeReport
    aside: str  # the folder of what was moved aside
    replaced: tuple[str, ...]  # what --force replaces, or would


class ConfigResult(Struct, frozen=True, kw_only=True):
    """What the restore of a configuration did, or with `dry_run` would do."""

    config_file: str
    changed: tuple[str, ...]  # the settings that differ from the former ones, one line for each


class _File(NamedTuple):
    """A file to restore."""

    path: Path
    content: bytes
    mode: int


class _Plan(NamedTuple):
    loaded: LoadedConfig
    config_file: Path | None  # that is restored
    files: list[_File]  # those that differ from what is there
    existing: list[str]  # what would be replaced


async def restore_backup(
    path: Path,
    config_file: Path | None,
    overrides: Mapping[str, Any],
    options: RestoreOptions,
    progress: Progress,
) -> RestoreResult:
    """Restore a farm; nothing is changed before all of the archive was checked.

    Args:
        path: the archive.
        config_file: where the configuration goes; None: where one is found, or the default.
        overrides: settings from the command line, by key.
        options: what may be replaced.
        progress: is told what is being done.

    Raises:
        PiwheelsError: the archive cannot be used, something exists that would be replaced, or the
            database or a file cannot be written.
    """
    with open_archive(path) as archive:
        progress("checking the archive")
        archive.check()
        target_file = None if options.keep_config else _config_target(archive, config_file)
        plan = _plan(archive, target_file, config_file, overrides, options)
        if not options.dry_run:
            _check_config_folder(plan)
        webroot = Webroot(plan.loaded.config.webroot.root)
        next_build = tree.highest_build_with_log(webroot) + _reserve(archive) + 1
        dsn = plan.loaded.config.database.dsn
        async with locked_target(dsn, lock=not options.dry_run) as database:
            is_continued = database.unfinished == archive.manifest.identifier
            existing = [*plan.existing, *([] if is_continued else _tables(database))]
            if existing and not (options.force or options.dry_run):
                raise BackupError(
                    f"nothing was restored, because it would replace {join_words(existing)}: use "
                    "--force to replace what is there, or --keep-config for this configuration"
                )
            _check_own(archive, database, webroot, options)
            _check_not_empty(archive, webroot, options)
            if not options.dry_run:
                _make_folders(plan)
                if not is_continued:
                    await _restore_database(archive, plan.loaded, database, next_build, progress)
                _write_files(plan, archive)
        report = await _compare_tree(archive, plan.loaded, options, progress)
        return _result(archive, plan, next_build, report, existing)


def restore_config(path: Path, config_file: Path | None, options: RestoreOptions) -> ConfigResult:
    """Restore only the configuration, which root writes and the farm's account reads.

    Args:
        path: the archive.
        config_file: where the configuration goes; None: where one is found, or the default.
        options: what may be replaced.

    Raises:
        PiwheelsError: the archive cannot be used or has no configuration, or one that differs
            exists and would be replaced.
    """
    with open_archive(path) as archive:
        archive.check()
        target = _config_target(archive, config_file)
        if target is None:
            raise BackupError(f"{path} has no configuration: restore it without --only-config")
        plan = _plan(archive, target, config_file, {}, options)
        former = load(target) if target.is_file() else None
        changed = tuple(_changed_settings(former, plan.loaded))
        files = [file for file in plan.files if file.path == target]
        if former and files and not (options.force or options.dry_run):
            raise BackupError(
                f"nothing was restored, because it would replace {target}: use --force to replace "
                "it, and before that --dry-run to see what would change"
            )
        if not options.dry_run:
            _write_files(plan._replace(files=files), archive)
        return ConfigResult(config_file=str(target), changed=changed)


def _changed_settings(former: LoadedConfig | None, new: LoadedConfig) -> Iterator[str]:
    """One line for each setting that another configuration changes."""
    values = {it.key: it.value for it in former.settings} if former else {}
    for it in new.settings:
        before = values.get(it.key, it.value if it.origin == "default" else "")
        if str(before) != str(it.value) and it.key not in _SECRET_SETTINGS:
            yield strip_controls(f"{it.key}: {before} -> {it.value}")
        elif str(before) != str(it.value):
            yield f"{it.key}: another one"


def _check_config_folder(plan: _Plan) -> None:
    """Whether this account may write the configuration, if it has to.

    Raises:
        BackupError: it may not.
    """
    file = plan.config_file
    if file is None or all(it.path != file for it in plan.files):
        return
    folder = next(it for it in file.parents if it.exists())
    if not os.access(folder, os.W_OK, effective_ids=True):
        raise BackupError(
            f"nothing was restored: this account may not write {file}. Let root do that first, by "
            "this command with --only-config, and repeat it with --keep-config"
        )


def _check_own(
    archive: Archive, database: TargetDatabase, webroot: Webroot, options: RestoreOptions
) -> None:
    """Refuse the web root of another farm, whose files would be moved aside.

    Raises:
        BackupError: it is neither that of the backup's farm nor that of the database.
    """
    found = read_farm(webroot.root)
    known = {"", archive.manifest.farm, database.farm}
    if found is not None and found.farm not in known and not options.other_webroot:
        raise BackupError(
            f"{webroot.root} is the web root of another farm than the backup's, as its {FARM_FILE} "
            "says: is the right file system mounted? If it is to be this farm's from now on, use "
            "--other-webroot; nothing was restored"
        )


def _check_not_empty(archive: Archive, webroot: Webroot, options: RestoreOptions) -> None:
    """Refuse to build all wheels again because their disk is not mounted, or not copied yet.

    Raises:
        BackupError: the web root has no wheel, and the backup lists some.
    """
    if options.dry_run or options.allow_empty or not archive.manifest.wheels:
        return
    if not any(True for _ in tree.wheels_in(webroot)):
        raise BackupError(
            f"{webroot.root} has no wheels, and the backup lists "
            f"{archive.manifest.wheels}: copy or mount it first, or build all of them again with "
            "--allow-empty; nothing was restored"
        )


def _reserve(archive: Archive) -> int:
    days = (datetime.now(UTC) - archive.manifest.created_at).days
    return (max(days, 0) + 1) * _BUILDS_PER_DAY


def _tables(database: TargetDatabase) -> list[str]:
    if not database.tables:
        return []
    return [f"the database, which has {pluralize(database.tables, 'table')}"]


def _config_target(archive: Archive, config_file: Path | None) -> Path | None:
    """Where the configuration goes; None if the backup has none."""
    if members.CONFIG not in archive:
        return None
    named = config_file or os.environ.get("PIWHEELS_CONFIG")
    found = Path(named) if named else find_config_file(None, os.environ)
    return (found or DEFAULT_CONFIG_FILE).absolute()


def _plan(
    archive: Archive,
    target_file: Path | None,
    config_file: Path | None,
    overrides: Mapping[str, Any],
    options: RestoreOptions,
) -> _Plan:
    files: list[_File] = []
    if target_file is None:
        loaded = load(config_file, options=overrides)
    else:
        content = archive.read(members.CONFIG)
        loaded = _load_in_place(target_file, content, overrides)
        if not options.backup_key_dir:
            _check_key_dir(loaded, target_file)
        mode = next(m.mode for m in archive.manifest.members if m.name == members.CONFIG)
        files.append(_File(target_file, content, mode & _CONFIG_MODE))
    key_dir = loaded.config.master.key_dir
    files += [
        _File(
            path := key_dir / key.name.removeprefix(members.KEYS),
            _restored_key(path, archive.read(key.name)),
            key.mode & _KEY_MODE,
        )
        for key in archive.key_members()
    ]
    changed = [file for file in files if _content(file.path) != file.content]
    existing = [str(file.path) for file in changed if _content(file.path) is not None]
    return _Plan(loaded, target_file, changed, existing)


def _restored_key(path: Path, content: bytes) -> bytes:
    """What a file of keys becomes; a signing key that was revoked since the backup stays so."""
    present = _content(path) if path.name == signing_keys.FILE_NAME else None
    return signing_keys.merge_restored(content, present) if present else content


def _load_in_place(path: Path, content: bytes, overrides: Mapping[str, Any]) -> LoadedConfig:
    """The configuration as it is when it is in its place: its paths are relative to that."""
    with tempfile.NamedTemporaryFile(prefix="piwheels-", suffix=".toml") as file:
        file.write(content)
        file.flush()
        return load(Path(file.name), options=overrides, folder=path.resolve().parent)


def _check_key_dir(backup: LoadedConfig, path: Path) -> None:
    """Let no archive choose where keys are written.

    Args:
        backup: the backup's configuration.
        path: where it goes.

    Raises:
        BackupError: it has keys neither where this machine has them nor in `keys` beside the
            configuration, which is the default.
    """
    setting = next(it for it in backup.settings if it.key == "master.key_dir")
    if setting.origin != str(backup.file):  # the environment, or the default
        return
    wanted, default = Path(os.path.normpath(setting.value)), MasterSection().key_dir
    if wanted in {default, path.resolve().parent / default.name}:
        return
    here = load(path).config.master.key_dir if path.is_file() else default
    if wanted != Path(os.path.normpath(here)):
        raise BackupError(
            f"nothing was restored: the backup's configuration has its keys in {wanted}, and this "
            f"machine in {here}: use --keep-config for this machine's configuration, or "
            "--backup-key-dir if the backup is your own"
        )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def _restore_database(
    archive: Archive,
    loaded: LoadedConfig,
    database: TargetDatabase,
    next_build: int,
    progress: Progress,
) -> None:
    manifest = archive.manifest
    programs = programs_for_restore(database.server_version, manifest.postgres_version)
    progress(f"restoring the database with pg_restore {programs.version}")
    await load_database(
        loaded.config.database.dsn,
        programs,
        archive.parts(members.DATABASE),
        restored.DROP_OBJECTS if database.tables else "",
        restored.finish_sql(manifest.identifier, next_build),
    )


def _make_folders(plan: _Plan) -> None:
    """Create the folders of configuration and keys, before the database is changed.

    Raises:
        OSError: one cannot be written.
    """
    folders = {plan.loaded.config.master.key_dir: 0o700}
    if plan.config_file:
        folders[plan.config_file.parent] = 0o755
    for folder, mode in folders.items():
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        if any(folder in file.path.parents for file in plan.files):
            tempfile.TemporaryFile(dir=folder).close()


def _write_files(plan: _Plan, archive: Archive) -> None:
    """Write configuration and keys; what is replaced is kept under another name."""
    key_dir = plan.loaded.config.master.key_dir
    for file in plan.files:
        before = _content(file.path)
        if before is not None:
            kept = _kept_path(file.path, key_dir, f".before-{archive.manifest.identifier}")
            replace_file(kept, before, mode=0o600)
        owner = _owner_of(file.path) if file.path == plan.config_file else None
        replace_file(file.path, file.content, mode=file.mode)
        if owner and os.geteuid() == 0:  # the daemons' account has to read it, by its group
            os.chown(file.path, *owner, follow_symlinks=False)


def _owner_of(path: Path) -> tuple[int, int]:
    """User and group of a file, or of its folder."""
    found = (path if path.exists() else path.parent).stat()
    return found.st_uid, found.st_gid


def _kept_path(path: Path, key_dir: Path, suffix: str) -> Path:
    """Where a replaced file is kept: a key not beside others, where it would be authorized."""
    if key_dir in path.parents:
        return key_dir.with_name(f"{key_dir.name}{suffix}") / path.relative_to(key_dir)
    return path.with_name(f"{path.name}{suffix}")


async def _compare_tree(
    archive: Archive, loaded: LoadedConfig, options: RestoreOptions, progress: Progress
) -> TreeReport:
    webroot = Webroot(loaded.config.webroot.root)
    if options.dry_run:
        return await asyncio.to_thread(_count_lacking, webroot, archive)
    dsn = loaded.config.database.dsn
    await upgrade(dsn)
    written = await asyncio.to_thread(read_epoch, webroot.root)
    async with await Database.connect(dsn, role="restore") as db:
        await restored.raise_epoch(db, written.epoch if written else 0)
    async with await Database.connect(dsn, role="restore", exclusive=True) as db:
        aside = _moved_aside(loaded)
        make_dir(webroot.root)
        await own_webroot.mark_own(db, webroot.root)
        repair = TreeRepair(db, webroot, PackagingRules(), aside, progress)
        report = await repair.run(archive)
        counts = await run_audit(
            db,
            webroot,
            loaded.config.master.spool_dir,
            AuditOptions(
                fix=True, hashes=options.hashes, restart=True, allow_empty=True, grace_s=0.0
            ),
            on_progress=lambda part, done, _: progress(f"auditing {part}: {done:.0%}"),
        )
        if not options.complete_tree:
            await restored.mark_unknown_names(db)
        await restored.mark_finished(db)
    return msgspec.structs.replace(report, repaired=counts.repaired)


def _count_lacking(webroot: Webroot, archive: Archive) -> TreeReport:
    count, size_bytes = 0, 0
    for wheel in tree.lacking(webroot, archive.wheels()):
        count += 1
        size_bytes += wheel.size_bytes
    return TreeReport(missing=count, missing_bytes=size_bytes)


def _moved_aside(loaded: LoadedConfig) -> MovedAside:
    """Where `piw audit` moves files, too."""
    return MovedAside.today(loaded.config.webroot.root, loaded.config.master.spool_dir)


def _result(
    archive: Archive, plan: _Plan, next_build: int, report: TreeReport, existing: list[str]
) -> RestoreResult:
    manifest = archive.manifest
    return RestoreResult(
        identifier=manifest.identifier,
        created_at=manifest.created_at,
        program_version=manifest.program_version,
        config_file=str(plan.config_file or ""),
        key_dir=str(plan.loaded.config.master.key_dir),
        keys=len(archive.key_members()),
        left_out=tuple(archive.other_files()),
        wheels=manifest.wheels,
        next_build_id=next_build,
        tree=report,
        aside=str(_moved_aside(plan.loaded).folder) if report.moved else "",
        replaced=tuple(existing),
    )
