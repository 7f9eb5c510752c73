"""Rule 1.7 of the contract: another embedder for a collection, and one collection in the place of another."""

from dataclasses import replace
from typing import Any

import numpy as np

from vectorkit.collection import Collection
from vectorkit.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    EmbeddingError,
    InvalidArgumentError,
    UnsupportedError,
)
from vectorkit.store import VectorStore
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures, StoreFactory, TextEmbedder
from vectorkit.types import EmbedderIdentity, FloatArray, Record

__all__ = ["ReembedRules"]


class _OtherEmbedder(TextEmbedder):
    """Vectors of four numbers, of another model."""

    def __init__(self) -> None:
        super().__init__(EmbedderIdentity("conformance", "other", 4))

    def embed_query(self, text: str) -> FloatArray:
        """The vector of one text."""
        return super().embed_query(text)[4:] + np.float32(1)


def _filled(store: VectorStore, **options: Any) -> Collection:
    docs = store.create_collection("docs", embedder=TextEmbedder(), **options)
    docs.add(records=[Record(f"{at:02}", f"text {at}", metadata={"at": at, "list": [1, 1.0]}) for at in range(25)])
    return docs


def _names(store: VectorStore) -> list[str]:
    return [info.name for info in store.list_collections()]


class ReembedRules(Fixtures):
    """Rule 1.7."""

    def test_a_collection_is_embedded_anew(self, open_store: StoreFactory) -> None:
        """1.7 New vectors, and all else as it was; old handles are stale; where it cannot be, nothing is done."""
        store = open_store()
        docs = _filled(store, metric="ip", language="none")
        written, spec = docs.get(), docs.info().spec
        message = assert_refused(CollectionMismatchError, store.get_collection, "docs", embedder=_OtherEmbedder())
        assert "'other'" in message
        assert "'sha256'" in message
        assert "reembed" in message
        if not store.backend.capabilities.replacing:
            before = contents(docs)
            assert "ingest" in assert_refused(UnsupportedError, docs.reembed, _OtherEmbedder())
            assert (contents(docs), _names(store)) == (before, ["docs"])
            return
        other = _OtherEmbedder()
        anew = store.get_collection("docs").reembed(other, batch_size=10)
        assert sorted(other.seen) == sorted(f"text {at}" for at in range(25))
        assert anew.get() == written
        assert anew.info().spec == replace(spec, embedder=other.identity, dimension=4)
        assert anew.embedder is other
        for record in anew.get(include_embeddings=True):
            assert_embedding(record.embedding, other.embed_query(record.document or ""))
        best = max(range(25), key=lambda at: float(other.embed_query(f"text {at}") @ other.embed_query("text 7")))
        assert anew.search("text 7", k=1, exact=True)[0].id == f"{best:02}"
        assert store.list_collections() == [anew.info()]
        assert_refused(CollectionNotFoundError, docs.count)
        assert_refused(CollectionNotFoundError, docs.reembed, other)
        assert_refused(CollectionMismatchError, store.get_collection, "docs", embedder=TextEmbedder())
        found = contents(anew)
        other.seen.clear()
        assert contents(store.get_collection("docs", embedder=other).reembed(other)) == found
        assert other.seen == []
        persistent = store.backend.capabilities.persistent
        store.close()
        if persistent:
            assert contents(open_store().get_collection("docs", embedder=other)) == found

    def test_embedding_anew_goes_on_where_it_stopped(self, store: VectorStore) -> None:
        """1.7 The old collection is as it was meanwhile, and what is written to it before the end is taken over."""
        docs = _filled(store)
        if not store.backend.capabilities.replacing:
            assert_refused(UnsupportedError, docs.reembed, _OtherEmbedder())
            return
        before = contents(docs)
        other = _OtherEmbedder()
        other.refuses = "text 17"
        assert "'17'" in assert_refused(EmbeddingError, docs.reembed, other, batch_size=5)
        assert contents(docs) == before
        beside, name = sorted(_names(store), reverse=True)
        assert (beside[:13], name) == ("reembed-docs-", "docs")
        other.refuses = None
        other.seen.clear()
        docs.delete(["03", "20"])
        docs.update(ids=["04"], documents=["changed"])
        docs.upsert(ids=["99"], documents=["new"])

        written: list[str] = []

        def write_meanwhile(counts: object) -> None:
            if not written:
                written.extend(docs.add(ids=["98"], documents=["late"]))

        anew = docs.reembed(other, batch_size=5, progress=write_meanwhile)
        assert sorted(other.seen) == sorted(
            ["changed", "new", "late", *(f"text {at}" for at in range(15, 25) if at != 20)]
        )
        assert ids_of(anew.get()) == [*(f"{at:02}" for at in range(25) if at not in (3, 20)), "98", "99"]
        assert anew.get(["04"])[0].document == "changed"
        assert _names(store) == ["docs"]

    def test_records_without_a_document_are_listed_or_dropped(self, store: VectorStore) -> None:
        """1.7 There is nothing to embed: `EmbeddingError` before anything is done, unless the caller drops them."""
        docs = _filled(store)
        docs.add(ids=[f"bare {at:02}" for at in range(12)], embeddings=[[1] * 8] * 12)
        other = _OtherEmbedder()
        if not store.backend.capabilities.replacing:
            assert_refused(UnsupportedError, docs.reembed, other, without_document="drop")
            return
        message = assert_refused(EmbeddingError, docs.reembed, other)
        assert "12" in message
        assert "'bare 09'" in message
        assert "'bare 10'" not in message
        assert (_names(store), other.seen) == (["docs"], [])
        anew = docs.reembed(other, without_document="drop")
        assert ids_of(anew.get()) == [f"{at:02}" for at in range(25)]

    def test_wrong_arguments_of_reembed_are_refused(self, store: VectorStore) -> None:
        """1.7 And nothing is done."""
        docs = _filled(store)
        wrong: list[Any] = [None, "model", 5]
        for embedder in wrong:
            assert_refused(InvalidArgumentError, docs.reembed, embedder)
        for argument in ({"without_document": "keep"}, {"without_document": None}, {"batch_size": 0}):
            assert_refused(InvalidArgumentError, docs.reembed, _OtherEmbedder(), **argument)
        assert _names(store) == ["docs"]

    def test_one_collection_takes_the_place_of_another(self, store: VectorStore) -> None:
        """1.7 With its own settings and records; handles of both are stale, and if one is gone nothing happens."""
        backend = store.backend
        old = store.create_collection("old-name", dimension=2, metric="l2")
        new = store.create_collection("temporary", dimension=3, metric="ip")
        other = store.create_collection("other", dimension=2)
        old.add(ids=["a", "b"], embeddings=[[1, 2], [3, 4]], documents=["x", "y"])
        new.add(ids=["a", "c"], embeddings=[[1, 2, 3], [4, 5, 6]], metadatas=[{"v": 1}, {"v": 2}])
        other.add(ids=["a"], embeddings=[[1, 2]])
        written, others = contents(new), contents(other)
        if not backend.capabilities.replacing:
            assert_refused(UnsupportedError, backend.replace_collection, old.info(), new.info())
            assert (old.count(), contents(new), contents(other)) == (2, written, others)
            return
        info = backend.replace_collection(old.info(), new.info())
        assert info.spec == replace(new.info().spec, name="old-name")
        assert [each.name for each in store.list_collections()] == ["old-name", "other"]
        opened = store.get_collection("old-name")
        assert opened.info() == info
        assert contents(opened) == written
        assert ids_of(opened.search([1, 1, 1])) == ["c", "a"]
        opened.upsert(ids=["d"], embeddings=[[9, 9, 9]])
        assert ids_of(opened.search([1, 1, 1])) == ["d", "c", "a"]
        for stale in (old, new):
            assert_refused(CollectionNotFoundError, stale.count)
            assert_refused(CollectionNotFoundError, stale.search, [1, 2, 3][: stale.info().dimension])
            assert_refused(CollectionNotFoundError, stale.add, ids=["z"], embeddings=[[1] * stale.info().dimension])
        assert_refused(CollectionNotFoundError, backend.replace_collection, info, new.info())
        assert_refused(CollectionNotFoundError, backend.replace_collection, old.info(), other.info())
        assert (contents(other), opened.count()) == (others, 3)
        again = store.create_collection("temporary", dimension=2)
        assert again.get() == []
        store.drop_collection("old-name")
        assert_refused(CollectionNotFoundError, opened.get)
        assert [each.name for each in store.list_collections()] == ["other", "temporary"]
