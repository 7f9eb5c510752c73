"""One collection in memory: its records, as they are stored and as they are given out, and their words."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vectorkit.postings import Postings, Words, best
from vectorkit.ranking import rank
from vectorkit.types import Batch, Candidate, CollectionInfo, FloatArray, Hit, Json, Metadata, Metric, Patch, Record

__all__ = ["Change", "Row", "Stored", "candidates", "hit_of", "patched", "record_of", "rows_of", "stacked"]


class Row(NamedTuple):
    """A record but for its id; what it holds is shared with nobody."""

    document: str | None
    embedding: FloatArray
    metadata: Metadata


class Change(NamedTuple):
    """A write that has been decided.

    Attributes:
        rows: The rows that take the place of those of the same ids.
        gone: The ids whose rows are deleted.
        words: The words of the rows' documents, by id, if there is a text index.
    """

    rows: Mapping[str, Row]
    gone: Sequence[str]
    words: Mapping[str, Words | None]


@dataclass(slots=True)
class Stored:
    """A collection.

    An interrupt (Ctrl-C, `MemoryError`) may come between any two steps of a write. So a write is one assignment, to
    `change`; the steps that follow bring rows and words up to it. They can be repeated from wherever they ended, and
    `settle` does so before the collection is next used.

    Attributes:
        info: What is known about it.
        text: Its text index, if it has one.
        rows: Its records by id.
        change: A write whose steps may not all have been taken.
    """

    info: CollectionInfo
    text: Postings | None
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    change: Change | None = None

    def put(self, new: Mapping[str, Row]) -> None:
        """Write rows in place of those of the same ids; all of them or, if that fails, none."""
        words = {} if self.text is None else self.text.analysed({id: row.document for id, row in new.items()})
        self.change = Change(new, (), words)
        self.settle()

    def remove(self, ids: Sequence[str]) -> None:
        """Delete the records of these ids, which are stored; all of them or, if that fails, none."""
        self.change = Change({}, ids, {})
        self.settle()

    def settle(self) -> None:
        """Take the steps of the last write, unless they were all taken."""
        if self.change is None:
            return
        rows, gone, words = self.change
        if self.text is not None:
            self.text.remove(gone)
            self.text.put(words)
        for id in gone:
            self.rows.pop(id, None)
        self.rows.update(rows)
        self.change = None

    def documents(self) -> dict[str, str | None]:
        """The documents by id."""
        return {id: row.document for id, row in self.rows.items()}

    def text_scores(self, words: Sequence[str], among: Container[str]) -> dict[str, float]:
        """The BM25 score of each of the records `among` that holds one of the words, by id."""
        if self.text is None:
            return {}
        return {id: score for id, score in self.text.scores(words).items() if id in among}


def rows_of(batches: Iterable[Batch]) -> dict[str, Row]:
    """The rows of whole records."""
    return {
        id: Row(document, embedding.copy(), metadata)
        for batch in batches
        for id, document, embedding, metadata in zip(
            batch.ids, batch.documents, batch.embeddings, batch.metadatas, strict=True
        )
    }


def patched(row: Row, patch: Patch, index: int) -> Row:
    """The row with what a patch says at `index`."""
    if patch.documents is not None:
        row = row._replace(document=patch.documents[index])
    if patch.embeddings is not None:
        row = row._replace(embedding=patch.embeddings[index].copy())
    if patch.metadatas is not None:
        new = patch.metadatas[index]
        row = row._replace(metadata={**row.metadata, **new} if patch.merge else new)
    return row


def stacked(rows: Iterable[Row], dimension: int) -> FloatArray:
    """The vectors of rows, float32 of shape `(n, dimension)`."""
    return np.array([row.embedding for row in rows], dtype=np.float32).reshape(-1, dimension)


def record_of(id: str, row: Row, include_embeddings: bool) -> Record:
    """The record of a row, sharing nothing with it."""
    return Record(id, row.document, row.embedding.copy() if include_embeddings else None, _copied(row.metadata))


def hit_of(id: str, row: Row, score: float, distance: float | None, include_embeddings: bool) -> Hit:
    """The hit of a row, sharing nothing with it."""
    embedding = row.embedding.copy() if include_embeddings else None
    return Hit(id, score, distance, row.document, _copied(row.metadata), embedding)


def candidates(
    metric: Metric,
    query: FloatArray,
    rows: Mapping[str, Row],
    vectors: FloatArray,
    texts: Mapping[str, float],
    fetch_k: int,
    include_embeddings: bool,
) -> list[Candidate]:
    """The candidates of one hybrid search (rule 7.3), in order of distance.

    Args:
        metric: The metric.
        query: The query's vector.
        rows: The records that match, in ascending order of id.
        vectors: Their vectors.
        texts: The BM25 score of those of them that have one.
        fetch_k: How many of each side.
        include_embeddings: Whether the hits hold their vectors.
    """
    ids = list(rows)
    text_ranks = {id: at for at, (id, _) in enumerate(best(texts, fetch_k), 1)}
    found: list[Candidate] = []
    for at, (row, distance, score) in enumerate(rank(metric, query, ids, vectors, len(ids)), 1):
        id = ids[row]
        if at <= fetch_k or id in text_ranks:
            hit = hit_of(id, rows[id], score, distance, include_embeddings)
            found.append(Candidate(hit, texts.get(id, 0.0), at if at <= fetch_k else None, text_ranks.get(id)))
    return found


def _copied(metadata: Metadata) -> Metadata:
    return {key: _copy(value) for key, value in metadata.items()}


def _copy(value: Json) -> Json:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value
