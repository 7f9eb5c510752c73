"""Search: exact over what the index says about every record, or by the index where the contract allows it.

An exact search asks the index for all records with their distances, which costs a fifth of reading their vectors. What
the graph cannot reach shows as a shortfall against the number of records, and is read. Its distances are float32 sums
of known error, so only the records that can be among the first k within that error are read, and scored in float64.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectorkit.backend.requests import VectorSearch
from vectorkit.ranking import EXACT_LIMIT, float32_error, rank, relative_error, score_of
from vectorkit.types import FloatArray, Hit, Metric, Ranking
from vectorkit_chroma.records.codec import BIG_NORM
from vectorkit_chroma.records.rows import EVERYTHING, Found, Selection, Stored, chunks
from vectorkit_chroma.records.table import Table
from vectorkit_chroma.records.writing import LARGEST_UNMARKED_NORM

__all__ = ["search"]

Floats: TypeAlias = NDArray[np.float64]

_READ_NUMBERS: Final = 100_000
"""Up to this many float32 numbers, reading the vectors is faster than a filtered query of the index."""
_MAX_INDEXED: Final = 5000
"""Above this k the index is not asked: SQLite takes 32,766 variables, and the records of all queries share them."""
_QUERIED_ROWS: Final = 200_000
"""Distances asked for in one query, over all query vectors: bounds memory."""
_QUERIED_IDS: Final = 10_000
"""Ids that one query may be restricted to."""
_ATTEMPTS: Final = 5

_SHARP_DIMENSION: Final = 384
"""Up to this dimension the index's cosine distances err by less than rule 6.5 allows (at most 7e-7 in vectors made to
that end: all numbers positive and nearly equal; 1.5e-6 at 768), so that the hits need not be scored again."""


def search(table: Table, request: VectorSearch, selection: Selection) -> list[Ranking]:
    """See `VectorBackend.search`; the selection is what the filter of the request means."""
    exact = True if table.info.spec.index is None else request.exact
    search = _Search(table, request.k, selection, request.include_embeddings)
    rankings = search.run(request.queries, exact)
    for _ in range(_ATTEMPTS):
        if not search.overtaken:
            break
        search = _Search(table, request.k, selection, request.include_embeddings)
        rankings = search.run(request.queries, exact)
    return rankings


class _Search:
    def __init__(self, table: Table, k: int, selection: Selection, include_embeddings: bool) -> None:
        self._table = table
        self._metric: Metric = table.info.metric
        self._k = k
        self._selection = selection
        self._include_embeddings = include_embeddings
        self.overtaken = False
        """Whether records were deleted between two steps, and fewer than k hits were left for that."""

    def run(self, queries: FloatArray, exact: bool | None) -> list[Ranking]:
        if exact is False and self._k <= _MAX_INDEXED:
            return self._by_index(queries)
        if self._selection != EVERYTHING:
            return self._filtered(queries, exact)
        if exact is True or self._k > _MAX_INDEXED:
            return self._exactly(queries, self._table.size())
        known, recent = self._table.last_count()
        if known is None or self._table.connection.exclusive:
            count = self._table.size()
            return self._by_index(queries) if count > EXACT_LIMIT else self._exactly(queries, count)
        if recent and known > EXACT_LIMIT:
            return self._by_index(queries)
        return self._beside_counting(queries, known)

    def _beside_counting(self, queries: FloatArray, guess: int) -> list[Ranking]:
        """Count the records anew, and meanwhile run the likely query."""
        counting = self._table.connection.begin(self._table.size)
        if guess > EXACT_LIMIT:
            rankings = self._by_index(queries)
            return rankings if (count := counting()) > EXACT_LIMIT else self._exactly(queries, count)
        found = self._everything(queries, EXACT_LIMIT)
        if (count := counting()) > EXACT_LIMIT:
            return self._by_index(queries)
        return self._exactly(queries, count, found)

    def _filtered(self, queries: FloatArray, exact: bool | None) -> list[Ranking]:
        limited = exact is None and self._k <= _MAX_INDEXED
        ids = self._table.ids(self._selection, limit=EXACT_LIMIT + 1 if limited else None)
        if limited and len(ids) > EXACT_LIMIT:
            return self._by_index(queries)
        if len(ids) * self._table.info.dimension <= _READ_NUMBERS:
            return self._by_reading(queries, ids)
        return self._exactly(queries, len(ids), ids=ids)

    # --- by the index -----------------------------------------------------------------------------------------

    def _by_index(self, queries: FloatArray) -> list[Ranking]:
        rankings = self._asked_index(queries)
        if all(len(ranking.hits) == self._k for ranking in rankings):
            return rankings
        count = self._matching()
        if count and not all(ranking.hits for ranking in rankings):  # the index was lost
            self._table.heal()
            rankings = self._asked_index(queries)
        least = min(self._k, count)
        return [
            # The graph cannot reach as many as there are.
            ranking if len(ranking.hits) >= least else self._exactly(queries[row : row + 1], count)[0]
            for row, ranking in enumerate(rankings)
        ]

    def _matching(self) -> int:
        return self._table.size() if self._selection == EVERYTHING else len(self._table.ids(self._selection))

    def _asked_index(self, queries: FloatArray) -> list[Ranking]:
        sharp = self._metric == "cosine" and self._table.info.dimension <= _SHARP_DIMENSION
        embeddings = self._include_embeddings or not sharp
        rankings: list[Ranking] = []
        for some in _split(queries, _MAX_INDEXED // self._k):
            parts = [
                self._table.query(some, self._k, selection, records=True, embeddings=embeddings)
                for selection in self._selections()
            ]
            for row, query in enumerate(some):
                found = _joined([part[row] for part in parts])
                if sharp:
                    hits = self._hits_as_found(found)
                else:
                    records = {id: record for id, record in zip(found.ids, found.records, strict=True) if record.row}
                    hits = self._hits(query, list(records), self._stacked(records.values()), records)
                rankings.append(Ranking(hits, exact=False))
        return rankings

    def _selections(self) -> list[Selection]:
        """The selection in parts that one query can be restricted to."""
        if self._selection.ids is None:
            return [self._selection]
        return [Selection(None, list(part)) for part in chunks(self._selection.ids, _QUERIED_IDS)]

    def _hits_as_found(self, found: Found) -> list[Hit]:
        best = sorted(zip([min(max(d, 0.0), 2.0) for d in found.distances], found.ids, found.records, strict=True))
        return [
            self._hit(id, score_of(self._metric, distance), distance, record, record.embedding)
            for distance, id, record in best[: self._k]
            if record.row
        ]

    def _hit(self, id: str, score: float, distance: float, record: Stored, embedding: FloatArray | None) -> Hit:
        document, metadata = record.decoded()
        return Hit(id, score, distance, document, metadata, embedding if self._include_embeddings else None)

    # --- exactly ----------------------------------------------------------------------------------------------

    def _everything(self, queries: FloatArray, count: int) -> list[Found]:
        """What the index says about all `count` records that match."""
        found: list[Found] = []
        for some in _split(queries, _QUERIED_ROWS // max(1, count)):
            parts = [
                self._table.query(some, count if selection.ids is None else len(selection.ids), selection)
                for selection in self._selections()
            ]
            found.extend(_joined([part[row] for part in parts]) for row in range(len(some)))
        return found

    def _exactly(
        self, queries: FloatArray, count: int, found: list[Found] | None = None, ids: list[str] | None = None
    ) -> list[Ranking]:
        """Compare all `count` records that match; `ids` are theirs if known."""
        if not count:
            return [Ranking([], exact=True) for _ in queries]
        largest = self._largest_norm()
        if largest is None:
            return self._by_reading(queries, self._table.ids(self._selection) if ids is None else ids)
        if found is None:
            found = self._everything(queries, count)
        if not all(answer.ids for answer in found):  # the index was lost
            self._table.heal()
            found = self._everything(queries, count)
        if any(len(answer.ids) < count for answer in found) and ids is None:
            ids = self._table.ids(self._selection)
        return [self._exact(query, answer, ids, largest) for query, answer in zip(queries, found, strict=True)]

    def _exact(self, query: FloatArray, found: Found, ids: list[str] | None, largest: float) -> Ranking:
        near, far = _bounds(self._metric, query, np.array(found.distances), largest)
        # The k-th smallest of what the distances may be at most: whatever may be nearer is a candidate.
        cut = float(np.partition(far, self._k - 1)[self._k - 1]) if self._k < len(far) else np.inf
        candidates = [found.ids[row] for row in np.flatnonzero(near <= cut).tolist()]
        if ids is not None:
            candidates.extend(set(ids).difference(found.ids))
        if len(candidates) <= 2 * self._k + 100:
            records = self._table.read(candidates, embeddings=True)
            hits = self._hits(query, list(records), self._stacked(records.values()), records)
            self._notice(hits, len(candidates))
            return Ranking(hits, exact=True)
        return self._by_reading(query[None], candidates)[0]

    def _largest_norm(self) -> float | None:
        """The largest norm that decides how far a distance of the index may be off; None if it is not known.

        It matters under `ip` alone: cosine compares unit vectors, and l2 sums squares of differences. Rows of vectors
        beyond norm 1 are marked, so that in the common case, normalised vectors, one look suffices.
        """
        if self._metric != "ip":
            return 1.0
        marked = Selection({BIG_NORM: 1})
        return None if self._table.ids(marked, limit=1) else LARGEST_UNMARKED_NORM

    def _by_reading(self, queries: FloatArray, ids: Sequence[str]) -> list[Ranking]:
        """Read the vectors of all these records and compare them; memory is bounded apart from the ids."""
        best: list[tuple[list[str], FloatArray]] = [
            ([], np.empty((0, self._table.info.dimension), dtype=np.float32)) for _ in queries
        ]
        for page in chunks(ids, EXACT_LIMIT):
            names, vectors = self._table.vectors(page)
            for row, query in enumerate(queries):
                kept_ids, kept = best[row]
                all_ids, all_vectors = [*kept_ids, *names], np.concatenate([kept, vectors])
                places = [place.row for place in rank(self._metric, query, all_ids, all_vectors, self._k)]
                best[row] = [all_ids[place] for place in places], all_vectors[places]
        records = self._table.read(list({id: None for names, _ in best for id in names}), embeddings=False)
        rankings: list[Ranking] = []
        for query, (names, vectors) in zip(queries, best, strict=True):
            hits = self._hits(query, names, vectors, records)
            self._notice(hits, len(ids))
            rankings.append(Ranking(hits, exact=True))
        return rankings

    def _notice(self, hits: Sequence[Hit], candidates: int) -> None:
        if len(hits) < min(self._k, candidates):
            self.overtaken = True

    def _hits(
        self, query: FloatArray, ids: Sequence[str], vectors: FloatArray, records: dict[str, Stored]
    ) -> list[Hit]:
        return [
            self._hit(ids[row], score, distance, records[ids[row]], vectors[row].copy())
            for row, distance, score in rank(self._metric, query, ids, vectors, self._k)
            if ids[row] in records
        ]

    def _stacked(self, records: Iterable[Stored]) -> FloatArray:
        vectors = np.array([record.embedding for record in records], dtype=np.float32)
        return vectors.reshape(-1, self._table.info.dimension)


def _bounds(metric: Metric, query: FloatArray, distances: Floats, largest: float) -> tuple[Floats, Floats]:
    """What the distances that the index gives as `distances` can be at least and at most, in a common unit."""
    if metric == "l2":
        # Squares of differences are summed, which errs in proportion to the sum itself; tiny ones underflow.
        near = np.sqrt(np.maximum(distances, 0.0))
        errors = near * relative_error(len(query)) + 1e-18
        return near - errors, near + errors
    error = float32_error(metric, query, largest)
    if metric == "ip":
        # Chroma gives 1 - a·b: the subtraction rounds too.
        error += 2.0**-23 * (1.0 + float(np.abs(distances).max(initial=0.0)))
    return distances - error, distances + error


def _split(queries: FloatArray, size: int) -> list[FloatArray]:
    size = max(1, size)
    return [queries[start : start + size] for start in range(0, len(queries), size)]


def _joined(answer: list[Found]) -> Found:
    if len(answer) == 1:
        return answer[0]
    return Found(
        [id for found in answer for id in found.ids],
        [distance for found in answer for distance in found.distances],
        [record for found in answer for record in found.records],
    )
