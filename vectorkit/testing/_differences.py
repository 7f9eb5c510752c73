"""Section 9 of the contract: what backends may differ in, and what they may not."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from vectorkit.backend.requests import VectorSearch
from vectorkit.errors import (
    CollectionNotFoundError,
    DuplicateIdError,
    RecordNotFoundError,
    UnsupportedError,
)
from vectorkit.filters import parse
from vectorkit.indexes import HNSW, IndexChoice, IVFFlat, as_index
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_refused, assert_same_hits, contents, ids_of
from vectorkit.testing._fixtures import Fixtures, StoreFactory, TextEmbedder
from vectorkit.testing._search import ranking
from vectorkit.types import Batch, CollectionSpec

__all__ = ["DifferenceRules"]


class DifferenceRules(Fixtures):
    """Rules 9.1 to 9.5."""

    def test_what_a_backend_can_do_is_declared(self, store: VectorStore) -> None:
        """9.1 The same when it is asked again, and after a collection was made."""
        capabilities = store.backend.capabilities
        assert store.backend.capabilities == capabilities
        store.create_collection("docs", dimension=2)
        assert store.backend.capabilities == capabilities

    def test_what_a_backend_cannot_do_is_refused(self, store: VectorStore) -> None:
        """9.2 A text index where there can be none raises `UnsupportedError`, and leaves nothing behind."""
        backend = store.backend
        spec = CollectionSpec("docs", "cosine", 2, text_index=True)
        if backend.capabilities.text_search:
            assert backend.create_collection(spec).spec.text_index
        else:
            assert_refused(UnsupportedError, backend.create_collection, spec)
            assert_refused(CollectionNotFoundError, backend.open_collection, "docs")
        assert backend.create_collection(replace(spec, name="plain", text_index=False)).spec.text_index is False

    def test_an_index_is_made_as_asked_for_or_refused(self, store: VectorStore) -> None:
        """9.2 Whichever is taken is stored, makes no difference to a few records, and never another takes its place."""
        choices: list[IndexChoice] = [
            *("hnsw", "ivfflat", "none"),
            *(HNSW(m=8, ef_construction=40, ef_search=50), IVFFlat(lists=3, probes=2)),
            *(HNSW(quantization="half"), HNSW(quantization="binary"), IVFFlat(quantization="half")),
        ]
        vectors = np.random.default_rng(92).normal(size=(30, 8)).astype(np.float32)
        ids = [f"{at:02}" for at in range(30)]
        for at, index in enumerate(choices):
            try:
                docs = store.create_collection(f"docs-{at}", dimension=8, index=index)
            except UnsupportedError:
                assert index != "hnsw"
                assert_refused(CollectionNotFoundError, store.get_collection, f"docs-{at}")
                continue
            assert docs.info().spec.index == as_index(index)
            assert store.get_collection(f"docs-{at}").info() == docs.info()
            docs.add(ids=ids, embeddings=vectors)
            assert_same_hits(
                docs.search(vectors[3], 7), ranking("cosine", vectors[3], ids, vectors), 7, "cosine", vectors[3]
            )
        assert_refused(
            UnsupportedError,
            store.create_collection,
            "signs",
            dimension=8,
            metric="l2",
            index=HNSW(quantization="binary"),
        )

    def test_an_index_is_changed_or_that_is_refused(self, store: VectorStore) -> None:
        """9.2 While there are records; what a collection is opened with anew is what it was given last."""
        docs = store.create_collection("docs", dimension=2, metric="l2", index="none")
        docs.add(ids=["a", "b"], embeddings=[[0, 0], [1, 0]])
        if store.backend.capabilities.index_changes:
            docs.create_index(HNSW(m=8))
            assert docs.info().spec.index == HNSW(m=8)
            assert store.get_collection("docs").info() == docs.info() == store.list_collections()[0]
            docs.drop_index()
            assert docs.info().spec.index is None
            assert store.get_collection("docs").info() == docs.info()
        for change in (docs.reindex, docs.create_index, docs.drop_index):
            if change == docs.reindex or not store.backend.capabilities.index_changes:
                assert_refused(UnsupportedError, change)
        assert ids_of(docs.search([0, 0])) == ["a", "b"]

    def test_a_search_says_whether_it_was_exact(self, store: VectorStore) -> None:
        """9.1 It is with `exact=True`, with few records, and always where there is no index to use."""
        info = store.create_collection("docs", dimension=2, metric="l2").info()
        vectors = np.stack([np.arange(30), np.ones(30)], axis=1).astype(np.float32)
        ids = [f"{at:02}" for at in range(30)]
        store.backend.add(info, [Batch(ids, [None] * 30, vectors, [{"v": at} for at in range(30)])])
        for where in (None, parse({"v": {"$gte": 7}})):
            for exact in (None, True):
                (found,) = store.backend.search(info, VectorSearch(vectors[:1], 5, where, exact))
                assert found.exact, f"a search with exact={exact} among 30 records was not exact"
            (found,) = store.backend.search(info, VectorSearch(vectors[:1], 5, where, exact=False))
            assert found.exact or store.backend.capabilities.approximate_search, (
                "capabilities.approximate_search is False, but a search was not exact"
            )

    def test_many_threads_write_and_read_one_collection(self, store: VectorStore) -> None:
        """9.3 Nothing is lost, nothing raises, and no reader sees half a record."""
        docs = store.create_collection("docs", dimension=4, metric="l2")
        docs.add(ids=[f"base {at}" for at in range(20)], embeddings=[[at, 0, 0, 1] for at in range(20)])

        def work(thread: int) -> None:
            own = [f"{thread} {at}" for at in range(10)]
            rows: dict[str, Any] = {"ids": own, "embeddings": [[thread, at, 1, 1] for at in range(10)]}
            docs.add(**rows, documents=own, metadatas=[{"thread": thread, "id": id} for id in own])
            for at in range(4):
                docs.upsert(
                    ids=[own[at]], embeddings=[[thread, at, 2, 2]], documents=[own[at]], metadatas=[{"id": own[at]}]
                )
                for found in (docs.search([thread, at, 1, 1], 30), docs.get(where={"id": {"$exists": True}})):
                    for item in found:
                        assert item.document is None or item.metadata["id"] == item.document == item.id
                assert own[9] in ids_of(docs.get(own))
            docs.update(ids=own[6:8], metadatas=[{"late": thread}] * 2, merge=True)
            assert docs.delete(own[4:6]) == 2
            assert docs.count({"thread": thread}) == 4

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert docs.count() == 20 + 8 * 8
        for thread in range(8):
            assert [record.metadata for record in docs.get([f"{thread} {at}" for at in range(10)])] == [
                *({"id": f"{thread} {at}"} for at in range(4)),
                *({"thread": thread, "id": f"{thread} {at}", "late": thread} for at in (6, 7)),
                *({"thread": thread, "id": f"{thread} {at}"} for at in (8, 9)),
            ]

    def test_one_of_many_that_add_an_id_at_once_adds_it(self, store: VectorStore) -> None:
        """9.3 Of threads of one process that add the same id, one succeeds, and the others are refused."""
        docs = store.create_collection("docs", dimension=2)
        start = threading.Barrier(6)

        def add(thread: int) -> bool:
            start.wait()
            try:
                docs.add(
                    ids=["same", f"own {thread}"], embeddings=[[1, 1], [1, thread]], metadatas=[{"by": thread}, {}]
                )
            except DuplicateIdError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            try:
                added = [thread for thread, done in enumerate(pool.map(add, range(6))) if done]
            except BaseException:
                start.abort()  # or those that have begun would wait for the others, and this thread for them
                raise
        assert len(added) == 1
        assert [(record.id, record.metadata) for record in docs.get()] == [
            (f"own {added[0]}", {}),
            ("same", {"by": added[0]}),
        ]

    def test_threads_make_and_drop_collections_of_their_own(self, store: VectorStore) -> None:
        """9.3 Each sees what it made, and nothing of the others' remains."""

        def work(thread: int) -> list[str]:
            seen: list[str] = []
            for turn in range(3):
                docs = store.create_collection(f"own-{thread}", dimension=2 + thread)
                docs.add(ids=[f"{turn}"], embeddings=[[1] * (2 + thread)])
                seen += ids_of(docs.search([1] * (2 + thread)))
                store.drop_collection(f"own-{thread}")
            return seen

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [["0", "1", "2"]] * 4
        assert store.list_collections() == []

    def test_a_store_that_persists_is_there_when_opened_again(
        self, open_store: StoreFactory, embedder: TextEmbedder
    ) -> None:
        """9.4 Collections, records, and what was replaced and deleted; one that does not persist is empty again."""
        first = open_store()
        lasts = first.backend.capabilities.persistent
        docs = first.create_collection("docs", embedder=embedder, metric="l2")
        first.create_collection("gone", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
        docs.add(
            ids=[f"{at:02}" for at in range(50)],
            documents=[f"text {at}" for at in range(50)],
            metadatas=[{"at": at, "list": [at, 1.0, None]} for at in range(50)],
        )
        docs.upsert(ids=["05"], documents=["new text"])
        docs.update(ids=["06"], metadatas=[{"float": 1e16}], merge=True)
        docs.delete(["07"])
        first.drop_collection("gone")
        written, info, found = contents(docs), docs.info(), docs.search("text 9")
        first.close()
        second = open_store()
        if not lasts:
            assert second.list_collections() == [], "capabilities.persistent is False, but what was written is there"
            return
        assert second.list_collections() == [info], "capabilities.persistent is True, but what was written is gone"
        again = second.get_collection("docs", embedder=embedder)
        assert contents(again) == written
        assert again.search("text 9") == found
        again.add(ids=["99"], documents=["later"])
        assert again.search("later", k=1)[0].id == "99"
        assert again.count({"at": {"$gte": 40}}) == 10

    def test_stores_that_many_processes_may_use_share_their_records(self, open_store: StoreFactory) -> None:
        """9.5 Two that are open at once see each other's writes in the next call; else one can follow the other."""
        first = open_store()
        if not first.backend.capabilities.multi_process:
            first.close()
            first = open_store()
            first.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
            assert first.get_collection("docs").count() == 1
            return
        second = open_store()
        first.create_collection("seen", dimension=2)
        seen = [info.name for info in second.list_collections()]
        assert seen == ["seen"], "capabilities.multi_process is True, but two that are open are not the same store"
        here = first.create_collection("docs", dimension=2, metric="l2")
        there = second.get_collection("docs")
        assert here.info() == there.info()
        here.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], metadatas=[{"v": 1}, {}])
        there.upsert(ids=["a", "c"], embeddings=[[5, 0], [3, 0]], metadatas=[{"v": 2}, {}])
        for each in (here, there):
            assert ids_of(each.search([0, 0])) == ["b", "c", "a"]
            assert (each.count({"v": 2}), each.count({"v": 1})) == (1, 0)
        assert there.delete(["b"]) == 1
        assert ids_of(here.get()) == ["a", "c"]
        assert_refused(DuplicateIdError, here.add, ids=["c"], embeddings=[[1, 2]])
        assert_refused(RecordNotFoundError, here.update, ids=["b"], embeddings=[[1, 2]])
        second.drop_collection("docs")
        stale: list[Callable[[], object]] = [here.get, here.count, lambda: here.search([1, 2])]
        for call in stale:
            assert_refused(CollectionNotFoundError, call)

    def test_independent_stores_do_not_share_anything(self, open_store: StoreFactory) -> None:
        """1.5 A store that neither persists nor serves many processes is a new one each time it is opened."""
        first = open_store()
        capabilities = first.backend.capabilities
        first.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 2]])
        if capabilities.persistent or capabilities.multi_process:
            assert [info.name for info in first.list_collections()] == ["docs"]
            return
        second = open_store()
        assert second.list_collections() == [], (
            "capabilities.persistent and multi_process are False, but two stores share what they hold"
        )
        second.create_collection("docs", dimension=3)
        assert (first.get_collection("docs").count(), second.get_collection("docs").count()) == (1, 0)
