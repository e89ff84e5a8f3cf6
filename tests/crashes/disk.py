"""The disk after a power cut: what was synced is there, and of the rest whatever a file system may keep.

recorder.c writes a journal of all changes below a folder. `Disk` replays it and knows what was synced, and
`cut` tells what may be found after a loss of power at that moment.
"""

import os
import random
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from piwheels.append_file import AppendFile

_MARK = struct.pack("<I", 0x5245C0FE)
_HEAD = struct.Struct("<4xcQQII")
#: What a test notes in a journal: what has to survive from here on.
NOTE = "X"


class Ordering(Enum):
    """What a file system keeps of changes of names that were not synced.

    JOURNALED: the first ones, in their order; a sync of any file writes all that came before, as on ext4.
    POSIX: of each directory the first ones; a sync of a file does not even write its name.
    """

    JOURNALED = auto()
    POSIX = auto()


class Record(NamedTuple):
    """A change; `number` is an offset, a length, a mode or an mtime in ns."""

    operation: str
    inode: int
    number: int
    first: bytes
    second: bytes


def read_journal(journal: Path) -> Iterator[Record]:
    """The complete records of a journal."""
    data, at = journal.read_bytes() if journal.exists() else b"", 0
    while (at := data.find(_MARK, at)) >= 0 and at + _HEAD.size <= len(data):
        operation, inode, number, first, second = _HEAD.unpack_from(data, at)
        start = at + _HEAD.size
        middle, at = start + first, start + first + second
        if at > len(data):
            return
        yield Record(operation.decode(), inode, number, data[start:middle], data[middle:at])


def add_note(journal: Path, note: bytes) -> None:
    """Append a note to a journal that is being written."""
    with AppendFile(journal) as file:
        file.write(_MARK + _HEAD.pack(NOTE.encode(), 0, 0, len(note), 0)[4:] + note)


@dataclass(eq=False)
class _Node:
    """A file, a link (`target`) or a directory (`names`)."""

    mode: int
    names: "dict[str, _Node] | None" = None
    target: str = ""
    synced: bytes = b""
    content: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut off there
    mtime_ns: int | None = None

    def write(self, offset: int, data: bytes | None) -> None:
        self.mtime_ns = None
        self.unsynced.append((offset, data))
        _change(self.content, offset, data)

    def sync(self) -> None:
        if self.unsynced:
            self.synced = bytes(self.content)
            self.unsynced.clear()


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


class _NameChange(NamedTuple):
    """A name that was set to a node, or removed (None); with a rename, the former name is removed."""

    folder: _Node
    name: str
    node: _Node | None
    old: tuple[_Node, str] | None = None

    def apply(self, names_of: Callable[[_Node], dict[str, _Node]]) -> None:
        if self.old and names_of(self.old[0]).get(self.old[1]) is self.node:
            del names_of(self.old[0])[self.old[1]]
        if self.node is None:
            names_of(self.folder).pop(self.name, None)
        else:
            names_of(self.folder)[self.name] = self.node


