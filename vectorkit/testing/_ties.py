"""Rule 6.4 of the contract: order, ties, and the prefix property."""

from itertools import pairwise

import numpy as np
import pytest

from vectorkit.collection import Collection
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import ids_of
from vectorkit.testing._fixtures import Fixtures
from vectorkit.types import Metric

__all__ = ["TieRules"]


def _shuffled(count: int, *, seed: int) -> list[str]:
    """Ids in an order of writing that is not theirs."""
    return [f"{at:04}" for at in np.random.default_rng(seed).permutation(count)]


class TieRules(Fixtures):
    """Rule 6.4."""

    def test_equal_distances_are_ordered_by_id(self, plane: Collection) -> None:
        """6.4 By code point, whatever the order of writing; the cut falls between them, too."""
        ids = ["b", "é", "a", "e\u0301", "B", "\U00010000", "10", "\uff5e", "9", "a "]
        plane.add(
            ids=ids, embeddings=[[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0], [0, 1], [-1, 0], [0, -1], [1, 0], [0, 1]]
        )
        for k in range(1, 12):
            assert ids_of(plane.search([0, 0], k)) == sorted(ids)[:k]

    def test_ties_at_the_cut_go_to_the_smallest_ids(self, plane: Collection) -> None:
        """6.4 Nearer records first, then of those that tie the first by id, then nothing of what is farther."""
        tied = _shuffled(30, seed=1)
        plane.add(ids=tied, embeddings=[[3, 4]] * 30)
        plane.add(ids=["z near", "a far"], embeddings=[[1, 0], [9, 0]])
        for exact in (None, True):
            assert ids_of(plane.search([0, 0], 4, exact=exact)) == ["z near", "0000", "0001", "0002"]
            assert ids_of(plane.search([0, 0], 31, exact=exact)) == ["z near", *sorted(tied)]
            assert ids_of(plane.search([0, 0], 40, exact=exact))[-1] == "a far"

    def test_ties_do_not_depend_on_the_history_of_the_records(self, plane: Collection) -> None:
        """6.4 Replaced, updated, and deleted and added again, they stand where their ids put them."""
        ids = _shuffled(20, seed=2)
        plane.add(ids=ids, embeddings=[[1, 1]] * 20)
        plane.upsert(ids=["0003", "0000"], embeddings=[[1, 1]] * 2)
        plane.update(ids=["0005"], embeddings=[[1, 1]])
        plane.update(ids=["0001"], metadatas=[{"v": 1}])
        plane.delete(["0002", "0007"])
        plane.add(ids=["0002"], embeddings=[[1, 1]])
        expected = [id for id in sorted(ids) if id != "0007"]
        assert ids_of(plane.search([5, 5], 10)) == expected[:10]
        assert ids_of(plane.search([5, 5], 19)) == expected

    def test_ties_among_those_that_match_go_by_id(self, plane: Collection) -> None:
        """6.4 With a filter the cut is made among the records that match."""
        plane.add(
            ids=(ids := _shuffled(60, seed=3)),
            embeddings=[[1, 1]] * 60,
            metadatas=[{"third": int(id) % 3} for id in ids],
        )
        expected = [f"{at:04}" for at in range(1, 60, 3)]
        for k in (1, 7, 20, 25):
            assert ids_of(plane.search([0, 0], k, where={"third": 1})) == expected[:k]

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_two_hundred_identical_vectors_are_all_found_in_order(self, store: VectorStore, metric: Metric) -> None:
        """6.4 The smallest ids come back, at any k, from an exact search; all of them from any search."""
        docs = store.create_collection("docs", dimension=16, metric=metric)
        ids = _shuffled(200, seed=4)
        vector = np.random.default_rng(4).normal(size=16).astype(np.float32)
        docs.add(ids=ids, embeddings=np.tile(vector, (200, 1)))
        for k in (1, 10, 50, 150, 199, 200, 300):
            assert ids_of(docs.search(vector, k)) == sorted(ids)[:k]
            assert ids_of(docs.search(-vector, k, exact=True)) == sorted(ids)[:k]
        assert sorted(ids_of(docs.search(vector, 200, exact=False))) == sorted(ids)

    @pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
    def test_the_hits_of_k_are_the_first_of_the_hits_of_more(self, store: VectorStore, metric: Metric) -> None:
        """6.4 Also where many records tie, with and without a filter."""
        rng = np.random.default_rng(64)
        vectors = rng.integers(-2, 3, size=(150, 3)).astype(np.float32)
        vectors[~vectors.any(axis=1)] = 1
        ids = _shuffled(150, seed=5)
        docs = store.create_collection("docs", dimension=3, metric=metric)
        docs.add(ids=ids, embeddings=vectors, metadatas=[{"even": int(id) % 2 == 0} for id in ids])
        for where in (None, {"even": True}):
            for query in ([1, 1, 0], [0.1, -0.2, 0.3]):
                found = [docs.search(query, k, where=where) for k in (*range(1, 8), 10, 11, 40, 150)]
                for fewer, more in pairwise(found):
                    assert fewer == more[: len(fewer)]
