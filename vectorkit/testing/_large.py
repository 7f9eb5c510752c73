"""Section 6 of the contract on so many records that a search may use an index."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.memory import MemoryBackend
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_same_hits, ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.testing._marks import recall
from vectorkit.testing._search import ranking
from vectorkit.types import FloatArray, Hit, Metric

__all__ = ["LargeSearchRules"]

_EXACT = (None, True, False)


def _clustered(count: int, dimension: int, clusters: int, seed: int) -> FloatArray:
    """Unit vectors around centres, as embeddings of texts on so many subjects would lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimension))
    vectors = centres[rng.integers(clusters, size=count)] + 0.5 * rng.normal(size=(count, dimension))
    unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _found(hits: list[Hit], expected: list[Hit]) -> float:
    """Recall by distance: the share of hits that are no farther than the last one expected."""
    farthest = expected[-1].distance
    assert farthest is not None
    return sum(hit.distance is not None and hit.distance <= farthest + 1e-6 for hit in hits) / len(expected)


class LargeSearchRules(Fixtures):
    """Rules 6.1, 6.4 and 6.7 above 2,000 records."""

    def test_k_come_back_however_large_k_and_however_selective_the_filter(self, plane: Collection) -> None:
        """6.1 Never fewer because of an index: not for k above 40 or 1,000, for a filter, or after deletes."""
        rng = np.random.default_rng(61)
        vectors = rng.normal(size=(2500, 2))
        ids = [f"{at:04}" for at in range(2500)]
        # `rare` marks the ten records that are farthest from the query, where an index looks last.
        distances = np.linalg.norm(vectors, axis=1)
        order: list[int] = np.argsort(distances).tolist()
        far, near = set(order[-10:]), set(order[:60])
        plane.add(
            ids=ids,
            embeddings=vectors,
            metadatas=[{"rare": at in far, "half": at % 2 == 0, "at": at} for at in range(2500)],
        )
        for exact in _EXACT:
            for k in (41, 999, 1001, 2001, 2500, 3000):
                hits = plane.search([0, 0], k, exact=exact)
                assert len(set(ids_of(hits))) == len(hits) == min(k, 2500), (k, exact)
            rare = plane.search([0, 0], 10, where={"rare": True}, exact=exact)
            assert sorted(ids_of(rare)) == sorted(ids[at] for at in far), exact
            assert len(plane.search([0, 0], 1200, where={"half": True}, exact=exact)) == 1200
            assert len(plane.search([0, 0], 50, where={"at": {"$gte": 2460}}, exact=exact)) == 40
        assert plane.delete([ids[at] for at in near]) == 60
        for exact in _EXACT:
            hits = plane.search([0, 0], 10, exact=exact)
            assert len(hits) == 10, exact
            assert not {int(hit.id) for hit in hits} & near, exact

    def test_min_score_loses_no_hit_to_an_index(self, plane: Collection) -> None:
        """6.1 If k records reach the threshold, k come back; if fewer do, all of them."""
        plane.add(ids=[f"{at:04}" for at in range(2200)], embeddings=[[at, 0] for at in range(2200)])
        for exact in _EXACT:
            assert ids_of(plane.search([-1, 0], 50, min_score=1 / 6.5, exact=exact)) == [
                "0000",
                "0001",
                "0002",
                "0003",
                "0004",
            ]
            assert len(plane.search([-1, 0], 50, min_score=1 / 102.5, exact=exact)) == 50
            assert plane.search([-1, 0], 50, min_score=0.6, exact=exact) == []

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_a_few_hidden_among_many_identical_are_found(self, store: VectorStore, metric: Metric) -> None:
        """6.7 Where nine in ten vectors are the same, an index loses records; an exact search has them all."""
        rng = np.random.default_rng(900)
        vectors = _clustered(1000, 16, 1000, seed=900)
        same = np.sort(rng.permutation(1000)[:900])
        vectors[same] = vectors[same[0]]
        others = [at for at in range(1000) if at not in set(same.tolist())]
        ids = [f"{at:03}" for at in range(1000)]
        docs = store.create_collection("docs", dimension=16, metric=metric)
        docs.add(ids=ids, embeddings=vectors)
        for at in others[::10]:
            expected = ranking(metric, vectors[at], ids, vectors)
            assert_same_hits(docs.search(vectors[at], 20), expected, 20, metric, vectors[at])
            assert docs.search(vectors[at], 1)[0].id == ids[at]
        assert ids_of(docs.search(vectors[same[0]], 900, exact=True)) == [ids[at] for at in same]
        assert len(docs.search(vectors[0], 1000, exact=False)) == 1000

    def test_an_exact_search_of_many_records_finds_what_the_reference_finds(self, store: VectorStore) -> None:
        """6.7 `exact=True` above 2,000 records, and the default where the filter leaves at most 2,000 of more."""
        vectors = _clustered(2300, 24, 40, seed=670)
        vectors[100:140] = vectors[100]
        ids = [f"{at:04}" for at in range(2300)]
        metadatas: list[Any] = [{"at": at} for at in range(2300)]
        docs = store.create_collection("docs", dimension=24, metric="cosine")
        docs.add(ids=ids, embeddings=vectors, metadatas=metadatas)
        for at in (100, 2299):
            everything = ranking("cosine", vectors[at], ids, vectors, metadatas=metadatas)
            some = [hit for hit in everything if int(hit.id) < 2000]
            for k in (1, 10, 60, 2300):
                assert_same_hits(docs.search(vectors[at], k, exact=True), everything, k, "cosine", vectors[at])
                found = docs.search(vectors[at], k, where={"at": {"$lt": 2000}})
                assert_same_hits(found, some, k, "cosine", vectors[at])

    def test_results_do_not_depend_on_how_many_records_there_are(self, store: VectorStore) -> None:
        """6.7 Written, and then deleted, past the sizes at which stores build an index, fill a buffer or give one up.

        At each of them the record written last is found, and exact searches find what the reference finds: by default
        up to 2,000 records, and above with `exact=True` or where a filter leaves so few.
        """
        rng = np.random.default_rng(100)
        vectors = rng.integers(-4, 5, size=(2101, 4)).astype(np.float32)
        ids = [f"{at:04}" for at in rng.permutation(2101)]
        both = [
            each.create_collection("docs", dimension=4, metric="l2") for each in (store, VectorStore(MemoryBackend()))
        ]
        grow = [0, 1, 50, 99, 100, 101, 999, 1000, 1001, 1999, 2000, 2001, 2101]
        shrink = [2101, 2000, 1001, 999, 101, 99, 20, 1, 0]
        for before, count in (*pairwise(grow), *pairwise(shrink)):
            for docs in both:
                if before < count:
                    rows: list[Any] = [{"third": at % 3} for at in range(before, count)]
                    docs.add(ids=ids[before:count], embeddings=vectors[before:count], metadatas=rows)
                else:
                    assert docs.delete(ids[count:before]) == before - count
                assert docs.count() == count
            for query in (vectors[count - 1], np.array([0.5, 0, 0, 0], dtype=np.float32)):
                for where in (None, {"third": 1}):
                    exact = True if where is None and count > 2000 else None
                    everything = both[1].search(query, max(count, 1), where=where, include_embeddings=True)
                    assert_same_hits(both[0].search(query, where=where, exact=exact), everything, 10, "l2", query)

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_an_index_search_is_right_about_what_it_finds(self, store: VectorStore, metric: Metric) -> None:
        """6.7 Right distances, right order, no record twice, none that does not match, whatever it misses."""
        vectors = _clustered(500, 16, 500, seed=671) * np.float32(3)
        ids = [f"{at:04}" for at in range(500)]
        metadatas: list[Any] = [{"half": at % 2 == 0} for at in range(500)]
        docs = store.create_collection("docs", dimension=16, metric=metric)
        docs.add(ids=ids, embeddings=vectors, metadatas=metadatas)
        for at in (5, 250):
            everything = {hit.id: hit for hit in ranking(metric, vectors[at], ids, vectors, metadatas=metadatas)}
            for where in (None, {"half": True}):
                hits = docs.search(vectors[at], 30, where=where, exact=False)
                found = [everything[id] for id in ids_of(hits)]
                assert len({hit.id for hit in found}) == 30
                assert all(int(hit.id) % 2 == 0 for hit in found) or where is None
                # Held against the reference as if nothing else was stored, they are all of it, in its order.
                assert_same_hits(hits, [hit for hit in everything.values() if hit in found], 30, metric, vectors[at])

    @recall
    def test_recall_of_the_default_search_is_high(self, store: VectorStore) -> None:
        """6.7 recall@10 by distance above 2,000 records, on clustered vectors, filtered and not, is 0.95 or more."""
        vectors = _clustered(3020, 64, 100, seed=95)
        stored, queries = vectors[:3000], vectors[3000:]
        ids = [f"{at:04}" for at in range(3000)]
        metadatas: list[Any] = [{"at": at, "tenth": at % 10} for at in range(3000)]
        docs = store.create_collection("docs", dimension=64, metric="cosine")
        docs.add(ids=ids, embeddings=stored, metadatas=metadatas)
        filters: list[Any] = [None, {"at": {"$gte": 500}}, {"tenth": 3}, {"at": {"$lt": 30}}]
        for where in filters:
            expected = docs.search_many(queries, where=where, exact=True)
            for exact in (None, False):
                found = docs.search_many(queries, where=where, exact=exact)
                assert [len(hits) for hits in found] == [10] * len(queries)
                shares = [_found(hits, nearest) for hits, nearest in zip(found, expected, strict=True)]
                assert np.mean(shares) >= 0.95, f"recall@10 is {np.mean(shares):.3f}; where={where}, exact={exact}"
