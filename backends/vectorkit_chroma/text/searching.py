"""Text and hybrid search over the words that `text.words` keeps."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vectorkit.postings import best
from vectorkit.ranking import measure
from vectorkit.types import Candidate, FloatArray, Hit, Ranking
from vectorkit_chroma.records.rows import EVERYTHING, Selection, Stored
from vectorkit_chroma.records.table import Table
from vectorkit_chroma.text.words import Texts

__all__ = ["candidates", "search_text"]

_ASKED_FOR: Final = 2000
"""Up to this many documents, whether they match a filter is asked of these alone."""
_ATTEMPTS: Final = 5


def search_text(
    table: Table, queries: Sequence[Sequence[str]], k: int, selection: Selection, *, include_embeddings: bool
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
    table: Table,
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
