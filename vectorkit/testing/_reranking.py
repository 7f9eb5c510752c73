"""Rules 7.6 and 7.7 of the contract: choosing among hits, and ordering them anew."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from vectorkit.errors import InvalidArgumentError
from vectorkit.reranking import diversify, rerank
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._words import indexed
from vectorkit.types import Hit, Metric

__all__ = ["RerankingRules"]

_WORDS = ("red", "red pear", "red red pear pie", "pear")


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def _assert_chosen(
    chosen: Sequence[Hit], hits: Sequence[Hit], written: Mapping[str, list[int]], diversity: float
) -> None:
    """Each of the hits chosen has the largest value of those left, by rule 7.6 as it stands there."""
    least, largest = (edge(hit.score for hit in hits) for edge in (min, max))
    before: list[str] = []
    for hit in chosen:
        values = {
            other.id: (1 - diversity) * (other.score - least) / (largest - least)
            - diversity * max((_cosine(written[other.id], written[id]) for id in before), default=0)
            for other in hits
            if other.id not in before
        }
        assert values[hit.id] >= max(values.values()) - 1e-5, f"after {before}, {hit.id!r} is not the best: {values}"
        before.append(hit.id)


class RerankingRules(Fixtures):
    """Rules 7.6 and 7.7."""

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_diversified_hits_are_those_of_the_formula(self, store: VectorStore, metric: Metric) -> None:
        """7.6 Of a vector search, and of a text and a hybrid one: their hits hold the vectors that were written."""
        docs = indexed(store, language="none", metric=metric)
        searches: list[dict[str, Any]] = [{"query": [1, 0.25]}]
        if docs is None:
            docs = store.get_collection("docs")
        else:
            searches += [{"query": "red pear", "mode": "text"}, {"query": "pear", "mode": "hybrid", "vector": [1, 0.5]}]
        rng = np.random.default_rng(76)
        rows: list[list[int]] = rng.integers(-5, 6, size=(60, 2)).tolist()
        written = {f"{at:02}": row if any(row) else [1, 1] for at, row in zip(rng.permutation(60), rows, strict=True)}
        texts = [_WORDS[at % 4] for at in range(60)]
        docs.add(ids=list(written), embeddings=list(written.values()), documents=texts)
        for given in searches:
            hits = docs.search(**given, k=40, include_embeddings=True)
            for diversity in (0.0, 0.3, 0.8, 1.0):
                chosen = diversify(hits, 12, diversity=diversity)
                assert len(chosen) == 12
                _assert_chosen(chosen, hits, written, diversity)
            assert ids_of(diversify(hits, 40, diversity=0)) == ids_of(hits)

    def test_records_alike_are_chosen_apart_and_ties_go_by_id(self, store: VectorStore) -> None:
        """7.6 Worked by hand; hits keep their scores, and without vectors they are refused."""
        docs = store.create_collection("docs", dimension=2)
        vectors = {"d": [5, 0], "c": [5, 0], "b": [4, 3], "e": [4, 3], "a": [4, -3], "f": [-5, 0]}
        docs.add(ids=list(vectors), embeddings=list(vectors.values()))
        hits = docs.search([4, 3], include_embeddings=True)
        # Cosines to the query: b e 1, c d 0.8, a 0.28, f -0.8. Scaled: 1, 0.8889, 0.6, 0.
        assert ids_of(hits) == ["b", "e", "c", "d", "a", "f"]
        # b; then e 0.5 - 0.5 = 0, c d 0.444 - 0.4, a 0.3 - 0.14, f 0 + 0.4: f; then a 0.16 (f is at -0.8), c d 0.044,
        # e 0: a; then e 0 (b is nearer than a), c d 0.044, as a is not nearer to them than b.
        assert ids_of(diversify(hits, diversity=0.5)) == ["b", "f", "a", "c", "e", "d"]
        assert diversify(hits, 3, diversity=0.5) == [hits[0], hits[5], hits[4]]
        assert_refused(InvalidArgumentError, diversify, docs.search([4, 3]))

    def test_a_reranker_reads_whole_documents(self, store: VectorStore) -> None:
        """7.7 Its scores decide, ties by id; the rest of a hit stays as it was found."""
        docs = store.create_collection("docs", dimension=2, metric="l2")
        texts = {"a": "word " * 400 + "end", "b": "", "c": "naïve 東京\n\ttext", "d": "word " * 400 + "END"}
        docs.add(ids=list(texts), documents=list(texts.values()), embeddings=[[3, 0], [2, 0], [1, 0], [0, 1]])
        seen: list[tuple[str, list[str]]] = []

        def reranker(query: str, documents: list[str]) -> list[float]:
            seen.append((query, documents))
            return [float(len(document)) for document in documents]

        hits = docs.search([0, 0])
        again = rerank("which?", hits, reranker)
        assert seen == [("which?", [texts[hit.id] for hit in hits])]
        assert [(hit.id, hit.score) for hit in again] == [("a", 2003.0), ("d", 2003.0), ("c", 14.0), ("b", 0.0)]
        found = {hit.id: hit for hit in hits}
        assert [(hit.document, hit.distance) for hit in again] == [
            (found[hit.id].document, found[hit.id].distance) for hit in again
        ]
        docs.update(ids=["b"], documents=[None])
        assert_refused(InvalidArgumentError, rerank, "which?", docs.search([0, 0]), reranker)
