"""Section 6 of the contract on few records: k, formulas, agreement with the reference, thresholds."""

import math
from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import InvalidArgumentError, InvalidFilterError
from vectorkit.memory import MemoryBackend
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, assert_same_hits, ids_of, tolerance
from vectorkit.testing._fixtures import Fixtures
from vectorkit.types import FloatArray, Metric

__all__ = ["SearchRules"]

_METRICS: list[Metric] = ["cosine", "l2", "ip"]

# Worked out by hand: query and vector, and distance and score under each metric (rules 6.2 and 6.3).
_FORMULAS: list[tuple[list[float], list[float], dict[Metric, tuple[float, float]]]] = [
    ([3, 4], [3, 4], {"cosine": (0, 1), "l2": (0, 1), "ip": (-25, 25)}),
    ([3, 4], [6, 8], {"cosine": (0, 1), "l2": (5, 1 / 6), "ip": (-50, 50)}),
    ([3, 4], [4, 3], {"cosine": (0.04, 0.96), "l2": (math.sqrt(2), 1 / (1 + math.sqrt(2))), "ip": (-24, 24)}),
    ([3, 4], [-4, 3], {"cosine": (1, 0), "l2": (math.sqrt(50), 1 / (1 + math.sqrt(50))), "ip": (0, 0)}),
    ([3, 4], [-3, -4], {"cosine": (2, -1), "l2": (10, 1 / 11), "ip": (25, -25)}),
    ([3, 4], [5, 0], {"cosine": (0.4, 0.6), "l2": (math.sqrt(20), 1 / (1 + math.sqrt(20))), "ip": (-15, 15)}),
    ([1, 0], [4, 3], {"cosine": (0.2, 0.8), "l2": (math.sqrt(18), 1 / (1 + math.sqrt(18))), "ip": (-4, 4)}),
    ([0.5, 0], [0.25, 0], {"cosine": (0, 1), "l2": (0.25, 0.8), "ip": (-0.125, 0.125)}),
    ([1, 0], [-1000, 0], {"cosine": (2, -1), "l2": (1001, 1 / 1002), "ip": (1000, -1000)}),
]


def ranking(metric: Metric, query: Any, ids: list[str], vectors: FloatArray, **given: Any) -> list[Any]:
    """What the reference finds among the vectors, all of it, with embeddings."""
    reference = VectorStore(MemoryBackend()).create_collection("reference", dimension=vectors.shape[1], metric=metric)
    reference.add(ids=ids, embeddings=vectors, **given)
    return reference.search(query, k=len(ids), include_embeddings=True)


