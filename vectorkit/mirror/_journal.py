"""The journal: what the second store has yet to take over, on disk before the first store has it.

It holds which records were touched, not what was written: what a record is to be is read from the first store when its
turn comes. So an entry may stand for a write that failed, or be applied twice, and order within a collection matters
for its being made and dropped alone.
"""

import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from vectorkit.errors import BackendError
from vectorkit.mirror._lock import FileLock
from vectorkit.paths import make_folder, make_private
from vectorkit.types import CollectionInfo

__all__ = ["Entry", "Journal", "Kind", "mark_of"]

T = TypeVar("T")

Kind: TypeAlias = Literal["ids", "whole", "drop"]

_APPLICATION: Final = 0x766B6D31
"""Of ours, in the header of the file; other programs' files are not written to (SQLite, "PRAGMA application_id")."""

_IDS: Final = 500
"""The most ids of an entry."""

_AT_ONCE: Final = 1000
"""Ids that are taken over at once, about."""

_SCHEMA: Final = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    mark TEXT NOT NULL,
    kind TEXT NOT NULL,
    ids TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX entries_by_name ON entries (name, seq);
CREATE TABLE pairs (
    name TEXT NOT NULL,
    first TEXT NOT NULL, -- the mark of a collection of the first store
    second TEXT NOT NULL, -- and of the one of the second store that is kept equal to it
    PRIMARY KEY (name, first)
) STRICT;
CREATE TABLE sides (
    first TEXT NOT NULL, -- what the first store is called
    second TEXT NOT NULL
) STRICT;
"""


def mark_of(info: CollectionInfo) -> str:
    """What tells a collection from all others of its name: two stores may count generations alike."""
    return f"{info.generation} in {info.location}"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something of the first store that the second one may lack.

    Attributes:
        name: Of the collection.
        mark: The collection's in the first store, see `mark_of`.
        kind: `"ids"`: these records, and that the collection exists; `"whole"`: all records; `"drop"`: that the
            collection is gone.
        ids: At most 500.
    """

    name: str
    mark: str
    kind: Kind
    ids: tuple[str, ...] = ()

    @classmethod
    def of_ids(cls, name: str, mark: str, ids: Sequence[str]) -> "list[Entry]":
        """Entries of any number of ids."""
        starts = range(0, len(ids), _IDS)
        return [cls(name, mark, "ids", tuple(ids[start : start + _IDS])) for start in starts]


