"""Section 1 of the contract: collections."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from vectorkit.collection import Collection
from vectorkit.errors import (
    CollectionExistsError,
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidArgumentError,
    InvalidNameError,
)
from vectorkit.filters import F
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures, TextEmbedder
from vectorkit.types import Metric

__all__ = ["CollectionRules"]

# fmt: off
_NAMES = [
    "abc",
    "a-b",
    "a_b",
    "A0z",
    "0-0",
    "1_000",
    "x" * 48,
    "a--b",
    "a__b",
    "select",
    "table",
    "null",
    "public",
    "vk0",
]
# fmt: on
# fmt: off
_NO_NAMES: list[object] = [
    *("", "a", "ab", "x" * 49, "_ab", "ab_", "-ab", "ab-", "a b", "a.b", "a/b", "../ab", "a'b", 'a"b', "a;b", "a%b"),
    *("äbc", "abç", "１２３", "abc\n", "\nabc", "abc\0", "a\0c", "ab\ud800", " abc", "abc ", "a\u200bc"),
    *(None, 3, b"abc", ["abc"], ("a", "b", "c")),
]
# fmt: on


class CollectionRules(Fixtures):
    """Rules 1.1 to 1.3, 1.5 and 1.6."""

    def test_a_name_has_3_to_48_letters_digits_underscores_and_hyphens(self, store: VectorStore) -> None:
        """1.1 Every name the rule allows can be created, opened and dropped."""
        for name in _NAMES:
            store.create_collection(name, dimension=2).add(ids=[name], embeddings=[[1, 2]])
        assert [info.name for info in store.list_collections()] == sorted(_NAMES)
        for name in _NAMES:
            assert ids_of(store.get_collection(name).get()) == [name]
            store.drop_collection(name)
        assert store.list_collections() == []

    def test_other_names_are_refused(self, store: VectorStore) -> None:
        """1.1 A name the rule does not allow is refused by every call that takes one, and nothing is created."""
        for name in _NO_NAMES:
            assert_refused(InvalidNameError, store.create_collection, name, dimension=2)
            assert_refused(InvalidNameError, store.get_collection, name)
            assert_refused(InvalidNameError, store.get_or_create_collection, name, dimension=2)
            assert_refused(InvalidNameError, store.drop_collection, name)
        assert store.list_collections() == []

    def test_names_are_case_sensitive(self, store: VectorStore) -> None:
        """1.1 Names that differ by case are three collections."""
        names = ["DOCS", "Docs", "docs"]
        for name in names:
            store.create_collection(name, dimension=2).add(ids=[name], embeddings=[[1, 2]])
        assert [ids_of(store.get_collection(name).get()) for name in names] == [["DOCS"], ["Docs"], ["docs"]]
        assert_refused(CollectionNotFoundError, store.get_collection, "dOCS")

    def test_collections_are_listed_by_name(self, store: VectorStore) -> None:
        """1.1 The list is in ascending order of name, by code point, with what each was created with."""
        names = ["b-1", "B-1", "a_1", "a-1", "A-1", "a10", "a-10"]
        made = {name: store.create_collection(name, dimension=2 + at).info() for at, name in enumerate(names)}
        assert store.list_collections() == [made[name] for name in sorted(names)]

    @pytest.mark.parametrize(("given", "stored"), [("cosine", "cosine"), ("l2", "l2"), ("ip", "ip"), ("dot", "ip")])
    def test_the_metric_and_the_dimension_are_kept(self, store: VectorStore, given: Metric, stored: Metric) -> None:
        """1.2 Metric (`dot` is `ip`) and dimension are those of the creation, also for who opens the collection."""
        created = store.create_collection("docs", dimension=7, metric=given)
        opened = store.get_collection("docs")
        for info in (created.info(), opened.info(), *store.list_collections()):
            assert (info.name, info.metric, info.dimension) == ("docs", stored, 7)
            assert info.spec.embedder is None
        assert created.info() == opened.info()

    def test_the_metric_is_cosine_and_the_dimension_the_embedders_by_default(
        self, store: VectorStore, embedder: TextEmbedder
    ) -> None:
        """1.2 Defaults."""
        info = store.create_collection("docs", embedder=embedder).info()
        assert (info.metric, info.dimension, info.spec.text_index) == ("cosine", 8, False)

    def test_dimensions_from_1_to_16000_are_taken(self, store: VectorStore) -> None:
        """1.2 The smallest and the largest dimension can be written and searched."""
        for dimension in (1, 16_000):
            docs = store.create_collection(f"d-{dimension}", dimension=dimension, metric="l2")
            vectors = [[float(at)] * dimension for at in range(3)]
            docs.add(ids=["a", "b", "c"], embeddings=vectors)
            assert ids_of(docs.search(vectors[2], k=2)) == ["c", "b"]
            assert docs.search(vectors[2], k=2)[1].distance == pytest.approx(dimension**0.5)

    def test_another_metric_or_dimension_is_refused(self, store: VectorStore, embedder: TextEmbedder) -> None:
        """1.2 Anything else is refused, and nothing is created."""
        bad_dimensions: list[object] = [0, -1, 16_001, 10**30, True, 1.5, 2.0, "2", [2]]
        for dimension in bad_dimensions:
            assert_refused(InvalidArgumentError, store.create_collection, "docs", dimension=dimension)
        bad_metrics: list[object] = ["euclidean", "COSINE", "", None, 3, ["l2"]]
        for metric in bad_metrics:
            assert_refused(InvalidArgumentError, store.create_collection, "docs", dimension=2, metric=metric)
        assert_refused(InvalidArgumentError, store.create_collection, "docs")
        assert_refused(InvalidArgumentError, store.create_collection, "docs", embedder=embedder, dimension=9)
        assert store.list_collections() == []

    def test_creating_an_existing_name_is_refused(self, store: VectorStore, plane: Collection) -> None:
        """1.3 `CollectionExistsError`, whatever the arguments, and what is there stays as it is."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        before = contents(plane)
        assert_refused(CollectionExistsError, store.create_collection, "plane", dimension=2, metric="l2")
        assert_refused(CollectionExistsError, store.create_collection, "plane", dimension=3, metric="ip")
        assert contents(plane) == before
        assert store.list_collections() == [plane.info()]

    def test_a_missing_collection_is_not_found(self, store: VectorStore) -> None:
        """1.3 Opening or dropping one raises; `missing_ok` makes dropping do nothing."""
        assert_refused(CollectionNotFoundError, store.get_collection, "docs")
        assert_refused(CollectionNotFoundError, store.drop_collection, "docs")
        store.drop_collection("docs", missing_ok=True)
        assert store.list_collections() == []

    def test_get_or_create_opens_what_is_there(self, store: VectorStore) -> None:
        """1.3 It creates once, then opens; arguments left out, and index settings, are not compared."""
        created = store.get_or_create_collection("docs", dimension=3, metric="ip")
        created.add(ids=["a"], embeddings=[[1, 2, 3]])
        for opened in (
            store.get_or_create_collection("docs"),
            store.get_or_create_collection("docs", dimension=3),
            store.get_or_create_collection("docs", metric="dot", index="none"),
            store.get_or_create_collection("docs", dimension=3, metric="ip", language="english"),
        ):
            assert opened.info() == created.info()
            assert ids_of(opened.get()) == ["a"]

    def test_get_or_create_refuses_what_differs(self, store: VectorStore, embedder: TextEmbedder) -> None:
        """1.3 An argument that was given and differs from what is stored is a `CollectionMismatchError`."""
        docs = store.create_collection("docs", dimension=8, metric="ip")
        assert_refused(CollectionMismatchError, store.get_or_create_collection, "docs", dimension=9)
        assert_refused(CollectionMismatchError, store.get_or_create_collection, "docs", metric="cosine")
        assert_refused(CollectionMismatchError, store.get_or_create_collection, "docs", language="german")
        assert_refused(CollectionMismatchError, store.get_or_create_collection, "docs", embedder=embedder)
        assert store.list_collections() == [docs.info()]

    def test_one_of_many_that_create_at_once_creates(self, store: VectorStore) -> None:
        """1.3 Threads that all get or create one name end with one collection."""
        with ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(partial(store.get_or_create_collection, dimension=2), ["docs"] * 16))
        assert len(store.list_collections()) == 1
        for at, collection in enumerate(opened):
            collection.add(ids=[f"{at:02}"], embeddings=[[1, at]])
        assert opened[0].count() == 16

    def test_collections_are_independent(self, store: VectorStore) -> None:
        """1.5 The same id in two collections is two records, also in filters, searches, updates and deletes."""
        here = store.create_collection("here", dimension=2, metric="l2")
        there = store.create_collection("there", dimension=3, metric="ip")
        here.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=["x", "x"], metadatas=[{"v": 1}, {"v": 1}])
        there.add(ids=["a", "c"], embeddings=[[0, 1, 0], [0, 2, 0]], documents=["y", "x"], metadatas=[{"v": 2}, {}])
        before = contents(there)
        assert (ids_of(here.search([0, 0])), ids_of(there.search([0, 1, 0]))) == (["a", "b"], ["c", "a"])
        assert (here.count({"v": 1}), there.count({"v": 1})) == (2, 0)
        assert (here.count(where_document={"$contains": "x"}), there.count(where_document={"$contains": "x"})) == (2, 1)
        here.update(ids=["a"], embeddings=[[9, 9]], documents=["z"], metadatas=[{"v": 3}])
        here.upsert(ids=["c"], embeddings=[[5, 5]])
        assert here.delete(["a", "b", "c"]) == 3
        assert contents(there) == before
        store.drop_collection("here")
        assert contents(there) == before

    @pytest.mark.parametrize("created_again", [False, True])
    def test_a_handle_of_a_dropped_collection_is_stale(self, store: VectorStore, created_again: bool) -> None:
        """1.6 Every method raises `CollectionNotFoundError`, and one created since under the name is left alone."""
        stale = store.create_collection("docs", dimension=2)
        stale.add(ids=["old"], embeddings=[[1, 2]], metadatas=[{"v": 1}])
        store.drop_collection("docs")
        if created_again:
            store.create_collection("docs", dimension=2).add(ids=["new"], embeddings=[[3, 4]])
        row: dict[str, Any] = {"ids": ["new"], "metadatas": [{"v": 2}]}
        for write in (
            partial(stale.add, embeddings=[[1, 2]]),
            partial(stale.upsert, embeddings=[[1, 2]]),
            stale.update,
        ):
            assert_refused(CollectionNotFoundError, write, **row)
        assert_refused(CollectionNotFoundError, stale.update, **row, merge=True)
        assert_refused(CollectionNotFoundError, lambda: list(stale.scan()))
        filters: list[Any] = [None, {"v": 1}, F("v") == 1, {"v": {"$ne": 1}}]
        for where in filters:
            assert_refused(CollectionNotFoundError, stale.get, where=where)
            assert_refused(CollectionNotFoundError, stale.get, ["new"], where=where)
            assert_refused(CollectionNotFoundError, stale.count, where)
            assert_refused(CollectionNotFoundError, stale.delete, ["new"], where=where)
            assert_refused(CollectionNotFoundError, stale.search, [1, 2], where=where)
            assert_refused(CollectionNotFoundError, stale.search_many, [[1, 2], [3, 4]], where=where, exact=True)
        if created_again:
            assert ids_of(store.get_collection("docs").get()) == ["new"]

    def test_a_name_can_be_used_again_with_other_settings(self, store: VectorStore) -> None:
        """1.6 A collection created after a drop has nothing of the one before."""
        store.create_collection("docs", dimension=2, metric="l2").add(
            ids=["a", "b"], embeddings=[[1, 2], [3, 4]], documents=["x", None], metadatas=[{"v": 1}, {}]
        )
        store.drop_collection("docs")
        assert store.list_collections() == []
        docs = store.create_collection("docs", dimension=3, metric="ip")
        assert (docs.get(), docs.count(), docs.search([1, 2, 3])) == ([], 0, [])
        docs.add(ids=["a"], embeddings=[[1, 2, 3]])
        assert docs.search([1, 1, 1])[0].score == pytest.approx(6.0)
        assert docs.get()[0].metadata == {}