class SearchRules(Fixtures):
    """Rules 6.1 to 6.3, 6.5, 6.6, 6.8, and 6.7 where no index comes in."""

    def test_k_is_how_many_come_back(self, plane: Collection) -> None:
        """6.1 The k nearest; all records if there are fewer; none for 0; any int will do."""
        plane.add(ids=[f"{at:03}" for at in range(60)], embeddings=[[at, 0] for at in range(60)])
        everything = [f"{at:03}" for at in range(60)]
        for k in (0, 1, 2, 39, 40, 41, 59, 60, 61, 1000, 1001, 40_000, 2**31, 2**63, 10**30):
            assert ids_of(plane.search([0, 0], k)) == everything[:k], f"k={k}"
        assert len(plane.search([0, 0])) == 10
        numpy_k: Any = np.int64(7)
        assert ids_of(plane.search([0, 0], numpy_k)) == everything[:7]

    def test_bad_arguments_are_refused(self, plane: Collection) -> None:
        """6.1 Each by the class for it, also on an empty collection and where nothing is asked for."""
        bad: list[Any] = [-1, 1.0, 1.5, "1", None, True, [1], np.float64(1), -(10**30)]
        for k in bad:
            assert_refused(InvalidArgumentError, plane.search, [1, 2], k)
            assert_refused(InvalidArgumentError, plane.search_many, [[1, 2]], k)
        arguments: list[dict[str, Any]] = [
            *({"mode": "nearest"}, {"mode": None}, {"mode": 1}, {"exact": 1}, {"exact": "yes"}),
            {"include_embeddings": 1},
            *({"min_score": "1"}, {"min_score": math.nan}, {"min_score": True}, {"min_score": [1]}),
        ]
        for given in arguments:
            assert_refused(InvalidArgumentError, plane.search, [1, 2], **given)
            assert_refused(InvalidArgumentError, plane.search, [1, 2], k=0, **given)
        assert_refused(InvalidFilterError, plane.search, [1, 2], where={"v": {"$bad": 1}})
        assert_refused(InvalidFilterError, plane.search, [1, 2], k=0, where={"v": {"$bad": 1}})

    def test_fewer_hits_than_k_come_only_if_fewer_match(self, plane: Collection) -> None:
        """6.1 With a filter, all that match come, however far away they are."""
        plane.add(
            ids=[f"{at:03}" for at in range(200)],
            embeddings=[[at, 0] for at in range(200)],
            documents=[f"{'odd' if at % 2 else 'even'} {at}" for at in range(200)],
            metadatas=[{"at": at, "last": at >= 195} for at in range(200)],
        )
        last = [f"{at:03}" for at in range(195, 200)]
        for exact in (None, True, False):
            for k in (5, 6, 100):
                assert ids_of(plane.search([0, 0], k, where={"last": True}, exact=exact)) == last
            assert set(ids_of(plane.search([0, 0], 3, where={"last": True}, exact=exact))) < set(last)
            both = plane.search([0, 0], 10, where={"last": True}, where_document={"$contains": "odd"}, exact=exact)
            assert ids_of(both) == ["195", "197", "199"]
            assert plane.search([0, 0], where={"at": 200}, exact=exact) == []
            assert len(plane.search([0, 0], 2, where={}, where_document={}, exact=exact)) == 2

    @pytest.mark.parametrize("metric", _METRICS)
    def test_distances_are_the_metrics_own(self, store: VectorStore, metric: Metric) -> None:
        """6.2 cosine `1 - cos`, l2 the root of the sum of squares, ip the negative product; smaller is nearer."""
        docs = store.create_collection("docs", dimension=2, metric=metric)
        docs.add(ids=[f"{at}" for at in range(len(_FORMULAS))], embeddings=[vector for _, vector, _ in _FORMULAS])
        for at, (query, vector, expected) in enumerate(_FORMULAS):
            found = {hit.id: hit.distance for hit in docs.search(query, k=20)}
            assert found[f"{at}"] == pytest.approx(expected[metric][0], rel=1e-6, abs=1e-6), (query, vector)

    @pytest.mark.parametrize("metric", _METRICS)
    def test_scores_are_the_metrics_own(self, store: VectorStore, metric: Metric) -> None:
        """6.3 cosine `cos`, l2 `1 / (1 + distance)`, ip the product; larger is better."""
        docs = store.create_collection("docs", dimension=2, metric=metric)
        docs.add(ids=[f"{at}" for at in range(len(_FORMULAS))], embeddings=[vector for _, vector, _ in _FORMULAS])
        for at, (query, vector, expected) in enumerate(_FORMULAS):
            hits = docs.search(query, k=20)
            assert {hit.id: hit.score for hit in hits}[f"{at}"] == pytest.approx(
                expected[metric][1], rel=1e-6, abs=1e-6
            ), (query, vector)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @pytest.mark.parametrize("metric", _METRICS)
    def test_opposite_vectors_are_opposite_in_any_dimension(self, store: VectorStore, metric: Metric) -> None:
        """6.2 Also vectors of one number, of which there are two directions."""
        for dimension in (1, 2, 3, 8):
            docs = store.create_collection(f"docs-{dimension}", dimension=dimension, metric=metric)
            docs.add(ids=["far", "near"], embeddings=[[-2.0] * dimension, [3.0] * dimension])
            root = math.sqrt(dimension)
            expected: dict[Metric, list[tuple[str, float, float]]] = {
                "cosine": [("near", 0, 1), ("far", 2, -1)],
                "l2": [("near", 2 * root, 1 / (1 + 2 * root)), ("far", 3 * root, 1 / (1 + 3 * root))],
                "ip": [("near", -3 * dimension, 3 * dimension), ("far", 2 * dimension, -2 * dimension)],
            }
            for exact in (None, True, False):
                hits = docs.search([1.0] * dimension, exact=exact)
                for hit, (id, distance, score) in zip(hits, expected[metric], strict=True):
                    assert hit.id == id, (dimension, exact)
                    assert (hit.distance, hit.score) == pytest.approx((distance, score), rel=1e-6, abs=1e-6)

    def test_a_cosine_is_never_beyond_its_range(self, store: VectorStore) -> None:
        """6.2 Rounding takes no distance out of [0, 2], nor a score out of [-1, 1]; parallel vectors tie."""
        rng = np.random.default_rng(62)
        vectors = np.repeat(rng.normal(size=(10, 48)), 3, axis=0) * np.tile([1, 3, -0.7], 10)[:, None]
        docs = store.create_collection("docs", dimension=48)
        docs.add(ids=[f"{at:02}" for at in range(30)], embeddings=vectors)
        for vector in vectors:
            for hit in docs.search(vector, k=30):
                assert hit.distance is not None
                assert 0 <= hit.distance <= 2
                assert -1 <= hit.score <= 1

    @pytest.mark.parametrize("dimension", [2, 32, 384])
    @pytest.mark.parametrize("metric", _METRICS)
    def test_distances_and_scores_agree_with_the_reference(
        self, store: VectorStore, metric: Metric, dimension: int
    ) -> None:
        """6.5 Within the tolerance, on vectors of any direction and of norms that differ by powers of ten."""
        rng = np.random.default_rng(dimension)
        spread = 10.0 ** rng.integers(-3, 4, size=(120, 1))
        vectors = (rng.normal(size=(120, dimension)) * spread).astype(np.float32)
        ids = [f"{at:03}" for at in range(120)]
        docs = store.create_collection("docs", dimension=dimension, metric=metric)
        docs.add(ids=ids, embeddings=vectors)
        for query in (rng.normal(size=(4, dimension)) * 10.0 ** rng.integers(-3, 4, size=(4, 1))).astype(np.float32):
            expected = ranking(metric, query, ids, vectors)
            for k in (1, 10, 119, 120):
                assert_same_hits(docs.search(query, k), expected, k, metric, query)
            assert_same_hits(docs.search(query, 120, exact=True), expected, 120, metric, query)

    @pytest.mark.parametrize("metric", _METRICS)
    def test_what_lies_near_the_query_is_measured_as_well(self, store: VectorStore, metric: Metric) -> None:
        """6.5 A record is at no distance from itself, and near copies are where they are, whatever their norms."""
        rng = np.random.default_rng(650)
        base = (rng.normal(size=(12, 64)) * 10.0 ** rng.integers(-3, 4, size=(12, 1))).astype(np.float32)
        near = [base * (1 + rng.normal(size=base.shape) * off) for off in (1e-5, 1e-3)]
        vectors = np.concatenate([base, *near]).astype(np.float32)
        ids = [f"{at:02}" for at in range(36)]
        docs = store.create_collection("docs", dimension=64, metric=metric)
        docs.add(ids=ids, embeddings=vectors)
        for query in vectors[::3]:
            expected = ranking(metric, query, ids, vectors)
            for exact in (None, True, False):
                assert_same_hits(docs.search(query, 36, exact=exact), expected, 36, metric, query)

    def test_near_misses_are_told_apart(self, store: VectorStore) -> None:
        """6.5 Records whose distances differ by more than the tolerance never swap, be it ever so little."""
        for metric in _METRICS:
            docs = store.create_collection(f"docs-{metric}", dimension=2, metric=metric)
            angles = np.arange(50) * 2e-3 + 0.5
            vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
            order = np.random.default_rng(65).permutation(50)
            docs.add(ids=[f"{at:02}" for at in order], embeddings=vectors[order])
            found = ids_of(docs.search([math.cos(0.4), math.sin(0.4)], k=25))
            assert found == [f"{at:02}" for at in range(25)], metric

    @pytest.mark.parametrize("metric", _METRICS)
    def test_min_score_keeps_what_reaches_it(self, store: VectorStore, metric: Metric) -> None:
        """6.6 A hit whose score is the threshold stays, what is below by more than the tolerance goes."""
        rng = np.random.default_rng(66)
        docs = store.create_collection("docs", dimension=4, metric=metric)
        docs.add(ids=[f"{at:02}" for at in range(40)], embeddings=rng.normal(size=(40, 4)))
        query = rng.normal(size=4).astype(np.float32)
        everything = docs.search(query, k=40, include_embeddings=True)
        for place in (0, 1, 5, 20, 39):
            least = everything[place].score
            for exact in (None, True, False):
                assert ids_of(docs.search(query, k=40, min_score=least, exact=exact)) == ids_of(everything[: place + 1])
            assert ids_of(docs.search(query, k=3, min_score=least)) == ids_of(everything[: min(place + 1, 3)])
            vector = everything[place].embedding
            assert vector is not None
            above = least + 2.1 * tolerance(metric, query, vector) + 1e-6
            assert everything[place].id not in ids_of(docs.search(query, k=40, min_score=above))
        assert docs.search(query, min_score=math.inf) == docs.search(query, min_score=1e9) == []
        assert len(docs.search(query, k=40, min_score=-math.inf)) == 40

    def test_a_threshold_exactly_at_a_score_keeps_it(self, store: VectorStore) -> None:
        """6.6 Also where neither is exact in binary; what is a hundred-thousandth below goes."""
        cases: list[tuple[Metric, list[float], list[list[float]], float]] = [
            ("cosine", [1, 0], [[3, 4], [4, 3], [3, 4.0001], [-3, 4]], 0.6),
            ("l2", [0, 0], [[0, 3], [1, 0], [3.0001, 0], [9, 0]], 0.25),
            ("ip", [1, 0], [[0.3, 5], [0.7, -5], [0.29999, 5], [-0.3, 5]], 0.3),
        ]
        for metric, query, vectors, least in cases:
            docs = store.create_collection(f"docs-{metric}", dimension=2, metric=metric)
            docs.add(ids=["at", "above", "below", "far below"], embeddings=vectors)
            for exact in (None, True, False):
                assert ids_of(docs.search(query, min_score=least, exact=exact)) == ["above", "at"], metric
                assert ids_of(docs.search(query, 1, min_score=least, exact=exact)) == ["above"], metric

    def test_min_score_is_a_score_and_not_a_distance(self, store: VectorStore) -> None:
        """6.6 Under every metric it is the larger score that stays."""
        cases: list[tuple[Metric, float, list[str]]] = [
            *(("cosine", 0.9, ["a"]), ("l2", 0.4, ["a", "b"]), ("ip", 1.5, ["c", "b"])),
        ]
        for metric, least, found in cases:
            docs = store.create_collection(f"docs-{metric}", dimension=2, metric=metric)
            docs.add(ids=["a", "b", "c", "d"], embeddings=[[1, 0], [2, 1], [3, 4], [-1, 0]])
            assert ids_of(docs.search([1, 0], min_score=least)) == found, metric

    @pytest.mark.parametrize("metric", _METRICS)
    def test_an_exact_search_finds_what_the_reference_finds(self, store: VectorStore, metric: Metric) -> None:
        """6.7 With few records every search is exact by default, filtered or not, whatever was written before."""
        rng = np.random.default_rng(67)
        ids = [f"{at:03}" for at in range(400)]
        vectors = rng.integers(-3, 4, size=(400, 3)).astype(np.float32)
        vectors[~vectors.any(axis=1)] = 1
        metadatas: list[Any] = [{"at": at, "even": at % 2 == 0} for at in range(400)]
        docs = store.create_collection("docs", dimension=3, metric=metric)
        docs.add(ids=ids, embeddings=rng.normal(size=(400, 3)))
        docs.upsert(ids=ids[::-1], embeddings=vectors[::-1], metadatas=metadatas[::-1])
        docs.delete(ids[300:])
        for query in rng.integers(-3, 4, size=(5, 3)).astype(np.float32) + np.float32(0.5):
            everything = ranking(metric, query, ids[:300], vectors[:300], metadatas=metadatas[:300])
            even = [hit for hit in everything if hit.metadata["even"]]
            for k in (1, 10, 50, 300):
                assert_same_hits(docs.search(query, k), everything, k, metric, query)
                assert_same_hits(docs.search(query, k, exact=True), everything, k, metric, query)
                assert_same_hits(docs.search(query, k, where={"even": True}), even, k, metric, query)

    def test_search_many_equals_one_search_a_query(self, texts: Collection) -> None:
        """6.8 For vectors, texts and both, with every argument, in the order of the queries."""
        texts.add(
            ids=[f"{at:02}" for at in range(30)],
            documents=[f"text {at}" for at in range(30)],
            metadatas=[{"even": at % 2 == 0} for at in range(30)],
        )
        rng = np.random.default_rng(68)
        vectors = rng.normal(size=(5, 8))
        several: list[Any] = [vectors, list(vectors), ["text 1", "text 2"], ["text 3", vectors[0], "", [1] * 8]]
        arguments: list[dict[str, Any]] = [
            *({}, {"k": 3}, {"where": {"even": True}}, {"min_score": 0.5}, {"exact": True, "k": 30}),
        ]
        for queries in several:
            for given in arguments:
                together = texts.search_many(queries, **given)
                alone = [texts.search(query, **given) for query in queries]
                assert [ids_of(hits) for hits in together] == [ids_of(hits) for hits in alone]
                for hits, others in zip(together, alone, strict=True):
                    assert [hit.distance for hit in hits] == pytest.approx([hit.distance for hit in others], abs=1e-6)
                    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in others], abs=1e-6)
                    assert [(hit.document, hit.metadata) for hit in hits] == [
                        (hit.document, hit.metadata) for hit in others
                    ]

    def test_what_is_no_list_of_queries_is_refused(self, plane: Collection) -> None:
        """6.9 A text or a single vector is no list of queries."""
        bad: list[Any] = ["text", [1, 2], np.ones(2), None, 5, {"a": 1}, np.array(1.0)]
        for queries in bad:
            assert_refused(InvalidArgumentError, plane.search_many, queries)