class Journal:
    """A file of entries, in the order they were made, and of the pairs of collections.

    SQLite of the standard library in WAL mode with `synchronous = FULL`: an entry is on disk when `append` returns,
    also if the machine loses power, at the cost of one `fsync`.

    An interrupt (Ctrl-C, `MemoryError`) may come between any two steps, so work is done within `with lock`, where none
    can come between a step and its guard, and what was being written then is looked at anew by the next use.

    Args:
        path: The file; it is made, with its folder, if there is none. Not on a network drive.

    Attributes:
        lock: Held while the journal is looked at or written.
        changed: Notified when something is written; of `lock`.

    Raises:
        BackendUnavailableError: Another mirror has it open.
        BackendError: The file cannot be used, as of every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._open: dict[int, tuple[str, weakref.ref[object]]] = {}
        self._versions: dict[str, int] = {}
        self._doubtful = False  # whether a transaction may be open, and `_waiting` be wrong
        try:
            make_folder(path.parent)
            make_private(path)
        except OSError as error:
            raise self._unusable(error) from error
        self._file_lock = FileLock(path.with_name(f"{path.name}.lock"), f"the journal {str(path)!r}")
        try:
            self._connection = _connected(path)
            self._waiting = _counted(self._connection)
        except (sqlite3.Error, OSError) as error:
            self._file_lock.release()
            raise self._unusable(error) from error
        except BaseException:
            self._file_lock.release()
            raise

    @property
    def depth(self) -> int:
        """The number of entries."""
        with self.lock:
            return sum(self._waiting.values())

    def append(self, entries: Iterable[Entry], write: object) -> None:
        """Write entries, all or none.

        `next` leaves them alone until `finish` is called with the same `write`, or that is no more.
        """

        def work(connection: sqlite3.Connection) -> None:
            for entry in entries:
                number = _inserted(connection, entry)
                self._open[number] = entry.name, weakref.ref(write)  # before it is on disk
                self._touch(entry.name)
                self._waiting[entry.name] = self._waiting.get(entry.name, 0) + 1

        self._write(work)

    def finish(self, write: object) -> None:
        """Say that the first store has what the entries of a write stand for, or never will; again: nothing."""
        with self.lock:
            for number in [number for number, (_, each) in self._open.items() if each() is write]:
                self._touch(self._open[number][0])
                del self._open[number]
            self.changed.notify_all()

    def next(self, resting: Collection[str]) -> list[tuple[int, Entry]]:
        """The first entries of a collection that can be taken over together: one, or several of ids.

        Args:
            resting: Names of collections that are passed over.
        """

        def work(connection: sqlite3.Connection) -> list[tuple[int, Entry]]:
            for name in self._waiting:
                if name not in resting and (found := self._first(connection, name)):
                    return found
            return []

        return self._read(work)

    def _first(self, connection: sqlite3.Connection, name: str) -> list[tuple[int, Entry]]:
        rows = connection.execute(
            "SELECT seq, mark, kind, ids FROM entries WHERE name = ? ORDER BY seq LIMIT 200", [name]
        )
        found: list[tuple[int, Entry]] = []
        ids = 0
        for number, mark, kind, listed in rows:
            entry = Entry(name, mark, kind, tuple(json.loads(listed)))
            first = found[0][1] if found else entry
            if self._is_open(number) or (entry.mark, entry.kind) != (first.mark, first.kind):
                break
            found.append((number, entry))
            ids += len(entry.ids)
            if entry.kind != "ids" or ids >= _AT_ONCE:
                break
        return found

    def _is_open(self, number: int) -> bool:
        """Whether the write of an entry is under way: an interrupt may have kept it from saying that it is over."""
        _, write = self._open.get(number, ("", None))
        return write is not None and write() is not None

    def remove(self, numbers: Sequence[int], name: str) -> None:
        """Remove entries of a collection: the second store has what they stand for."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM entries WHERE seq = ?", [(number,) for number in numbers])
            if left := self._waiting.pop(name) - len(numbers):
                self._waiting[name] = left  # at the end: the other collections come first
            for number in numbers:
                self._open.pop(number, None)

        with self.lock:
            self._write(work)
            self.changed.notify_all()

    def state(self, name: str) -> tuple[int, bool]:
        """A number that grows when a write to a collection begins and when it ends, and whether an entry is waiting."""
        with self.lock:
            return self._versions.get(name, 0), name in self._waiting

    def pairs(self) -> dict[tuple[str, str], str]:
        """Marks of collections of the second store, by name and mark of those of the first."""

        def work(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
            rows = connection.execute("SELECT name, first, second FROM pairs")
            return {(name, first): second for name, first, second in rows}

        return self._read(work)

    def pair(self, name: str, first: str, second: str) -> None:
        """Note that two collections are to be kept equal, and that the second has yet to be filled: both or none."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", [name, first, second])
            _inserted(connection, Entry(name, first, "whole"))
            self._waiting[name] = self._waiting.get(name, 0) + 1

        self._write(work)

    def forget(self, name: str, first: str) -> None:
        """Note that a collection of the first store, and the one that was equal to it, are gone."""
        self._write(
            lambda connection: connection.execute("DELETE FROM pairs WHERE name = ? AND first = ?", [name, first])
        )

    def swap(self) -> None:
        """Let the first store be the second, and the second the first."""

        def work(connection: sqlite3.Connection) -> None:
            turned = connection.execute("SELECT name, second, first FROM pairs").fetchall()
            connection.execute("DELETE FROM pairs")
            connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", turned)
            connection.execute("UPDATE sides SET first = second, second = first")

        self._write(work)

    def sides(self) -> tuple[str, str] | None:
        """What the first and the second store were called when the journal was last used; None if it is new."""

        def work(connection: sqlite3.Connection) -> tuple[str, str] | None:
            found: tuple[str, str] | None = connection.execute("SELECT first, second FROM sides").fetchone()
            return found

        return self._read(work)

    def name_sides(self, first: str, second: str) -> None:
        """Note what the first and the second store are called."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM sides")
            connection.execute("INSERT INTO sides VALUES (?, ?)", [first, second])

        self._write(work)

    def close(self) -> None:
        """Close the file; to be called in the process that opened it."""
        with self.lock:
            self._connection.close()
        self._file_lock.release()

    def _touch(self, name: str) -> None:
        self._versions[name] = self._versions.get(name, 0) + 1

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self.lock:
            try:
                self._settle()
                return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """One transaction, on disk at the end."""
        with self.lock:
            try:
                self._settle()
                self._doubtful = True
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    work(self._connection)
                    self._connection.execute("COMMIT")
                    self._doubtful = False
                except BaseException:
                    self._settle()  # where that is interrupted too, the next use does it
                    raise
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error

    def _settle(self) -> None:
        """Take back what of a transaction was not committed, and count anew, if the last one did not end."""
        if self._doubtful:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._waiting = _counted(self._connection)
            self._doubtful = False

    def _unusable(self, error: Exception) -> BackendError:
        return BackendError(
            f"the journal {str(self._path)!r} cannot be used ({type(error).__name__}: {error}); see that it can be "
            "written and the disk is not full, or give another path"
        )


def _counted(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of entries of each collection."""
    return dict(connection.execute("SELECT name, count(*) FROM entries GROUP BY name ORDER BY min(seq)"))


def _inserted(connection: sqlite3.Connection, entry: Entry) -> int:
    row = (entry.name, entry.mark, entry.kind, json.dumps(entry.ids))
    done = connection.execute("INSERT INTO entries (name, mark, kind, ids) VALUES (?, ?, ?, ?)", row)
    assert done.lastrowid is not None
    return done.lastrowid


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise BackendError(f"{str(path)!r} is another program's SQLite file; give another path")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not tables:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
