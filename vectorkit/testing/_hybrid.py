"""Rules 7.3 and 7.5 of the contract: hybrid search, and that text and hybrid search are the same everywhere."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vectorkit.errors import (
    DimensionMismatchError,
    EmbeddingError,
    InvalidArgumentError,
    InvalidFilterError,
    InvalidVectorError,
    UnsupportedError,
)
from vectorkit.memory import MemoryBackend
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, assert_same_scores, ids_of
from vectorkit.testing._fixtures import Fixtures, TextEmbedder
from vectorkit.testing._words import bm25, indexed, places, write
from vectorkit.types import Metric

__all__ = ["HybridRules"]

_METRICS: list[Metric] = ["cosine", "l2", "ip"]

# The nearest to (1, 0), and the best for "red", are not the same.
_VECTORS = {"a": [4, 3], "b": [3, 4], "c": [0, 5], "d": [5, 0], "e": [-5, 0]}
_TEXTS: dict[str, str | None] = {"a": "red", "b": "red red", "c": "red red red", "d": "blue", "e": None}
_SIDES: dict[Metric, dict[str, float]] = {
    # By hand: the cosine; the product 20, 15, 0, 25, -25; the score 1 / (1 + distance); the last two scaled.
    "cosine": {"a": 0.8, "b": 0.6, "c": 0.0, "d": 1.0, "e": -1.0},
    "ip": {"a": 0.9, "b": 0.8, "c": 0.5, "d": 1.0, "e": 0.0},
    "l2": {
        id: (1 / (1 + distance) - 1 / 7) / (1 / 5 - 1 / 7)
        for id, distance in {"a": 18**0.5, "b": 20**0.5, "c": 26**0.5, "d": 4, "e": 6}.items()
    },
}


def _filled(store: VectorStore, metric: Metric = "cosine") -> Any:
    docs = indexed(store, language="none", metric=metric)
    if docs is not None:
        docs.add(ids=list(_VECTORS), embeddings=list(_VECTORS.values()), documents=list(_TEXTS.values()))
    return docs


class HybridRules(Fixtures):
    """Rules 7.3 and 7.5."""

    @pytest.mark.parametrize("metric", _METRICS)
    def test_a_weighted_fusion_is_the_formula(self, store: VectorStore, metric: Metric) -> None:
        """7.3 `weight * s + (1 - weight) * t / t_max`, worked out by hand, 0.7 by default."""
        docs = _filled(store, metric)
        if docs is None:
            return
        texts = {hit.id: hit.score for hit in docs.search("red", mode="text")}
        assert texts == bm25(["red"], _TEXTS)
        for weight in (None, 0, 0.25, 0.7, 1.0, np.float32(0.5)):
            given: dict[str, Any] = {} if weight is None else {"weight": weight}
            share = 0.7 if weight is None else float(weight)
            expected = {
                id: share * near + (1 - share) * texts.get(id, 0) / texts["c"] for id, near in _SIDES[metric].items()
            }
            hits = docs.search("red", mode="hybrid", vector=[1, 0], **given)
            assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6), weight
            assert ids_of(hits) == sorted(expected, key=lambda id: (-round(expected[id], 9), id)), weight

    @pytest.mark.parametrize("metric", _METRICS)
    def test_the_distance_of_a_hybrid_hit_is_that_of_the_vectors(self, store: VectorStore, metric: Metric) -> None:
        """7.3 Also of a record that only the text ranking found; the rest of the record is there, too."""
        docs = _filled(store, metric)
        if docs is None:
            return
        distances = {hit.id: hit.distance for hit in docs.search([1, 0])}
        for fetch_k in (1, 100):
            for fusion in ("weighted", "rrf"):
                hits = docs.search("red", 1, mode="hybrid", vector=[1, 0], fetch_k=fetch_k, fusion=fusion, weight=0.0)
                for hit in hits:
                    assert hit.distance == pytest.approx(distances[hit.id], abs=1e-6)
                    assert (hit.document, hit.metadata, hit.embedding) == (_TEXTS[hit.id], {}, None)
        hits = docs.search("red", mode="hybrid", vector=[1, 0], include_embeddings=True)
        assert {hit.id: hit.embedding.tolist() for hit in hits} == _VECTORS

    def test_reciprocal_ranks_are_summed(self, store: VectorStore) -> None:
        """7.3 `1 / (60 + rank)` over the lists that hold a record; ties by id."""
        docs = _filled(store)
        if docs is None:
            return
        # By vector d a b c e, by text c b a.
        expected = {
            "a": 1 / 62 + 1 / 63,
            "b": 1 / 63 + 1 / 62,
            "c": 1 / 64 + 1 / 61,
            "d": 1 / 61,
            "e": 1 / 65,
        }
        hits = docs.search("red", mode="hybrid", vector=[1, 0], fusion="rrf")
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-9)
        assert ids_of(hits) == ["c", "a", "b", "d", "e"]
        # Of two each: by vector d a, by text c b.
        hits = docs.search("red", 2, mode="hybrid", vector=[1, 0], fusion="rrf", fetch_k=2)
        assert places(hits) == [("c", pytest.approx(1 / 61)), ("d", pytest.approx(1 / 61))]

    def test_every_candidate_has_both_scores(self, store: VectorStore) -> None:
        """7.3 However it was found: with one candidate from each side, each still has what the other side says."""
        docs = _filled(store)
        if docs is None:
            return
        docs.update(ids=["d"], documents=["red blue"], embeddings=[_VECTORS["d"]])
        texts = {hit.id: hit.score for hit in docs.search("red", mode="text")}
        # d by vector, c by text: d has BM25 for its one word, c its cosine, 0.
        hits = docs.search("red", 1, mode="hybrid", vector=[1, 0], fetch_k=1)
        assert places(hits) == [("d", pytest.approx(0.7 + 0.3 * texts["d"] / texts["c"]))]
        hits = docs.search("red", 1, mode="hybrid", vector=[0.8, 0.6], fetch_k=1, weight=0.1)
        assert places(hits) == [("c", pytest.approx(0.1 * 0.6 + 0.9))]
        # The union decides what is scaled under l2: of the nearest and the best, one is 1 and one is 0.
        plane = store.create_collection("plane", dimension=2, metric="l2", text_index=True, language="none")
        write(plane, {"a": "blue", "b": "red", "c": "red red", "d": "red red red"})
        hits = plane.search("red", 1, mode="hybrid", vector=[0, 1], fetch_k=1, weight=0.4)
        assert places(hits) == [("d", pytest.approx(0.6))]

    @pytest.mark.parametrize("metric", ["l2", "ip"])
    def test_where_all_are_equally_near_the_vectors_count_alike(self, store: VectorStore, metric: Metric) -> None:
        """7.3 The scaled score is then 1, and the words decide; ties by id."""
        docs = indexed(store, language="none", metric=metric)
        if docs is None:
            return
        docs.add(ids=["b", "c", "a"], embeddings=[[1, 1]] * 3, documents=["red", "red red", "red"])
        hits = docs.search("red", mode="hybrid", vector=[2, 0])
        assert ids_of(hits) == ["c", "a", "b"]
        assert hits[0].score == pytest.approx(1)
        assert docs.search("red", 1, mode="hybrid", vector=[2, 0], fetch_k=1)[0].score == pytest.approx(1)

    def test_a_query_without_a_word_finds_by_its_vector(self, store: VectorStore) -> None:
        """7.3 The text term is 0, the text list empty."""
        docs = _filled(store)
        if docs is None:
            return
        for query in ("", "!?", "\u0301", "unheardof"):
            hits = docs.search(query, mode="hybrid", vector=[1, 0])
            assert places(hits) == [
                (id, pytest.approx(0.7 * score)) for id, score in zip("dabce", (1, 0.8, 0.6, 0, -1), strict=True)
            ]
            hits = docs.search(query, 2, mode="hybrid", vector=[1, 0], fusion="rrf")
            assert places(hits) == [("d", pytest.approx(1 / 61)), ("a", pytest.approx(1 / 62))]

    def test_the_embedder_makes_the_vector_of_a_hybrid_query(self, store: VectorStore, embedder: TextEmbedder) -> None:
        """7.3 Of the query as it is, unless a vector is given beside it."""
        if not store.backend.capabilities.text_search:
            assert_refused(UnsupportedError, store.create_collection, "docs", embedder=embedder, text_index=True)
            return
        docs = store.create_collection("docs", embedder=embedder, text_index=True)
        docs.add(ids=["a", "b", "c"], documents=["The files", "a file", "nothing"])
        hits = docs.search("The files", mode="hybrid")
        assert embedder.seen[-1] == "The files"
        assert places(hits)[0] == ("a", pytest.approx(1.0))
        count = len(embedder.seen)
        assert docs.search("the file", mode="hybrid", vector=embedder.embed_query("The files"))[0].score == (
            pytest.approx(1.0)
        )
        assert docs.search("files", mode="text")
        assert len(embedder.seen) == count + 1
        assert_refused(EmbeddingError, store.get_collection("docs").search, "files", mode="hybrid")
        assert ids_of(store.get_collection("docs").search("files", mode="text")) == ["a", "b"]

    def test_bad_arguments_of_a_hybrid_search_are_refused(self, store: VectorStore) -> None:
        """7.3 Each by the class for it, also where nothing is asked for."""
        docs = _filled(store)
        if docs is None:
            return
        given: dict[str, Any] = {"mode": "hybrid", "vector": [1, 0]}
        for k in (0, 2):
            bad: list[dict[str, Any]] = [
                *({"weight": value} for value in (-0.1, 1.1, math.nan, math.inf, "1", None, True, [1])),
                *({"fusion": value} for value in ("RRF", "", None, 1, ["rrf"])),
                *({"fetch_k": value} for value in (k - 1, -1, 1.0, 5.5, "9", True, [9])),
            ]
            for wrong in bad:
                assert_refused(InvalidArgumentError, docs.search, "red", k, **{**given, **wrong})
            queries: list[Any] = [[1, 0], None, 5, b"red", "nul\0", "half \ud800"]
            for query in queries:
                assert_refused(InvalidArgumentError, docs.search, query, k, **given)
            assert_refused(InvalidVectorError, docs.search, "red", k, mode="hybrid", vector=[0, 0])
            assert_refused(DimensionMismatchError, docs.search, "red", k, mode="hybrid", vector=[1, 0, 0])
            assert_refused(EmbeddingError, docs.search, "red", k, mode="hybrid")
        assert_refused(InvalidArgumentError, docs.search, "red", mode="hybrid", vector="red")
        assert_refused(InvalidArgumentError, docs.search, [1, 0], vector=[1, 0])
        assert_refused(InvalidArgumentError, docs.search_many, ["red", "red"], mode="hybrid", vectors=[[1, 0]])
        assert_refused(InvalidFilterError, docs.search, "red", where={"v": {"$bad": 1}}, **given)
        for wrong in ({"weight": 2}, {"fusion": "sum"}, {"fetch_k": 1}):
            assert_refused(InvalidArgumentError, docs.search, [1, 0], **wrong)

    @pytest.mark.parametrize("metric", _METRICS)
    def test_the_hybrid_hits_of_k_are_the_first_of_those_of_more(self, store: VectorStore, metric: Metric) -> None:
        """7.3 For a fixed `fetch_k`; ties by id; all records come if k asks for them."""
        docs = indexed(store, language="none", metric=metric)
        if docs is None:
            return
        rng = np.random.default_rng(73)
        ids = [f"{at:03}" for at in rng.permutation(150)]
        vectors = rng.integers(-2, 3, size=(150, 2))
        vectors[~vectors.any(axis=1)] = 1
        words: list[str | None] = ["red", "red red", "pear", "red pear", "", None]
        chosen: list[int] = rng.integers(0, 6, size=150).tolist()
        docs.add(ids=ids, embeddings=vectors, documents=[words[at] for at in chosen])
        for fusion in ("weighted", "rrf"):
            found = [
                docs.search("red pear", k, mode="hybrid", vector=[1, 0.5], fetch_k=60, fusion=fusion)
                for k in (0, 1, 2, 7, 20, 60)
            ]
            for fewer, more in pairwise(found):
                assert fewer == more[: len(fewer)]
            assert [(-hit.score, hit.id) for hit in found[-1]] == sorted((-hit.score, hit.id) for hit in found[-1])
            assert len(docs.search("red", 150, mode="hybrid", vector=[1, 0.5], fusion=fusion)) == 150
            assert len(docs.search("red", 10**30, mode="hybrid", vector=[1, 0.5], fusion=fusion)) == 150
        by_default = docs.search("red", 30, mode="hybrid", vector=[1, 0.5])
        assert by_default == docs.search("red", 30, mode="hybrid", vector=[1, 0.5], fetch_k=120)

    def test_min_score_of_a_hybrid_search_is_of_the_fused_score(self, store: VectorStore) -> None:
        """7.3 After fusing: what is left out still counts for the scores of the others."""
        docs = _filled(store)
        if docs is None:
            return
        for fusion in ("weighted", "rrf"):
            hits = docs.search("red", mode="hybrid", vector=[1, 0], fusion=fusion)
            for at in (0, 2, 4):
                least = hits[at].score
                kept = docs.search("red", mode="hybrid", vector=[1, 0], fusion=fusion, min_score=least)
                assert kept == [hit for hit in hits if hit.score >= least - 1e-6]
            assert docs.search("red", mode="hybrid", vector=[1, 0], fusion=fusion, min_score=5) == []

    def test_filters_apply_to_both_sides_of_a_hybrid_search(self, store: VectorStore) -> None:
        """7.4 Before the cut, on metadata and documents; N and df stay those of the collection."""
        docs = indexed(store, language="none")
        if docs is None:
            return
        write(docs, {f"{at:03}": "red " * (200 - at) + ("blue" if at % 50 == 49 else "pear") for at in range(200)})
        texts = {hit.id: hit.score for hit in docs.search("red", 200, mode="text")}
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({"where": {"place": {"$gte": 197}}}, ["197", "198", "199"]),
            ({"where_document": {"$contains": "blue"}}, ["049", "099", "149", "199"]),
            ({"where": {"place": 200}}, []),
        ]
        for given, ids in cases:
            for exact in (None, True):
                hits = docs.search("red", 5, mode="hybrid", vector=[0, 1], fetch_k=5, weight=0, exact=exact, **given)
                largest = max((texts[id] for id in ids), default=1)
                assert places(hits) == [(id, pytest.approx(texts[id] / largest, abs=1e-6)) for id in ids]

    def test_several_hybrid_queries_equal_one_search_each(self, store: VectorStore) -> None:
        """7.3 As 6.8 has it, with every argument."""
        docs = _filled(store)
        if docs is None:
            return
        queries, vectors = ["red", "", "blue red"], [[1, 0], [0.5, 0.5], [-1, 0.25]]
        arguments: list[dict[str, Any]] = [
            *({}, {"k": 2}, {"fusion": "rrf"}, {"weight": 0.2, "fetch_k": 2, "k": 2}, {"exact": True}),
            *({"min_score": 0.3}, {"include_embeddings": True}, {"where_document": {"$contains": "red"}}),
        ]
        for given in arguments:
            together = docs.search_many(queries, mode="hybrid", vectors=vectors, **given)
            alone = [
                docs.search(query, mode="hybrid", vector=vector, **given)
                for query, vector in zip(queries, vectors, strict=True)
            ]
            assert [ids_of(hits) for hits in together] == [ids_of(hits) for hits in alone]
            for hits, others in zip(together, alone, strict=True):
                assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in others], abs=1e-6)
        assert docs.search_many([], mode="hybrid") == []

    @pytest.mark.parametrize("metric", _METRICS)
    def test_text_and_hybrid_rankings_are_those_of_the_reference(self, store: VectorStore, metric: Metric) -> None:
        """7.5 Within 1e-6, on texts of many words, some of them rare, before and after they are changed."""
        docs = indexed(store, metric=metric)
        if docs is None:
            return
        rng = np.random.default_rng(75)
        reference = VectorStore(MemoryBackend()).create_collection("docs", dimension=2, metric=metric, text_index=True)
        vocabulary = np.array([f"word{at}s" for at in range(300)])
        shares = 1.0 / np.arange(1, 301)

        def some(count: int) -> list[str]:
            lengths = rng.integers(0, 200, size=count)
            return [" ".join(rng.choice(vocabulary, size, p=shares / shares.sum())) for size in lengths]

        ids = [f"{at:03}" for at in range(250)]
        rows: dict[str, Any] = {
            "ids": ids,
            "documents": some(250),
            "embeddings": rng.normal(size=(250, 2)),
            "metadatas": [{"even": at % 2 == 0} for at in range(250)],
        }
        changed: dict[str, Any] = {"ids": ids[50:90], "documents": some(40), "embeddings": rng.normal(size=(40, 2))}
        queries = [*some(3), "word0", "word299 word150s", "word1 word2 word250", "nothing"]
        vectors = rng.normal(size=(len(queries), 2))
        for each in (docs, reference):
            each.add(**rows)
        for _ in range(2):
            for where in (None, {"even": True}):
                for query, vector in zip(queries, vectors, strict=True):
                    everything = reference.search(query, 1000, mode="text", where=where)
                    for k in (3, 1000):
                        assert_same_scores(docs.search(query, k, mode="text", where=where), everything, k)
                    for given in ({}, {"weight": 0.3}, {"fusion": "rrf"}):
                        hybrid: dict[str, Any] = {"mode": "hybrid", "vector": vector, "where": where, **given}
                        everything = reference.search(query, 1000, **hybrid, fetch_k=1000)
                        for k in (3, 1000):
                            hits = docs.search(query, k, **hybrid, exact=True, fetch_k=1000)
                            assert_same_scores(hits, everything, k)
            for each in (docs, reference):
                each.update(**changed)
                each.delete(ids[200:])
