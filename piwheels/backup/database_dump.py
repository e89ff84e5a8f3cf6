"""PostgreSQL's own programs: pg_dump writes the database, pg_restore and psql put it back."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from piwheels.backup.archive import BackupError
from piwheels.child_process import kill_process_group
from piwheels.db.database import split_password
from piwheels.system.postgres_programs import client_program_dirs, major_version, program_version

_CHUNK_BYTES = 1024 * 1024
#: The first minor versions whose pg_restore has psql run no commands but SQL (`\restrict`).
_FIRST_RESTRICTED = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6, **dict.fromkeys(range(13), 100)}
_PSQL_POSITION = re.compile(r"^psql:<stdin>:\d+: ")


class Programs(NamedTuple):
    """A directory with PostgreSQL's client programs, and their major version."""

    folder: Path
    version: int


def programs_for_backup(server_version: int) -> Programs:
    """The programs that can read a server: of its version, else the next newer one.

    Raises:
        BackupError: none is installed that can.
    """
    return _choose("pg_dump", [server_version], f"the server is PostgreSQL {server_version}")


def programs_for_restore(server_version: int, dump_version: int) -> Programs:
    """The programs that can read a dump: for this server, else the next newer ones.

    Raises:
        BackupError: none is installed that can.
    """
    reason = f"the backup was made with version {dump_version}"
    programs = _choose("pg_restore", [max(server_version, dump_version), dump_version], reason)
    for name in ("pg_restore", "psql"):
        version = program_version(programs.folder / name)
        if version is None or version[1] < _FIRST_RESTRICTED.get(version[0], 0):
            shown = ".".join(map(str, version)) if version else "of an unknown version"
            raise BackupError(
                f"{programs.folder / name} {shown} would run commands that a backup may contain "
                f"(CVE-2025-8714): upgrade postgresql-client-{programs.version} to "
                f"{programs.version}.{_FIRST_RESTRICTED.get(programs.version, 0)} or later"
            )
    return programs


def _choose(name: str, wanted: Sequence[int], reason: str) -> Programs:
    found = [
        Programs(folder, version)
        for folder in client_program_dirs()
        if (folder / name).exists() and (version := major_version(folder / name)) is not None
    ]
    for least in wanted:
        usable = [programs for programs in found if programs.version >= least]
        if usable:
            return min(usable, key=lambda programs: programs.version)
    if not found:
        raise BackupError(
            f"{name} is not installed; install PostgreSQL's client (postgresql-client)"
        )
    versions = ", ".join(str(programs.version) for programs in found)
    raise BackupError(
        f"{name} is installed in version {versions}, and {reason}: install "
        f"postgresql-client-{wanted[-1]}"
    )


async def dump_database(
    dsn: str, programs: Programs, snapshot: str, write: Callable[[bytes], object]
) -> None:
    """Write what a snapshot of a database holds, in pg_dump's custom format.

    Raises:
        BackupError: pg_dump failed.
    """
    address, environ = _address(dsn)
    with _error_file() as errors:
        process = await asyncio.create_subprocess_exec(
            programs.folder / "pg_dump",
            f"--dbname={address}",
            "--format=custom",
            "--no-owner",
            "--no-acl",
            f"--snapshot={snapshot}",
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        async with _killed_at_the_end(process):
            if process.stdout is not None:
                while part := await process.stdout.read(_CHUNK_BYTES):
                    write(part)
            if await process.wait():
                raise BackupError(_first_line(errors, "pg_dump"))


async def load_database(
    dsn: str, programs: Programs, dump: Iterable[bytes], before: str, after: str
) -> None:
    """Load a dump in one transaction, with SQL that precedes and follows it.

    Whatever ends this early, the server rolls back: the transaction is committed by the last line
    that psql reads.

    Raises:
        BackupError: a program failed; the database is unchanged.
    """
    address, environ = _address(dsn)
    with _error_file() as restore_errors, _error_file() as psql_errors:
        async with AsyncExitStack() as stack:
            restore = await asyncio.create_subprocess_exec(
                programs.folder / "pg_restore",
                *("--no-owner", "--no-acl", "--file=-"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=restore_errors,
                start_new_session=True,
            )
            await stack.enter_async_context(_killed_at_the_end(restore))
            psql = await asyncio.create_subprocess_exec(
                programs.folder / "psql",
                *(f"--dbname={address}", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
                "--file=-",
                env=environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=psql_errors,
                start_new_session=True,
            )
            await stack.enter_async_context(_killed_at_the_end(psql))
            try:
                await _feed(restore, psql, dump, before, after)
            except OSError:  # one of them has ended
                psql_failed = await _ended_by_itself(psql)
                name, errors = (
                    ("psql", psql_errors) if psql_failed else ("pg_restore", restore_errors)
                )
                raise BackupError(_first_line(errors, name)) from None
            if await psql.wait():
                raise BackupError(_first_line(psql_errors, "psql"))


async def _feed(
    restore: asyncio.subprocess.Process,
    psql: asyncio.subprocess.Process,
    dump: Iterable[bytes],
    before: str,
    after: str,
) -> None:
    """Pass the dump through pg_restore to psql, within a transaction.

    Raises:
        OSError: one of them ended before.
    """
    if restore.stdin is None or restore.stdout is None or psql.stdin is None:
        raise RuntimeError("a process has no pipe")
    feeding = asyncio.create_task(_write_all(restore.stdin, dump))
    try:
        await _write_all(
            psql.stdin,
            [f"BEGIN;\nSET client_min_messages = warning;\n{before}\n".encode()],
            close=False,
        )
        while part := await restore.stdout.read(_CHUNK_BYTES):
            await _write_all(psql.stdin, [part], close=False)
        await feeding
        if await restore.wait():
            raise BrokenPipeError
        await _write_all(psql.stdin, [f"\n{after}\nCOMMIT;\n".encode()])
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _write_all(
    pipe: asyncio.StreamWriter, parts: Iterable[bytes], *, close: bool = True
) -> None:
    for part in parts:
        pipe.write(part)
        await pipe.drain()
    if close:
        pipe.close()
        await pipe.wait_closed()


async def _ended_by_itself(process: asyncio.subprocess.Process) -> bool:
    """Whether a process ended although its input is open; it has a moment to do so."""
    try:
        async with asyncio.timeout(1):
            return bool(await process.wait())
    except TimeoutError:
        return False


@asynccontextmanager
async def _killed_at_the_end(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Kill a process that still runs at the end of the context."""
    try:
        yield
    finally:
        if process.returncode is None:
            await kill_process_group(process)


def _address(dsn: str) -> tuple[str, dict[str, str]]:
    """The DSN without its password, which every account could see, and the environment with it."""
    address, password = split_password(dsn)
    return address, {**os.environ, **({"PGPASSWORD": password} if password else {})}


@contextmanager
def _error_file() -> Iterator[IO[bytes]]:
    """Where a program writes its errors: a pipe that nobody reads would block it."""
    with tempfile.TemporaryFile() as file:
        yield file


def _first_line(errors: IO[bytes], name: str) -> str:
    errors.seek(0)
    lines = errors.read(65536).decode(errors="replace").strip().splitlines()
    reported = [line for line in lines if re.search(r"\b(ERROR|FATAL|error):", line)]
    return _PSQL_POSITION.sub("", next(iter(reported or lines), f"{name} failed"))