class Disk:
    """What is in a folder, and what of it is synced: all of it at first."""

    def __init__(self, root: Path, ordering: Ordering) -> None:
        self._path = root
        self._ordering = ordering
        self._by_inode: dict[int, _Node] = {}
        self._root = self._load(root)
        self._pending: list[_NameChange] = []  # changes of names that are not synced
        self._durable = self._copy_names(self._root)

    def _load(self, path: Path) -> _Node:
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISLNK(found.st_mode):
            node = _Node(mode, target=str(path.readlink()))
        elif stat.S_ISDIR(found.st_mode):
            entries = sorted(path.iterdir())
            node = _Node(
                mode,
                {it.name: self._load(it) for it in entries if it.is_file() or it.is_dir()},
            )
        else:
            content = path.read_bytes()
            node = _Node(mode, synced=content, content=bytearray(content))
            node.mtime_ns = found.st_mtime_ns
        self._by_inode[found.st_ino] = node
        return node

    def _copy_names(self, folder: _Node) -> dict[_Node, dict[str, _Node]]:
        names = folder.names or {}
        copied = {folder: dict(names)}
        for node in names.values():
            if node.names is not None:
                copied |= self._copy_names(node)
        return copied

    def replay(self, record: Record) -> None:
        """Carry out a record.

        Raises:
            LookupError: what it changes is not known: the process that made it was killed.
        """
        match record.operation:
            case "C" | "M":
                made = _Node(record.number, {} if record.operation == "M" else None)
                self._by_inode[record.inode] = made
                self._set(record.first, made)
            case "S":
                self._set(record.first, _Node(0o777, target=os.fsdecode(record.second)))
            case "D":
                self._set(record.first, None)
            case "R":
                self._set(record.second, self._find(record.first), record.first)
            case "L":
                self._set(record.second, self._find(record.first))
            case "A":
                self._sync_all()
            case _ if node := self._by_inode.get(record.inode):
                self._replay_change(node, record)

    def _replay_change(self, node: _Node, record: Record) -> None:
        match record.operation:
            case "W":
                node.write(record.number, record.first)
            case "T":
                node.write(record.number, None)
            case "U":
                node.mtime_ns = record.number
            case "H":
                node.mode = record.number
            case "F":
                self._sync(node)

    def _place(self, path: bytes) -> tuple[_Node, str]:
        relative = Path(os.fsdecode(path)).relative_to(self._path)
        folder = self._root
        for part in relative.parts[:-1]:
            folder = (folder.names or {})[part]
        return folder, relative.name

    def _find(self, path: bytes) -> _Node:
        folder, name = self._place(path)
        return (folder.names or {})[name]

    def _set(self, path: bytes, node: _Node | None, old: bytes | None = None) -> None:
        folder, name = self._place(path)
        change = _NameChange(folder, name, node, self._place(old) if old else None)
        change.apply(lambda it: it.names if it.names is not None else {})
        self._pending.append(change)

    def _sync(self, node: _Node) -> None:
        node.sync()
        everything = self._ordering is Ordering.JOURNALED
        left = []
        for change in self._pending:
            touched = {change.folder, change.old[0] if change.old else change.folder}
            if everything or node in touched:
                change.apply(self._durable_names)
            else:
                left.append(change)
        self._pending = left

    def _sync_all(self) -> None:
        for node in self._by_inode.values():
            node.sync()
        for change in self._pending:
            change.apply(self._durable_names)
        self._pending = []

    def _durable_names(self, folder: _Node) -> dict[str, _Node]:
        return self._durable.setdefault(folder, {})

    # --- the cut ---

    def cut(self, chance: random.Random) -> "Found":
        """What may be found after a loss of power now."""
        names = {folder: dict(inside) for folder, inside in self._durable.items()}
        for change in self._kept_changes(chance):
            change.apply(lambda folder: names.setdefault(folder, {}))
        found = Found(self._path)
        self._collect(self._root, self._path, names, found, chance)
        return found

    def _kept_changes(self, chance: random.Random) -> list[_NameChange]:
        if self._ordering is Ordering.JOURNALED:
            return self._pending[: chance.randint(0, len(self._pending))]
        by_folder: dict[_Node, list[_NameChange]] = {}
        for change in self._pending:
            by_folder.setdefault(change.folder, []).append(change)
        kept = {
            id(change)
            for changes in by_folder.values()
            for change in changes[: chance.randint(0, len(changes))]
        }
        return [change for change in self._pending if id(change) in kept]

    def _collect(
        self,
        folder: _Node,
        path: Path,
        names: dict[_Node, dict[str, _Node]],
        found: "Found",
        chance: random.Random,
    ) -> None:
        found.folders[path] = folder.mode
        for name, node in names.get(folder, {}).items():
            if node.names is not None:
                self._collect(node, path / name, names, found, chance)
            elif node.target:
                found.links[path / name] = node.target
            else:
                content = _kept_content(node, chance)
                found.files[path / name] = FoundFile(content, node.mode, node.mtime_ns)


class FoundFile(NamedTuple):
    """A file after the cut; its mtime is unknown if it was not set."""

    content: bytes
    mode: int
    mtime_ns: int | None


@dataclass
class Found:
    """A folder after a cut: its folders (with modes), files and symbolic links."""

    root: Path
    folders: dict[Path, int] = field(default_factory=dict)
    files: dict[Path, FoundFile] = field(default_factory=dict)
    links: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path].content

    def write(self) -> None:
        """Make the folder so."""
        for path in self.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for path, mode in self.folders.items():
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        for path, target in self.links.items():
            path.symlink_to(target)
        for path, file in self.files.items():
            path.write_bytes(file.content)
            path.chmod(file.mode)
            if file.mtime_ns is not None:
                os.utime(path, ns=(file.mtime_ns, file.mtime_ns))


def _kept_content(node: _Node, chance: random.Random) -> bytes:
    """What is left of a file: what was synced, and any part of what was written afterwards."""
    kind = chance.random()
    if not node.unsynced or kind < 0.3:
        return node.synced
    if kind < 0.5:
        return bytes(node.content)
    content = bytearray(node.synced)
    changes = node.unsynced[: chance.randint(1, len(node.unsynced))]
    for offset, data in changes[:-1]:
        _change(content, offset, data)
    offset, data = changes[-1]
    torn = data if data is None else data[: chance.randint(0, len(data))]
    if torn and chance.random() < 0.3:
        torn = bytes(len(torn))  # its size was written, and not its blocks
    _change(content, offset, torn)
    return bytes(content)
