"""`vectorkit search`, and the embedder that it makes of what is stored with a collection."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import vectorkit as vk
from vectorkit.embedders import HashEmbedder, OpenAIEmbedder, SentenceTransformerEmbedder
from vectorkit.embedders._by_identity import embedder_of
from vectorkit.errors import EmbeddingError, MissingDependencyError

Run = Callable[..., Result]

TEXTS = ["Networks learn by gradient descent.", "Bread needs yeast, and time.", "Error E4021: the disk is full."]


@pytest.fixture
def filled(url: str) -> str:
    """A store with a collection `docs`."""
    fill(url)
    return url


def fill(url: str) -> None:
    with vk.connect(url) as store:
        docs = store.create_collection("docs", embedder=HashEmbedder(64), text_index=True)
        docs.add(ids=["a", "b", "c"], documents=TEXTS, metadatas=[{"year": 2020}, {"year": 2021}, {"year": 2022}])


def test_hits_are_those_of_the_library(filled: str, run_json: Callable[..., Any]) -> None:
    """In every mode, with the embedder of the collection."""
    for mode, query in (("vector", "learn by descent"), ("text", "e4021 disk"), ("hybrid", "yeast and bread")):
        hits = run_json("search", filled, "docs", query, "--mode", mode, "-k", "2")
        with vk.connect(filled) as store:
            docs = store.get_collection("docs", embedder=HashEmbedder(64))
            expected = docs.search(query, 2, mode=mode)  # type: ignore[arg-type]
        assert [hit["id"] for hit in hits] == [hit.id for hit in expected] != []
        assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-6)
        for hit, wanted in zip(hits, expected, strict=True):
            assert (hit["document"], hit["metadata"]) == (wanted.document, wanted.metadata)
            assert (hit["distance"] is None) == (mode == "text")


def test_a_filter_is_json(filled: str, run: Run, run_json: Callable[..., Any]) -> None:
    hits = run_json("search", filled, "docs", "learn", "--where", '{"year": {"$gte": 2021}}')
    assert {hit["id"] for hit in hits} == {"b", "c"}
    for where, said in (("{", "is no JSON"), ("[1]", "is a JSON object"), ('{"a": {"$foo": 1}}', "unknown operator")):
        done = run("search", filled, "docs", "learn", "--where", where)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr


def test_people_read_scores_ids_documents_and_metadata(filled: str, run: Run) -> None:
    done = run("search", filled, "docs", "bread yeast", "-k", "1")
    assert (done.exit_code, done.stderr) == (0, "")
    heading, _, hit = done.stdout.partition("\n")
    assert heading.split() == ["score", "id", "document", "metadata"]
    assert "Bread needs yeast, and time." in hit
    assert '{"year": 2021}' in hit
    assert run("search", filled, "docs", "bread", "-k", "0").stdout == "no hits\n"


def test_a_document_cannot_steer_the_terminal(tmp_path: Path, run: Run) -> None:
    url = f"chroma:{tmp_path}"
    with vk.connect(url) as store:
        docs = store.create_collection("docs", embedder=HashEmbedder(64))
        docs.add(
            ids=["\x1b[2J"], documents=["\x1b]0;title\x07 [bold]red[/] " + "x" * 5000], metadatas=[{"\x1b": "\x9b"}]
        )
    shown = run("search", url, "docs", "red").stdout
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "[bold]red[/]" in shown
    assert "…" in shown


def test_a_collection_without_an_embedder_takes_one_that_is_named(tmp_path: Path, run: Run) -> None:
    url = f"chroma:{tmp_path}"
    with vk.connect(url) as store:
        model = SentenceTransformerEmbedder(device="cpu")
        store.create_collection("docs", dimension=384, text_index=True).add(
            ids=["a", "b", "c"], documents=TEXTS, embeddings=model.embed_documents(TEXTS)
        )
    done = run("search", url, "docs", "dough")
    assert (done.exit_code, "say which with --model" in done.stderr) == (2, True)
    assert json.loads(run("search", url, "docs", "yeast", "--mode", "text", "--json").stdout)[0]["id"] == "b"
    for mode in ("vector", "hybrid"):
        done = run("search", url, "docs", "dough", "--model", "all-MiniLM-L6-v2", "--mode", mode, "--json")
        assert json.loads(done.stdout)[0]["id"] == "b"


def test_a_function_cannot_be_made_of_its_name(tmp_path: Path, run: Run) -> None:
    url = f"chroma:{tmp_path}"
    with vk.connect(url) as store:
        mine = vk.embedder(lambda texts: [[1.0, 2.0] for _ in texts], dimension=2, name="mine-v1")
        store.create_collection("docs", embedder=mine, text_index=True).add(ids=["a"], documents=["some words"])
    done = run("search", url, "docs", "words")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'mine-v1' is of kind 'function'" in done.stderr
    assert "mode='text'" in done.stderr
    assert "some words" in run("search", url, "docs", "words", "--mode", "text").stdout


def test_an_embedder_is_made_of_its_identity() -> None:
    """One that shortens vectors too, and one whose prompts are its own."""
    for original in (
        HashEmbedder(32),
        SentenceTransformerEmbedder(query_prompt="query: ", normalize=False),
        SentenceTransformerEmbedder(truncate_dim=128),
        OpenAIEmbedder("text-embedding-3-large", dimensions=1024, document_prompt="passage: "),
    ):
        made = embedder_of(original.identity)
        assert made.identity == original.identity
        assert type(made) is type(original)


def test_a_model_that_makes_other_vectors_is_refused() -> None:
    identity = vk.EmbedderIdentity("sentence-transformers", "sentence-transformers/all-MiniLM-L6-v2", 512)
    with pytest.raises(EmbeddingError, match=r"512 dimensions.* is .*384 dimensions.*the model that it was made with"):
        embedder_of(identity)
    with pytest.raises(EmbeddingError, match="words-and-trigrams-0"):
        embedder_of(vk.EmbedderIdentity("hash", "words-and-trigrams-0", 64))
    with pytest.raises((EmbeddingError, MissingDependencyError), match="give the path of a folder"):
        embedder_of(vk.EmbedderIdentity("sentence-transformers", "no-such-model", 32))


def test_a_collection_that_is_not_there_is_a_mistake(filled: str, run: Run) -> None:
    done = run("search", filled, "nothing", "a")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "nothing" in done.stderr
