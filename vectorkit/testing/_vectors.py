"""Rule 2.3 of the contract, what an embedding may be, and rules 6.9 and 6.10 with it."""

from typing import Any

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.errors import DimensionMismatchError, InvalidVectorError
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.types import Metric, Record

__all__ = ["VectorRules"]

_DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
_FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
# fmt: off
_NO_VECTORS: list[Any] = [
    *([np.nan, 1], [1, np.inf], [-np.inf, 1], [1e39, 1], [1, -1e39], [10**400, 1], [1e16, 0], [1e15, 1e15]),
    *(["1", "2"], [True, False], [1, True], [1j, 2], [None, 1], [[1], [2]], [object(), 1], [b"1", 1]),
    *([np.timedelta64(1, "s"), 1], "ab", b"ab"),
    *(5, 1.5, {0: 1, 1: 2}, {1, 2}, np.float32(1), np.array(1.0), np.array([[1.0, 2.0]]), object()),
    *(np.array([True, False]), np.array([1j, 2]), np.array(["1", "2"]), np.array([1, None]), np.array([np.nan, 1])),
    *(np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), np.array([1e39, 0]), (1, "2"), iter([1, 2])),
]
# fmt: on


class VectorRules(Fixtures):
    """Rules 2.3, 6.9 and 6.10."""

    def test_every_kind_of_number_is_taken(self, store: VectorStore) -> None:
        """2.3 Lists, tuples and every NumPy numeric type, as a column or row by row, are kept as float32."""
        docs = store.create_collection("docs", dimension=3, metric="l2")
        columns: list[Any] = [np.array([[1, 2, 3]], dtype=dtype) for dtype in (*_DTYPES, *_FLOATS)]
        columns += [[(1, 2, 3)], [[1, 2.0, np.float16(3)]], ([1, 2, 3],), [np.array([1, 2, 3], dtype=object)]]
        columns += [[np.array([1, 2, 3], dtype=dtype)] for dtype in (*_DTYPES, *_FLOATS)]
        columns += [
            np.array([[1, 9, 2, 9, 3]])[:, ::2],
            np.asfortranarray([[1.0, 2, 3]]),
            np.array([[1, 2, 3]], dtype=">f8"),
        ]
        for at, column in enumerate(columns):
            docs.add(ids=[f"{at:02}"], embeddings=column)
        found = docs.get(include_embeddings=True)
        assert len(found) == len(columns)
        for record in found:
            assert_embedding(record.embedding, [1, 2, 3])

    def test_numbers_are_kept_as_float32(self, store: VectorStore) -> None:
        """2.3 What float64 holds is rounded to the nearest float32, and measured as that."""
        docs = store.create_collection("docs", dimension=2, metric="l2")
        docs.add(ids=["a", "b"], embeddings=[[0.1, 16_777_217], [1e-30, 3.0]])
        a, b = docs.get(include_embeddings=True)
        assert_embedding(a.embedding, np.array([0.1, 16_777_216], dtype=np.float32))
        assert_embedding(b.embedding, [1e-30, 3.0])

    def test_what_is_no_vector_is_refused(self, plane: Collection) -> None:
        """2.3 NaN, infinity, what overflows float32, and what is no sequence of numbers: nothing is written."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        before = contents(plane)
        for vector in _NO_VECTORS:
            for write in (plane.add, plane.upsert):
                assert_refused(InvalidVectorError, write, ids=["b", "c"], embeddings=[[3, 4], vector])
            assert_refused(InvalidVectorError, plane.update, ids=["a"], embeddings=[vector])
        assert contents(plane) == before

    def test_what_is_no_query_vector_is_refused(self, plane: Collection) -> None:
        """6.9 A query is checked like a vector that is written, also where nothing is stored or asked for."""
        queries = [vector for vector in _NO_VECTORS if not isinstance(vector, str)]
        for query in queries:
            assert_refused(InvalidVectorError, plane.search, query)
            assert_refused(InvalidVectorError, plane.search, query, k=0)
            assert_refused(InvalidVectorError, plane.search_many, [[1, 2], query])
        for query in ([], [1], [1, 2, 3], np.ones(3)):
            assert_refused(DimensionMismatchError, plane.search, query)
            assert_refused(DimensionMismatchError, plane.search_many, [[1, 2], query])
        assert_refused(DimensionMismatchError, plane.search_many, np.ones((2, 3)))

    def test_another_length_is_refused(self, store: VectorStore) -> None:
        """2.3 `DimensionMismatchError` names both lengths, also on a collection that is empty."""
        docs = store.create_collection("docs", dimension=5)
        wrong: list[Any] = [[[1, 2, 3, 4]], [[1] * 6], [[1] * 5, [1] * 7], [[]], np.ones((1, 4)), np.ones((2, 0))]
        for embeddings in wrong:
            ids = [f"{at}" for at in range(len(embeddings))]
            length = len(embeddings[-1])
            for write in (docs.add, docs.upsert):
                message = assert_refused(DimensionMismatchError, write, ids=ids, embeddings=embeddings)
                assert f"{length}" in message
                assert "5" in message
        assert docs.count() == 0
        docs.add(ids=["a"], embeddings=[[1] * 5])
        assert_refused(DimensionMismatchError, docs.update, ids=["a"], embeddings=[[1] * 4])

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_norms_are_bounded(self, store: VectorStore, metric: Metric) -> None:
        """2.3 A norm above 1e15 is refused; what is just below is stored, found and measured."""
        docs = store.create_collection("docs", dimension=3, metric=metric)
        for vector in ([1.01e15, 0, 0], [0, -8e14, 8e14], [6e14, 6e14, 6e14]):
            assert_refused(InvalidVectorError, docs.add, ids=["a"], embeddings=[vector])
            assert_refused(InvalidVectorError, docs.search, vector)
        large = [[9.9e14, 0, 0], [0, 7e14, 7e14], [-9.9e14, 0, 0]]
        docs.add(ids=["a", "b", "c"], embeddings=large)
        for vector, record in zip(large, docs.get(include_embeddings=True), strict=True):
            assert_embedding(record.embedding, vector)
        assert ids_of(docs.search(large[0])) == ["a", "b", "c"]
        farthest = docs.search(large[0])[2]
        assert farthest.distance == pytest.approx({"cosine": 2.0, "l2": 1.98e15, "ip": 9.801e29}[metric], rel=1e-6)

    def test_tiny_and_zero_vectors_have_no_direction(self, store: VectorStore) -> None:
        """2.3 Under `cosine` a norm below 1e-12 is refused, on writing and on searching; what is above works."""
        docs = store.create_collection("docs", dimension=2, metric="cosine")
        for vector in ([0, 0], [0.0, -0.0], [9e-13, 0], [1e-20, 1e-20], [0, 1e-45]):
            assert_refused(InvalidVectorError, docs.add, ids=["a"], embeddings=[vector])
            assert_refused(InvalidVectorError, docs.search, vector)
        docs.add(ids=["a", "b", "c"], embeddings=[[2e-12, 0], [0, 1.5e-12], [1e14, 1e14]])
        assert_embedding(docs.get(["a"], include_embeddings=True)[0].embedding, [2e-12, 0])
        hits = docs.search([1.1e-12, 0])
        assert ids_of(hits) == ["a", "c", "b"]
        assert [hit.distance for hit in hits] == pytest.approx([0, 1 - 0.5**0.5, 1], abs=1e-6)

    @pytest.mark.parametrize("metric", ["l2", "ip"])
    def test_a_zero_vector_is_one_like_others_where_it_has_a_meaning(self, store: VectorStore, metric: Metric) -> None:
        """2.3 Under `l2` and `ip` it is stored, searched with, and found."""
        docs = store.create_collection("docs", dimension=2, metric=metric)
        docs.add(ids=["one", "zero", "tiny"], embeddings=[[3, 4], [0, 0], [1e-20, 0]])
        assert_embedding(docs.get(["zero"], include_embeddings=True)[0].embedding, [0, 0])
        hits = docs.search([0, 0])
        assert sorted(ids_of(hits)) == ["one", "tiny", "zero"]
        assert [hit.distance for hit in hits] == pytest.approx({"l2": [0, 0, 5], "ip": [0, 0, 0]}[metric], abs=1e-6)
        assert {hit.id: hit.score for hit in docs.search([3, 4])}["zero"] == pytest.approx(
            {"l2": 1 / 6, "ip": 0}[metric]
        )

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_embeddings_are_returned_only_when_asked_for(self, store: VectorStore, metric: Metric) -> None:
        """6.10 They are float32 arrays that equal what was written within 1e-6 of its norm."""
        rng = np.random.default_rng(610)
        vectors = (rng.normal(size=(20, 24)) * 10.0 ** rng.integers(-6, 7, size=(20, 1))).astype(np.float32)
        docs = store.create_collection("docs", dimension=24, metric=metric)
        ids = docs.add(ids=[f"{at:02}" for at in range(20)], embeddings=vectors)
        for found in (docs.get(), list(docs.scan()), docs.search(vectors[0], k=20), docs.get(ids)):
            assert [item.embedding is None for item in found] == [True] * 20
        for asked in (
            docs.get(include_embeddings=True),
            docs.get(ids[::-1], include_embeddings=True),
            list(docs.scan(include_embeddings=True)),
            docs.search(vectors[0], k=20, include_embeddings=True),
            docs.search_many(vectors[:2], k=20, include_embeddings=True)[1],
        ):
            assert len(asked) == 20
            for item in asked:
                assert_embedding(item.embedding, vectors[ids.index(item.id)])

    def test_a_record_that_was_read_can_be_written(self, plane: Collection) -> None:
        """6.10 What `get` and `scan` return is taken by `upsert` as it is."""
        plane.add(ids=["a", "b"], embeddings=[[1, 2], [3, 4]], documents=["x", None], metadatas=[{"v": 1}, {}])
        before = plane.get(include_embeddings=True)
        plane.upsert(records=before)
        plane.upsert(records=plane.scan(include_embeddings=True))
        after = plane.get(include_embeddings=True)
        assert after == before
        assert_embedding(after[0].embedding, [1, 2])
        assert_embedding(after[1].embedding, [3, 4])
        plane.upsert(records=[Record("a", embedding=np.array([1, 2]))])
        assert plane.get(["a"])[0].document is None
