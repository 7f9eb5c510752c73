from typing import Any

import numpy as np
import pytest
from chromadb.utils.embedding_functions import DefaultEmbeddingFunction
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

import vectorkit as vk
from vectorkit.embedders import HashEmbedder, SentenceTransformerEmbedder
from vectorkit.integrations.haystack import VectorKitDocumentEmbedder, VectorKitTextEmbedder
from vectorkit.integrations.langchain import VectorKitEmbeddings
from vectorkit.integrations.llama_index import VectorKitEmbedding

OURS = HashEmbedder(dimension=16)


class ChromaFunction:
    """What a user's own embedding function for Chroma looks like."""

    def __call__(self, input: list[str]) -> list[Any]:
        return list(OURS.embed_documents(input))

    @staticmethod
    def name() -> str:
        return "mine"

    def get_config(self) -> dict[str, Any]:
        return {"model_name": OURS.identity.model}


def theirs() -> dict[str, tuple[object, dict[str, Any]]]:
    return {
        "langchain": (VectorKitEmbeddings(OURS), {}),
        "llama-index": (VectorKitEmbedding(OURS), {}),
        "haystack": (VectorKitDocumentEmbedder(OURS), {"queries": VectorKitTextEmbedder(OURS)}),
        "chroma": (ChromaFunction(), {}),
        "function": (OURS.embed_documents, {"model": OURS.identity.model}),
    }


@pytest.mark.parametrize("kind", ["langchain", "llama-index", "haystack", "chroma", "function"])
def test_vectors_and_identity_are_the_other_librarys(kind: str) -> None:
    source, options = theirs()[kind]
    adapted = vk.as_embedder(source, **options)
    assert adapted.identity == vk.EmbedderIdentity(kind, OURS.identity.model, 16, normalize=False)
    texts = ["how networks learn", "", "pasta"]
    np.testing.assert_allclose(adapted.embed_documents(texts), OURS.embed_documents(texts), atol=1e-7)
    np.testing.assert_allclose(adapted.embed_query("pasta"), OURS.embed_query("pasta"), atol=1e-7)
    assert adapted.embed_documents([]).shape == (0, 16)


def test_an_embedder_of_ours_is_returned_as_it_is() -> None:
    assert vk.as_embedder(OURS) is OURS


def test_a_sentence_transformer_is_the_same_model() -> None:
    from sentence_transformers import SentenceTransformer

    own = SentenceTransformerEmbedder(device="cpu")
    from vectorkit.embedders._files import shipped_folder

    model = SentenceTransformer(str(shipped_folder("sentence-transformers/all-MiniLM-L6-v2")), device="cpu")
    adapted = vk.as_embedder(model, model="sentence-transformers/all-MiniLM-L6-v2")
    assert adapted.identity == own.identity
    texts = ["how networks learn", "pasta"]
    np.testing.assert_allclose(adapted.embed_documents(texts), own.embed_documents(texts), atol=1e-6)
    np.testing.assert_allclose(adapted.embed_query("pasta"), own.embed_query("pasta"), atol=1e-6)


def test_chromas_default_function_has_a_known_model() -> None:
    adapted = vk.as_embedder(DefaultEmbeddingFunction(), dimension=384)
    assert (adapted.identity.kind, adapted.identity.model) == ("chroma", "all-MiniLM-L6-v2")


def test_one_that_names_no_model_needs_a_name() -> None:
    fake = DeterministicFakeEmbedding(size=6)
    with pytest.raises(vk.InvalidArgumentError, match="pass model="):
        vk.as_embedder(fake)
    assert vk.as_embedder(fake, model="fake").identity.dimension == 6


@pytest.mark.parametrize("source", [None, 3, "text", HashEmbedder, object()])
def test_what_is_no_embedder_is_refused(source: object) -> None:
    with pytest.raises(vk.InvalidArgumentError, match="source must be"):
        vk.as_embedder(source, model="x")


class Broken(Embeddings):
    model = "broken"

    def __init__(self, made: Any) -> None:
        self.made = made

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if isinstance(self.made, Exception):
            raise self.made
        return [self.made for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.mark.parametrize("made", [RuntimeError("quota"), None, [1.0], [1.0, float("nan")], ["1", "2"], [1.0, 2.0, 3.0]])
def test_its_faults_are_embedding_errors(made: Any) -> None:
    adapted = vk.as_embedder(Broken(made), dimension=2)
    with pytest.raises(vk.EmbeddingError):
        adapted.embed_documents(["a"])
    with pytest.raises(vk.EmbeddingError):
        adapted.embed_query("a")


def test_a_collection_keeps_models_apart(tmp_path: Any) -> None:
    with vk.connect(f"chroma:{tmp_path / 'kb'}") as store:
        store.create_collection("docs", embedder=vk.as_embedder(VectorKitEmbeddings(OURS))).add(documents=["x"])
        other = vk.as_embedder(VectorKitEmbeddings(OURS), model="another")
        with pytest.raises(vk.CollectionMismatchError):
            store.get_collection("docs", embedder=other)
