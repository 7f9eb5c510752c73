"""Examining and repairing a folder by hand: the collections of others too, and folders that only they use."""

import logging
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from vectorkit.maintenance import CollectionCondition, StoreCondition
from vectorkit_chroma.connections.lock import FolderLock
from vectorkit_chroma.graphs import log
from vectorkit_chroma.graphs.database import (
    FILE,
    Segments,
    keeps_log,
    opened,
    require_chroma,
    segments,
    transaction,
)
from vectorkit_chroma.graphs.files import Graph, TornError, UnknownFormatError, read, salvaged, stored_bytes
from vectorkit_chroma.graphs.folder import discard

__all__ = ["examine", "repair"]

_LOG: Final = logging.getLogger("vectorkit")


def examine(path: Path, place: str) -> StoreCondition:
    """Look at a folder, changing nothing."""
    with _locked(path, place) as database:
        found = [_examined(database, path, each)[0] for each in segments(database)]
        return _condition(database, path, place, found)


def repair(path: Path, place: str) -> StoreCondition:
    """Throw torn graphs away whose vectors can all be had, so that Chroma makes them anew."""
    with _locked(path, place) as database:
        found: list[CollectionCondition] = []
        for each in segments(database):
            condition, _ = _examined(database, path, each)
            found.append(_repaired(database, path, each, condition) if condition.state == "torn" else condition)
        return _condition(database, path, place, found)


@contextmanager
def _locked(path: Path, place: str) -> Generator[sqlite3.Connection]:
    require_chroma(path, place)
    lock = FolderLock(path, place)
    try:
        lock.acquire()
        with opened(path, place) as database:
            yield database
    finally:
        lock.release()


def _condition(
    database: sqlite3.Connection, path: Path, place: str, found: list[CollectionCondition]
) -> StoreCondition:
    return StoreCondition(place, keeps_log(database) is True, (path / FILE).stat().st_size, tuple(found))


def _examined(database: sqlite3.Connection, path: Path, each: Segments) -> tuple[CollectionCondition, Graph | None]:
    """The condition of a collection, and its graph if that is whole."""
    folder = path / each.vector
    live, last = log.live_ids(database, each), log.last_vectors(database, each, upto=each.written or 0)
    (rows,) = database.execute("SELECT count(*) FROM embeddings_queue WHERE topic = ?", (each.topic,)).fetchone()
    condition = CollectionCondition(each.name, not each.ours, "unsaved", "", len(live), 0, rows, stored_bytes(folder))
    complete = live == last.keys()
    graph = None
    try:
        graph = read(folder)
        if graph is not None and complete and (reason := log.differs(database, each, graph)):
            raise TornError(reason)
        if graph is None and each.saved is not None and live:
            raise TornError("it is missing")
    except TornError as error:
        reason = str(error)
    except UnknownFormatError as error:
        return replace(condition, state="unknown", detail=str(error)), None
    else:
        if graph is None:
            return replace(condition, lacking=len(live.difference(last))), None
        lacking = len(live.difference(last, graph.ids.values()))
        return replace(condition, state="whole", lacking=lacking), graph
    parts = salvaged(folder)
    lacking = len(live.difference(last, parts.ids.values() if parts else ()))
    return replace(condition, state="torn", detail=reason, lacking=lacking), None


def _repaired(
    database: sqlite3.Connection, path: Path, each: Segments, condition: CollectionCondition
) -> CollectionCondition:
    if condition.lacking:
        return replace(condition, repaired="left as it is, as its vectors are nowhere else")
    written = each.written or 0
    saved = 0
    if (parts := salvaged(path / each.vector)) is not None:
        with transaction(database):
            saved = log.complete(database, each, parts, written)
    discard(database, path, each, log.last_vectors(database, each, upto=written))
    how = f", {saved:,} vectors from what could be read of the graph" if saved else ""
    return replace(
        condition,
        state="unsaved",
        log_rows=database.execute("SELECT count(*) FROM embeddings_queue WHERE topic = ?", (each.topic,)).fetchone()[0],
        index_bytes=0,
        repaired=f"thrown away; Chroma makes it anew from its log when it is next used{how}",
    )
