"""Text and hybrid search: the words of the documents are kept in this process, and brought up to date by each search.

Chroma does not rank by words. The first search reads all documents; each one after that asks for the rows that were
written since, by whatever process (see `_stamps`), and whether records are gone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from vectorkit.postings import Postings, best
from vectorkit.ranking import measure
from vectorkit.types import Candidate, FloatArray, Hit, Ranking
from vectorkit_chroma._codec import SIGNATURE, read_signature
from vectorkit_chroma._found import EVERYTHING, Selection, Stored
from vectorkit_chroma._stamps import newer, ticks

if TYPE_CHECKING:
    from vectorkit_chroma._table import Table

__all__ = ["Texts", "candidates", "search_text"]

_ANALYSED: Final = 500
"""Documents between two reports of progress."""
_ASKED_FOR: Final = 2000
"""Up to this many documents, whether they match a filter is asked of these alone."""
_ATTEMPTS: Final = 5


class Texts:
    """The words of one collection's documents.

    Args:
        table: The collection.
    """

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._postings = Postings(self._table.info.spec.language)
        self._ids: set[str] = set()
        self._clock: dict[str, int] = {}
        self._writes: int | None = None

    def scores(self, queries: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        """The BM25 scores of all documents for each query, as of now."""
        with self._lock:
            self._catch_up(None)
            return [self._postings.scores(words) for words in queries]

    def load(self, progress: Callable[[int, int], None] | None) -> None:
        """Read what was written since the last time, or all."""
        with self._lock:
            self._catch_up(progress)

    def _catch_up(self, progress: Callable[[int, int], None] | None) -> None:
        writes = self._table.writes
        if self._table.connection.exclusive and writes == self._writes:
            return
        # Counted first: what is known after the next step holds every record that was there at this moment.
        count = self._table.size()
        where = newer(self._clock)
        if where is None:
            self._forget()
        found = self._table.everything(where)
        documents: dict[str, str | None] = {}
        clock = dict(self._clock)
        for id, row, text in found:
            documents[id] = (text or "") if read_signature(row[SIGNATURE]).has_document else None
            for writer, tick in ticks(row).items():
                clock[writer] = max(tick, clock.get(writer, 0))
        self._put(documents, progress)
        self._clock = clock
        if len(self._ids) > count:
            gone = self._ids.difference(self._table.ids(EVERYTHING))
            self._postings.remove(gone)
            self._ids -= gone
        self._writes = writes

    def _put(self, documents: Mapping[str, str | None], progress: Callable[[int, int], None] | None) -> None:
        ids = list(documents)
        try:
            for start in range(0, len(ids), _ANALYSED):
                if progress is not None:
                    progress(start, len(ids))
                part = ids[start : start + _ANALYSED]
                self._postings.put(self._postings.analysed({id: documents[id] for id in part}))
                self._ids.update(part)
            if progress is not None:
                progress(len(ids), len(ids))
        except BaseException:
            self._forget()
            raise


def search_text(
    table: "Table", queries: Sequence[Sequence[str]], k: int, selection: Selection, *, include_embeddings: bool
) -> list[list[Hit]]:
    """See `TextSearchBackend.search_text`."""
    found: list[list[Hit]] = []
    for _ in range(_ATTEMPTS):
        ranked = [best(scores, k) for scores in _matching(table, queries, selection)]
        records = table.read(list({id: None for each in ranked for id, _ in each}), embeddings=include_embeddings)
        found = [[_hit(id, score, None, records[id]) for id, score in each if id in records] for each in ranked]
        if [len(hits) for hits in found] == [len(each) for each in ranked]:
            break  # else records were deleted between the two steps
    return found


def candidates(
    table: "Table",
    vectors: FloatArray,
    queries: Sequence[Sequence[str]],
    rankings: Sequence[Ranking],
    fetch_k: int,
    selection: Selection,
    *,
    include_embeddings: bool,
) -> list[list[Candidate]]:
    """See `TextSearchBackend.search_hybrid`; `rankings` is what the vectors find."""
    matching = _matching(table, queries, selection)
    ranked = [best(scores, fetch_k) for scores in matching]
    by_vector = [{hit.id: (rank, hit) for rank, hit in enumerate(each.hits, 1)} for each in rankings]
    missing = {id: None for near, each in zip(by_vector, ranked, strict=True) for id, _ in each if id not in near}
    records = table.read(list(missing), embeddings=True)
    found: list[list[Candidate]] = []
    for vector, near, scores, texts in zip(vectors, by_vector, matching, ranked, strict=True):
        places = {id: rank for rank, (id, _) in enumerate(texts, 1)}
        candidates = [Candidate(hit, scores.get(id, 0.0), rank, places.get(id)) for id, (rank, hit) in near.items()]
        others = [id for id in places if id not in near and id in records]
        stacked = np.array([records[id].embedding for id in others], dtype=np.float32).reshape(-1, len(vector))
        distances, nearness = measure(table.info.metric, vector, stacked)
        for row, id in enumerate(others):
            record = records[id] if include_embeddings else records[id]._replace(embedding=None)
            hit = _hit(id, float(nearness[row]), float(distances[row]), record)
            candidates.append(Candidate(hit, scores[id], None, places[id]))
        found.append(candidates)
    return found


def _matching(table: "Table", queries: Sequence[Sequence[str]], selection: Selection) -> list[dict[str, float]]:
    """The scores of the documents that match."""
    scores = table.texts.scores(queries)
    if selection == EVERYTHING:
        return scores
    scored = list({id: None for each in scores for id in each})
    matching = set(table.ids(selection, within=scored if len(scored) <= _ASKED_FOR else None))
    return [{id: score for id, score in each.items() if id in matching} for each in scores]


def _hit(id: str, score: float, distance: float | None, record: Stored) -> Hit:
    document, metadata = record.decoded()
    return Hit(id, score, distance, document, metadata, record.embedding)
