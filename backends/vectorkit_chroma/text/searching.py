"""Text and hybrid search over the words that `text.words` keeps."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vectorkit.backend.requests import HybridSearch, TextSearch
from vectorkit.postings import best
from vectorkit.ranking import measure
from vectorkit.types import Candidate, Hit, Ranking
from vectorkit_chroma.records.rows import EVERYTHING, Selection, Stored
from vectorkit_chroma.records.table import Table
from vectorkit_chroma.text.words import Texts

__all__ = ["candidates", "search_text"]

_ASKED_FOR: Final = 2000
"""Up to this many documents, whether they match a filter is asked of these alone."""
_ATTEMPTS: Final = 5


def search_text(table: Table, request: TextSearch, selection: Selection) -> list[list[Hit]]:
    """See `VectorBackend.search_text`."""
    found: list[list[Hit]] = []
    for _ in range(_ATTEMPTS):
        ranked = [best(scores, request.k) for scores in _matching(table, request.queries, selection)]
        ids = list({id: None for each in ranked for id, _ in each})
        records = table.read(ids, embeddings=request.include_embeddings)
        found = [[_hit(id, score, None, records[id]) for id, score in each if id in records] for each in ranked]
        if [len(hits) for hits in found] == [len(each) for each in ranked]:
            break  # else records were deleted between the two steps
    return found


def candidates(
    table: Table, request: HybridSearch, rankings: Sequence[Ranking], selection: Selection
) -> list[list[Candidate]]:
    """See `VectorBackend.search_hybrid`; `rankings` is what the vectors find."""
    matching = _matching(table, request.queries, selection)
    ranked = [best(scores, request.fetch_k) for scores in matching]
    by_vector = [{hit.id: (rank, hit) for rank, hit in enumerate(each.hits, 1)} for each in rankings]
    missing = {id: None for near, each in zip(by_vector, ranked, strict=True) for id, _ in each if id not in near}
    records = table.read(list(missing), embeddings=True)
    found: list[list[Candidate]] = []
    for vector, near, scores, texts in zip(request.vectors, by_vector, matching, ranked, strict=True):
        places = {id: rank for rank, (id, _) in enumerate(texts, 1)}
        candidates = [Candidate(hit, scores.get(id, 0.0), rank, places.get(id)) for id, (rank, hit) in near.items()]
        others = [id for id in places if id not in near and id in records]
        stacked = np.array([records[id].embedding for id in others], dtype=np.float32).reshape(-1, len(vector))
        distances, nearness = measure(table.info.metric, vector, stacked)
        for row, id in enumerate(others):
            record = records[id] if request.include_embeddings else records[id]._replace(embedding=None)
            hit = _hit(id, float(nearness[row]), float(distances[row]), record)
            candidates.append(Candidate(hit, scores[id], None, places[id]))
        found.append(candidates)
    return found


def _matching(table: Table, queries: Sequence[Sequence[str]], selection: Selection) -> list[dict[str, float]]:
    """The scores of the documents that match."""
    scores = table.once(Texts).scores(queries)
    if selection == EVERYTHING:
        return scores
    scored = list({id: None for each in scores for id in each})
    matching = set(table.ids(selection, within=scored if len(scored) <= _ASKED_FOR else None))
    return [{id: score for id, score in each.items() if id in matching} for each in scores]


def _hit(id: str, score: float, distance: float | None, record: Stored) -> Hit:
    document, metadata = record.decoded()
    return Hit(id, score, distance, document, metadata, record.embedding)
