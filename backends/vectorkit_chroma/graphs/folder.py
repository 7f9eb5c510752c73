"""A folder's graphs, before Chroma starts and after it was stopped."""

import logging
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vectorkit.errors import BackendError
from vectorkit_chroma.graphs import log
from vectorkit_chroma.graphs.database import (
    FILE,
    Segments,
    keep_log,
    keeps_log,
    opened,
    segments,
    transaction,
)
from vectorkit_chroma.graphs.files import Stats, TornError, UnknownFormatError, flush, read, stats
from vectorkit_chroma.graphs.ledger import Ledger, boot_id, flush_names

__all__ = ["GraphFolder", "Prepared", "discard"]

_LOG: Final = logging.getLogger("vectorkit")
_SPARE: Final = 20_000
"""Rows of the log, beyond one for each record, from which on it is reduced."""


@dataclass(frozen=True)
class Prepared:
    """What there is to know of a folder once Chroma may start.

    Attributes:
        saves: Whether Chroma may save graphs here.
        torn: Why the graph of a collection must not be loaded, by the collection's UUID; all of them are other
            people's.
    """

    saves: bool
    torn: dict[str, str] = field(default_factory=dict[str, str])


class GraphFolder:
    """The graphs of one folder; its lock is held by the caller, and Chroma is not running on it.

    Args:
        path: The folder.
        place: What it is called in messages.
    """

    def __init__(self, path: Path, place: str) -> None:
        self._path = path
        self._place = place
        self._ledger = Ledger()

    def is_new(self) -> bool:
        """Whether Chroma has not made its tables here yet."""
        path = self._path / FILE
        if not path.exists() or not path.stat().st_size:
            return True
        with opened(self._path, self._place) as database:
            return keeps_log(database) is None

    def prepare(self) -> Prepared:
        """Have the log kept and every graph of ours whole.

        Raises:
            BackendError: A graph is torn, and the log does not hold all of its vectors: nothing was changed. Or the
                disk is full, or SQLite fails.
            BackendPermissionError: The folder cannot be written.
            BackendUnavailableError: Another process keeps the database locked.
        """
        with opened(self._path, self._place) as database:
            before = Ledger.of(self._path)
            self._ledger = Ledger(reduced=before.reduced if before else 0)
            kept = keeps_log(database)
            torn: dict[str, str] = {}
            try:
                if kept is None:
                    raise UnknownFormatError("its setting for deleting from the log is not where it was")
                for each in segments(database):
                    if each.ours:
                        self._prepare(database, each, before, complete=not kept)
                    elif reason := self._torn(each):
                        torn[each.collection] = reason
                        _LOG.warning(
                            "%s: the saved graph of collection %r, which another program made, is torn (%s)",
                            self._place,
                            each.name,
                            reason,
                        )
                if not kept:
                    keep_log(database)
                self._shorten_log(database)
                saves = True
            except UnknownFormatError as error:
                _LOG.warning(
                    "%s: Chroma does not store graphs as it did up to 1.5.9 (%s), so none will be saved here: "
                    "writes and opening take longer, nothing is lost",
                    self._place,
                    error,
                )
                saves = False
        self._ledger.running, self._ledger.boot = True, boot_id()
        self._ledger.write(self._path)
        return Prepared(saves, torn)

    def stopped(self) -> None:
        """Record what the graphs look like, after Chroma was stopped with every call of it successful."""
        with opened(self._path, self._place) as database:
            for each in segments(database):
                found = stats(self._path / each.vector)
                if found is not None and found != self._ledger.whole.get(each.vector):
                    flush(self._path / each.vector)
                    self._ledger.whole[each.vector] = found
            self._trim(database)
        self._ledger.running, self._ledger.boot = False, None
        self._ledger.write(self._path)

    # --- one collection -----------------------------------------------------------------------------------------

    def _prepare(self, database: sqlite3.Connection, each: Segments, before: Ledger | None, *, complete: bool) -> None:
        folder = self._path / each.vector
        seen = stats(folder)
        if seen is not None and not complete and _known_whole(before, each.vector, seen):
            self._ledger.whole[each.vector] = seen
            return
        try:
            graph = read(folder)
            if graph is None and each.saved is not None and log.live_ids(database, each):
                raise TornError("it is missing")
            if graph is not None:
                if complete:
                    with transaction(database):
                        log.complete(database, each, graph, min(each.saved or 0, each.written or 0))
                # What a process that was killed wrote is there in the order in which it wrote it; else it may not be.
                elif not _killed(before) and (reason := log.differs(database, each, graph)):
                    raise TornError(reason)
        except TornError as error:
            reason = str(error)
        else:
            reason = None
        if reason is not None:  # here, as until the end of `except` the error would hold the files open
            self._rebuild(database, each, reason)
        elif seen is not None:
            flush(folder)
            self._ledger.whole[each.vector] = seen

    def _rebuild(self, database: sqlite3.Connection, each: Segments, reason: str) -> None:
        """Throw a graph away, so that Chroma makes it anew from the log, which must hold all of its vectors."""
        written = each.written or 0
        last = log.last_vectors(database, each, upto=written)
        if lacking := len(log.live_ids(database, each).symmetric_difference(last)):
            raise BackendError(
                f"{self._place}: the saved graph of collection {each.name!r} is torn ({reason}), and Chroma's log "
                f"lacks the vectors of {lacking:,} records, so it cannot be made anew; nothing was changed. Restore "
                f"the folder from a backup, or see what can be had: vectorkit repair {self._place}"
            )
        discard(database, self._path, each, last)
        _LOG.warning(
            "%s: the saved graph of collection %r was torn (%s); it is made anew from the log",
            self._place,
            each.name,
            reason,
        )

    def _torn(self, each: Segments) -> str | None:
        """Why a graph of another program's collection must not be loaded."""
        folder = self._path / each.vector
        seen = stats(folder)
        try:
            graph = read(folder)
        except TornError as error:
            return str(error)
        except UnknownFormatError:
            return None  # by a version of Chroma that is not known here, which may well read it
        if graph is not None and seen is not None:
            self._ledger.whole[each.vector] = seen
        return None

    # --- the log ------------------------------------------------------------------------------------------------

    def _shorten_log(self, database: sqlite3.Connection) -> None:
        """Reduce the log of our collections where it has grown, and trim that of others."""
        self._trim(database)
        (highest,) = database.execute("SELECT coalesce(max(seq_id), 0) FROM embeddings_queue").fetchone()
        (records,) = database.execute("SELECT count(*) FROM embeddings").fetchone()
        if highest - self._ledger.reduced <= records + _SPARE:
            return
        for each in segments(database):
            if each.ours and each.vector in self._ledger.whole and each.saved is not None and each.written is not None:
                with transaction(database):
                    # Only if the log holds every record: else it is needed as it is, to be completed.
                    if log.last_vectors(database, each, upto=each.written).keys() == log.live_ids(database, each):
                        upto = min(each.saved, each.written)
                        log.reduce(database, each, log.last_vectors(database, each, upto=upto), upto)
        self._ledger.reduced = highest

    def _trim(self, database: sqlite3.Connection) -> None:
        for each in segments(database):
            if not each.ours and each.saved is not None and each.written is not None:
                log.trim(database, each)


def discard(database: sqlite3.Connection, path: Path, each: Segments, last: dict[str, int]) -> None:
    """Take a graph away. Where a process dies in it, the next opening finds it torn or missing, and goes on."""
    folder, aside = path / each.vector, path / f"{each.vector}.torn"
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
        flush_names(path)
    with transaction(database):
        log.reduce(database, each, last, each.written or 0)
        database.execute("DELETE FROM max_seq_id WHERE segment_id = ?", (each.vector,))
    shutil.rmtree(aside, ignore_errors=True)


def _killed(before: Ledger | None) -> bool:
    """Whether the last process that used the folder ended without order, and since then the machine did not."""
    return before is not None and before.running and before.boot is not None and before.boot == boot_id()


def _known_whole(before: Ledger | None, vector: str, seen: Stats) -> bool:
    """Whether the files are those that were recorded as whole; after a loss of power, times and sizes do not tell."""
    return before is not None and before.whole.get(vector) == seen and (not before.running or _killed(before))
