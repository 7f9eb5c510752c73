"""Chroma's log of writes: what its rows amount to, and how it is reduced, completed and compared with a graph.

Every function works in the caller's transaction.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

import numpy as np

from vectorkit.types import FloatArray
from vectorkit_chroma.graphs.database import Segments
from vectorkit_chroma.graphs.files import Graph

__all__ = ["complete", "differs", "last_vectors", "live_ids", "reduce", "trim"]

T = TypeVar("T")

_ADD: Final = 0
_UPDATE: Final = 1
_UPSERT: Final = 2
_DELETE: Final = 3

_HIGHEST: Final = 2**63 - 1

_COMPARED: Final = 2000
_CLOSE: Final = 1e-5
"""How far float32 vectors that Chroma scaled to length 1 may be from the same, scaled in float64."""


def last_vectors(
    database: sqlite3.Connection, segments: Segments, *, upto: int = _HIGHEST, after: int = 0, ids: Iterable[str] = ()
) -> dict[str, int]:
    """The number of the row that holds each id's last vector, as Chroma would come to it from the log.

    Args:
        database: Chroma's.
        segments: The collection.
        upto: Only rows up to this number.
        after: Only rows beyond this number.
        ids: What is there before the first row is read; the vectors of these have number 0.
    """
    last = dict.fromkeys(ids, 0)
    for number, operation, id, has_vector in database.execute(
        "SELECT seq_id, operation, id, vector IS NOT NULL FROM embeddings_queue"
        " WHERE topic = ? AND seq_id > ? AND seq_id <= ? ORDER BY seq_id",
        (segments.topic, after, upto),
    ):
        if operation == _DELETE:
            last.pop(id, None)
        elif has_vector and (operation == _UPSERT or (id in last) == (operation == _UPDATE)):
            last[id] = number
    return last


def live_ids(database: sqlite3.Connection, segments: Segments) -> set[str]:
    """The ids of the records that Chroma has, as of `segments.written`."""
    found = database.execute("SELECT embedding_id FROM embeddings WHERE segment_id = ?", (segments.metadata,))
    return {id for (id,) in found}


def reduce(database: sqlite3.Connection, segments: Segments, last: dict[str, int], upto: int) -> int:
    """Keep one row of the log for each record: its last vector. Returns how many rows went.

    Args:
        database: Chroma's.
        segments: The collection.
        last: What `last_vectors` says, up to `upto`.
        upto: What both halves of the collection, or the half in SQLite alone where the graph is made anew, have read.
    """
    with _numbers(database, last.values()) as kept:
        # The highest row of all stays: SQLite would give its number again, and Chroma would pass over that write.
        gone = database.execute(
            f"DELETE FROM embeddings_queue WHERE topic = ? AND seq_id <= ? AND seq_id NOT IN {kept}"
            " AND seq_id < (SELECT max(seq_id) FROM embeddings_queue)",
            (segments.topic, upto),
        ).rowcount
        # Rows of an update would be nothing without the row before them. The metadata is in Chroma's tables by now.
        database.execute(
            f"UPDATE embeddings_queue SET operation = {_UPSERT}, metadata = '{{}}' WHERE seq_id IN {kept}"
            f" AND (operation <> {_UPSERT} OR metadata <> '{{}}')"
        )
    return gone


def trim(database: sqlite3.Connection, segments: Segments) -> int:
    """Delete what Chroma would delete of its log if it were not told to keep it. Returns how many rows went."""
    upto = min(segments.saved or 0, segments.written or 0)
    return database.execute(
        "DELETE FROM embeddings_queue WHERE topic = ? AND seq_id < ?", (segments.topic, upto)
    ).rowcount


def complete(database: sqlite3.Connection, segments: Segments, graph: Graph, upto: int) -> int:
    """Write into the log the vectors that it lacks, from a graph. Returns how many.

    The log lacks them if Chroma was not told to keep it, or somebody had it delete what was saved (`chroma vacuum`).
    Free numbers up to `upto` are used, which is what Chroma has read: it reads these rows only if it makes the graph
    anew. There are enough of them, as each record had a row once.
    """
    labels = {id: label for label, id in graph.ids.items()}
    lacking = [id for id in live_ids(database, segments).difference(last_vectors(database, segments)) if id in labels]
    taken = {number for (number,) in database.execute("SELECT seq_id FROM embeddings_queue WHERE seq_id <= ?", (upto,))}
    free = (number for number in range(1, upto) if number not in taken)
    for part in _batched(lacking):
        vectors = graph.given([labels[id] for id in part], cosine=segments.cosine).astype("<f4")
        database.executemany(
            "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding, metadata)"
            f" VALUES (?, {_UPSERT}, ?, ?, ?, 'FLOAT32', '{{}}')",
            [
                (number, segments.topic, id, vector.tobytes())
                for number, id, vector in zip(islice(free, len(part)), part, vectors, strict=True)
            ],
        )
    return len(lacking)


def differs(database: sqlite3.Connection, segments: Segments, graph: Graph) -> str | None:
    """How a graph, with what Chroma will read of the log once it has loaded it, differs from the whole log; or None.

    A loss of power may keep what a process wrote later and lose what it wrote before: files of another moment that fit
    together, or old vectors among new links.
    """
    wanted = last_vectors(database, segments)
    found = last_vectors(database, segments, after=segments.saved or 0, ids=graph.ids.values())
    if wanted.keys() != found.keys():
        return f"with it there would be {len(found)} records, by the log {len(wanted)}"
    labels = {id: label for label, id in graph.ids.items()}
    kept = [wanted[id] for id, number in found.items() if not number]
    with _numbers(database, kept) as numbers:
        rows = database.execute(f"SELECT id, vector FROM embeddings_queue WHERE seq_id IN {numbers}")
        for part in _batched(rows):
            vectors = np.frombuffer(b"".join(vector for _, vector in part), dtype="<f4")
            if vectors.size != len(part) * graph.dimension:
                return "its vectors and those in the log differ in length"
            stored = graph.vectors[[graph.rows[labels[id]] for id, _ in part]]
            if not _same(stored, vectors.reshape(-1, graph.dimension), cosine=segments.cosine):
                return "it holds other vectors than the log"
    return None


def _same(stored: FloatArray, given: FloatArray, *, cosine: bool) -> bool:
    if not cosine:
        return bool(np.array_equal(stored, given))
    lengths = np.sqrt(np.square(given, dtype=np.float64).sum(axis=1, keepdims=True))
    return bool((np.abs(stored - given / np.where(lengths == 0, 1.0, lengths)) <= _CLOSE).all())


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    """Parts of a bounded size."""
    source = iter(values)
    while part := list(islice(source, _COMPARED)):
        yield part


@contextmanager
def _numbers(database: sqlite3.Connection, numbers: Iterable[int]) -> Generator[str]:
    """A subquery for these numbers."""
    database.execute("CREATE TEMP TABLE vectorkit_numbers (number INTEGER PRIMARY KEY)")
    try:
        database.executemany("INSERT INTO vectorkit_numbers VALUES (?)", ((number,) for number in numbers))
        yield "(SELECT number FROM vectorkit_numbers)"
    finally:
        database.execute("DROP TABLE vectorkit_numbers")
