"""Rule 1.4, and what a collection with an embedder does: it makes the vectors that are not given."""

from dataclasses import replace

import pytest

from vectorkit.collection import Collection
from vectorkit.errors import CollectionMismatchError, EmbeddingError, InvalidVectorError
from vectorkit.store import EmbedderRevisionWarning, VectorStore
from vectorkit.testing._asserts import assert_embedding, assert_refused, contents, ids_of
from vectorkit.testing._fixtures import Fixtures, TextEmbedder
from vectorkit.types import EmbedderIdentity

__all__ = ["EmbedderRules"]

_IDENTITY = EmbedderIdentity("kind", "org/model-ü", 8, "query: 'q' ", 'passage: "p" 😀', False, "abc123")


class EmbedderRules(Fixtures):
    """Rules 1.4, 2.3 (embedding documents) and 6.9 (embedding queries)."""

    def test_the_identity_of_the_embedder_is_stored(self, store: VectorStore) -> None:
        """1.4 All of it comes back: kind, model, dimension, prompts, normalisation, revision."""
        store.create_collection("docs", embedder=TextEmbedder(_IDENTITY))
        for info in (store.get_collection("docs").info(), *store.list_collections()):
            stored = info.spec.embedder
            assert stored == _IDENTITY
            assert stored is not None
            assert stored.revision == "abc123"

    @pytest.mark.parametrize(
        "other",
        [
            replace(_IDENTITY, kind="other"),
            replace(_IDENTITY, model="org/model"),
            replace(_IDENTITY, dimension=9),
            replace(_IDENTITY, query_prompt="query: "),
            replace(_IDENTITY, document_prompt=""),
            replace(_IDENTITY, normalize=True),
        ],
        ids=["kind", "model", "dimension", "query prompt", "document prompt", "normalisation"],
    )
    def test_another_embedder_is_refused(self, store: VectorStore, other: EmbedderIdentity) -> None:
        """1.4 Opening with an embedder whose identity differs in anything is a `CollectionMismatchError`."""
        store.create_collection("docs", embedder=TextEmbedder(_IDENTITY))
        assert_refused(CollectionMismatchError, store.get_collection, "docs", embedder=TextEmbedder(other))
        assert_refused(CollectionMismatchError, store.get_or_create_collection, "docs", embedder=TextEmbedder(other))
        assert store.get_collection("docs", embedder=TextEmbedder(_IDENTITY)).embedder is not None

    def test_other_weights_of_the_same_model_are_warned_of(self, store: VectorStore) -> None:
        """1.4 A difference in the revision alone warns; one that is not known does not."""
        store.create_collection("docs", embedder=TextEmbedder(_IDENTITY))
        with pytest.warns(EmbedderRevisionWarning, match="abc123"):
            store.get_collection("docs", embedder=TextEmbedder(replace(_IDENTITY, revision="def456")))
        store.get_collection("docs", embedder=TextEmbedder(replace(_IDENTITY, revision=None)))

    def test_a_collection_opened_without_its_embedder_takes_vectors_only(
        self, store: VectorStore, texts: Collection
    ) -> None:
        """1.4 Vectors can be written and searched, texts cannot, and nothing is written of them."""
        texts.add(ids=["a"], documents=["alpha"])
        opened = store.get_collection("texts")
        opened.add(ids=["b"], documents=["beta"], embeddings=[[1] * 8])
        assert ids_of(opened.search([1] * 8, k=1)) == ["b"]
        before = contents(opened)
        assert_refused(EmbeddingError, opened.search, "alpha")
        assert_refused(InvalidVectorError, opened.add, ids=["c"], documents=["gamma"])
        assert_refused(InvalidVectorError, opened.upsert, ids=["a"], documents=["gamma"])
        assert_refused(InvalidVectorError, opened.update, ids=["a"], documents=["gamma"])
        assert contents(opened) == before

    def test_a_collection_created_without_an_embedder_is_not_opened_with_one(
        self, store: VectorStore, embedder: TextEmbedder
    ) -> None:
        """1.4 Nobody knows what made its vectors: `CollectionMismatchError`."""
        store.create_collection("docs", dimension=8)
        assert_refused(CollectionMismatchError, store.get_collection, "docs", embedder=embedder)

    def test_documents_are_embedded_where_no_embedding_is_given(
        self, texts: Collection, embedder: TextEmbedder
    ) -> None:
        """2.3 An embedding is the given one, or made from the document, row by row."""
        given = [1.0, 2, 3, 4, 5, 6, 7, 8]
        texts.add(ids=["a", "b", "c"], documents=["alpha", "beta", ""], embeddings=[None, given, None])
        assert embedder.seen == ["alpha", ""]
        a, b, c = texts.get(["a", "b", "c"], include_embeddings=True)
        assert_embedding(a.embedding, embedder.embed_query("alpha"))
        assert_embedding(b.embedding, given)
        assert_embedding(c.embedding, embedder.embed_query(""))
        assert [record.document for record in (a, b, c)] == ["alpha", "beta", ""]

    def test_a_record_with_neither_embedding_nor_document_is_refused(
        self, store: VectorStore, texts: Collection
    ) -> None:
        """2.3 With neither, `InvalidVectorError`, and nothing of the call is written."""
        bare = store.create_collection("bare", dimension=2)
        assert_refused(InvalidVectorError, texts.add, ids=["a", "b"], documents=["alpha", None])
        assert_refused(InvalidVectorError, texts.upsert, ids=["a"], metadatas=[{"v": 1}])
        assert_refused(InvalidVectorError, bare.add, ids=["a"], documents=["alpha"])
        assert_refused(InvalidVectorError, bare.add, ids=["a", "b"], embeddings=[[1, 2], None])
        assert (texts.count(), bare.count()) == (0, 0)

    def test_a_failing_embedder_writes_nothing(self, texts: Collection, embedder: TextEmbedder) -> None:
        """3.1 If one document cannot be embedded, none of the call is written."""
        texts.add(ids=["a"], documents=["alpha"])
        before = contents(texts)
        embedder.refuses = "omega"
        assert_refused(EmbeddingError, texts.add, ids=["b", "c"], documents=["beta", "omega"])
        assert_refused(EmbeddingError, texts.upsert, ids=["a", "c"], documents=["beta", "omega"])
        assert_refused(EmbeddingError, texts.update, ids=["a"], documents=["omega"])
        assert_refused(EmbeddingError, texts.search, "omega")
        assert contents(texts) == before

    def test_a_text_query_is_embedded(self, texts: Collection, embedder: TextEmbedder) -> None:
        """6.1 A string is embedded by the collection's embedder, also an empty one, and finds as its vector does."""
        texts.add(ids=list("abcd"), documents=["alpha", "beta", "gamma", ""])
        for text in ("alpha", "gamma", "", "something else"):
            assert texts.search(text) == texts.search(embedder.embed_query(text))
        assert [hits[0].id for hits in texts.search_many(["alpha", "", "beta"], k=1)] == ["a", "d", "b"]

    def test_a_text_query_without_an_embedder_is_refused(self, plane: Collection) -> None:
        """6.9 `EmbeddingError`, and the message says what is missing."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        assert "embedder" in assert_refused(EmbeddingError, plane.search, "alpha")
        assert "embedder" in assert_refused(EmbeddingError, plane.search_many, [[1, 2], "alpha"])
