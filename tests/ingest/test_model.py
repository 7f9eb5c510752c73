"""A real model behind `ingest` and `reembed`."""

import numpy as np

import vectorkit as vk
from vectorkit.embedders import HashEmbedder, SentenceTransformerEmbedder

SENTENCES = [
    "A cat sleeps on the warm windowsill.",
    "Interest rates rose for the third time this year.",
    "Neural networks are trained by gradient descent.",
    "The recipe calls for flour, yeast and a pinch of salt.",
    "Rain is expected along the coast tomorrow.",
    "The striker scored twice in the second half.",
]


def test_what_a_model_made_is_not_made_again() -> None:
    """3.9 In batches of whatever size the vectors are those of the model, and the next run asks it for nothing."""
    asked: list[int] = []
    model = SentenceTransformerEmbedder(progress=lambda done, total: asked.append(total))
    with vk.connect("chroma:") as store:
        docs = store.create_collection("docs", embedder=model)
        assert docs.ingest(SENTENCES, ids="content", batch_size=2).embedded == 6
        assert asked == [2, 2, 2]
        for record in docs.get(include_embeddings=True):
            (alone,) = model.embed_documents([record.document or ""])
            assert np.allclose(np.asarray(record.embedding), alone, atol=1e-5)
        assert docs.search("the central bank and inflation", k=1)[0].document == SENTENCES[1]
        asked.clear()
        assert docs.ingest([*SENTENCES, "A dog barks."], ids="content", batch_size=2).embedded == 1
        assert asked == [1]


def test_a_collection_can_be_given_a_model_later() -> None:
    """1.7 It then finds by meaning what it had found by words alone."""
    query = "the central bank and inflation"
    with vk.connect("chroma:") as store:
        docs = store.create_collection("docs", embedder=HashEmbedder())
        docs.ingest(SENTENCES, ids="content")
        assert docs.search(query, k=1)[0].document != SENTENCES[1]
        docs = docs.reembed(SentenceTransformerEmbedder())
        assert docs.search(query, k=1)[0].document == SENTENCES[1]
        assert docs.count() == len(SENTENCES)
