"""The same queries asked of two stores: what agrees by the contract, and what does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import HashEmbedder
from vectorkit.transfer.compare.queries import read_queries
from vectorkit_chroma import ChromaBackend
from vectorkit_pgvector import PgVectorBackend

TEXTS = [f"text {at} about {'bread' if at % 3 else 'networks that learn'} in chapter {at % 7}" for at in range(60)]
QUERIES = ["how networks learn", "bread in chapter 3", "text 7"]


def filled(backend: vk.VectorBackend, metric: Any = "cosine", **settings: Any) -> vk.VectorStore:
    store = vk.VectorStore(backend)
    given: dict[str, Any] = {"embedder": HashEmbedder(48), "text_index": True, **settings}
    docs = store.create_collection("docs", metric=metric, **given)
    docs.add(
        ids=[f"{at:02}" for at in range(60)],
        documents=TEXTS,
        embeddings=None if given["embedder"] else HashEmbedder(48).embed_documents(TEXTS),
        metadatas=[{"chapter": at % 7, "at": at} for at in range(60)],
    )
    return store


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_stores_that_hold_the_same_agree(metric: Any, mode: Any) -> None:
    """6.7, 7.5 In every metric and mode, with a filter for all queries, and one for one."""
    stores = filled(vk.MemoryBackend(), metric), filled(ChromaBackend("chroma:"), metric)
    queries: list[str | vk.Query] = [*QUERIES, vk.Query("text 9", where={"at": {"$lt": 30}})]
    found = vk.compare(*stores, queries, k=5, mode=mode, where={"chapter": {"$ne": 2}})
    assert found.agrees
    assert found.overlap == 1.0
    assert found.score_difference < 1e-5
    assert (found.first, found.collection, found.metric, found.mode) == ("memory", "docs", metric, mode)
    assert [query.query for query in found.queries] == [*QUERIES, "text 9"]
    docs = stores[1].get_collection("docs", embedder=HashEmbedder(48))
    where: Any = {"$and": [{"chapter": {"$ne": 2}}, {"at": {"$lt": 30}}]}
    assert found.queries[3].where == where
    assert list(found.queries[3].second.hits) == docs.search("text 9", 5, mode=mode, where=where)
    assert all(query.first.milliseconds > 0 for query in found.queries)
    assert 0 < found.times[0].p50 <= found.times[0].p95


def change(what: str, docs: vk.Collection) -> None:
    vector = HashEmbedder(48).embed_query("text 7")
    changes: dict[str, Callable[[], object]] = {
        "'07' is found in A alone": lambda: docs.delete(["07"]),
        "'new' is found in B alone": lambda: docs.add(ids=["new"], embeddings=[vector]),
        "the score of '07' is": lambda: docs.update(ids=["07"], embeddings=[vector + 0.001 * np.arange(48)]),
        "the document of '07' differs": lambda: docs.update(ids=["07"], documents=["Text 7"], embeddings=[at_07()]),
        "the metadata of '07' differs": lambda: docs.update(ids=["07"], metadatas=[{"chapter": 0.0, "at": 7}]),
        "60 hits in A, 59 in B": lambda: docs.delete(["33"]),
    }
    changes[what]()


def at_07() -> vk.FloatArray:
    vector: vk.FloatArray = HashEmbedder(48).embed_documents([TEXTS[7]])[0]
    return vector


@pytest.mark.parametrize(
    "what",
    [
        "'07' is found in A alone",
        "'new' is found in B alone",
        "the score of '07' is",
        "the document of '07' differs",
        "the metadata of '07' differs",
        "60 hits in A, 59 in B",
    ],
)
def test_each_difference_is_named(what: str) -> None:
    stores = filled(vk.MemoryBackend()), filled(ChromaBackend("chroma:"))
    change(what, stores[1].get_collection("docs"))
    found = vk.compare(*stores, ["text 7", "bread"], k=60 if "60" in what else 10)
    assert not found.agrees
    assert any(what in sentence for sentence in found.queries[0].differences), found.queries[0].differences
    assert found.to_json()["agrees"] is False


class _Reordering(vk.MemoryBackend):
    """Puts the second hit first."""

    def search(self, *given: Any, **named: Any) -> list[vk.Ranking]:
        return [
            replace(ranking, hits=[ranking.hits[1], ranking.hits[0], *ranking.hits[2:]])
            for ranking in super().search(*given, **named)
        ]


def test_another_order_differs_unless_the_distances_are_the_same_within_the_tolerance() -> None:
    """6.5 Under `l2` the tolerance grows with the norms of query and record."""
    for off, agrees in ((1e-2, False), (1e-4, True)):
        stores = vk.VectorStore(vk.MemoryBackend()), vk.VectorStore(_Reordering())
        for store in stores:
            docs = store.create_collection("docs", dimension=2, metric="l2")
            docs.add(ids=["a", "b", "c"], embeddings=[[1000, 1], [1000, 1 + off], [1000, 500]])
        found = vk.compare(*stores, [vk.Query(vector=[1000, 0])])
        assert found.agrees is agrees, found.queries[0].differences
        assert found.overlap == 1.0
        if not agrees:
            assert found.queries[0].differences == ("'b' comes before 'a' in B, not in A",)


@pytest.mark.parametrize(("one", "other", "agree"), [(-0.0, 0.0, True), (1, 1.0, False), (1, True, False)])
def test_metadata_is_compared_as_verify_compares_it(one: Any, other: Any, agree: bool) -> None:
    """2.5 With its types; but the sign of a zero, which PostgreSQL does not keep, is no difference."""
    stores = (vk.connect("memory:"), vk.connect("memory:"))
    for store, value in zip(stores, (one, other), strict=True):
        store.create_collection("docs", dimension=2).add(ids=["a"], embeddings=[[1, 0]], metadatas=[{"x": value}])
    assert vk.compare(*stores, [vk.Query(vector=[1, 0])]).agrees == agree
    assert vk.verify(*stores).agrees == agree


def test_chroma_and_postgres_agree(postgres_url: str, tmp_path: Path) -> None:
    """6.5 By URL; without a password in what is shown."""
    name = f"compare-{tmp_path.name}"[:40].rstrip("-_")
    postgres = vk.VectorStore(PgVectorBackend(postgres_url))
    with vk.connect(f"chroma:{tmp_path / 'kb'}") as chroma:
        for store in (chroma, postgres):
            docs = store.create_collection(name, embedder=HashEmbedder(48))
            docs.add(ids=[f"{at:02}" for at in range(60)], documents=TEXTS)
    try:
        found = vk.compare(f"chroma:{tmp_path / 'kb'}", postgres, QUERIES, collection=name)
        assert found.agrees
        assert found.first == f"chroma:{tmp_path / 'kb'}"
    finally:
        postgres.drop_collection(name)
        postgres.close()


def test_vectors_need_no_embedder_and_texts_need_one() -> None:
    """6.9 One whose kind cannot be made from its name, or none: the error asks for vectors or a model."""
    bare: dict[str, Any] = {"embedder": None, "dimension": 48}
    stores = filled(vk.MemoryBackend(), **bare), filled(vk.MemoryBackend(), **bare)
    vector = HashEmbedder(48).embed_query("text 7")
    assert vk.compare(*stores, [vk.Query(vector=vector), vk.Query("named", vector=vector.tolist())]).agrees
    assert vk.compare(*stores, QUERIES, embedder=HashEmbedder(48)).agrees
    assert vk.compare(*stores, QUERIES, mode="text").agrees
    with pytest.raises(vk.EmbeddingError, match="give queries as vectors"):
        vk.compare(*stores, QUERIES)
    made = vk.embedder(lambda texts: [[1.0] * 48 for _ in texts], dimension=48, name="mine")
    stores = filled(vk.MemoryBackend(), embedder=made), filled(vk.MemoryBackend(), embedder=made)
    with pytest.raises(vk.EmbeddingError, match="'function'"):
        vk.compare(*stores, QUERIES)
    assert vk.compare(*stores, QUERIES, embedder=made).agrees


@pytest.mark.parametrize("setting", [{"metric": "ip"}, {"embedder": HashEmbedder(64)}, {"embedder": None}])
def test_collections_that_do_not_compare_are_refused(setting: dict[str, Any]) -> None:
    """1.4 But for an embedder that one of them does not name."""
    settings = {"dimension": 48, **setting} if setting == {"embedder": None} else setting
    stores = filled(vk.MemoryBackend()), filled(vk.MemoryBackend(), **settings)
    if setting == {"embedder": None}:
        assert vk.compare(*stores, QUERIES).agrees
        assert vk.compare(stores[1], stores[0], QUERIES).agrees
        return
    with pytest.raises(vk.CollectionMismatchError, match="does not compare"):
        vk.compare(*stores, QUERIES)


def test_wrong_arguments_are_refused() -> None:
    """8.2 Each with its own error, before anything is asked."""
    stores = filled(vk.MemoryBackend()), filled(vk.MemoryBackend())
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (vk.InvalidArgumentError, "no query", {"queries": []}),
        (vk.InvalidArgumentError, "k is 1 to", {"k": 0}),
        (vk.InvalidArgumentError, "mode is one of", {"mode": "words"}),
        (vk.InvalidFilterError, "like", {"where": {"at": {"$like": 1}}}),
        (vk.CollectionNotFoundError, "'gone'", {"collection": "gone"}),
        (vk.DimensionMismatchError, "48", {"queries": [vk.Query(vector=[1, 2])]}),
        (vk.InvalidArgumentError, "query 1 has no text", {"queries": [vk.Query(where={})]}),
        (vk.InvalidArgumentError, "ranks by words", {"queries": [vk.Query(vector=[1] * 48)], "mode": "hybrid"}),
    ]
    for error, message, arguments in wrong:
        given: dict[str, Any] = {"queries": QUERIES, **arguments}
        with pytest.raises(error, match=message):
            vk.compare(*stores, **given)
    stores[0].create_collection("more", dimension=2)
    with pytest.raises(vk.InvalidArgumentError, match=r"name one of \['docs', 'more'\]"):
        vk.compare(*stores, QUERIES)
    with pytest.raises(vk.CollectionNotFoundError, match="holds no collection"):
        vk.compare("memory:", stores[0], QUERIES)


def test_only_line_breaks_end_a_query(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_bytes("\ufeffone\u2028line\r\ntwo\x0blines\x85".encode())
    assert read_queries(file) == [vk.Query("one\u2028line"), vk.Query("two\x0blines")]


def test_queries_are_read_from_lines_of_text_and_of_json(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text(
        "How do networks learn?\n\n  \n"
        '{"query": "Ünï", "where": {"year": {"$gte": 2020}}}\n'
        '{"vector": [1, 2.5], "query": null}\n[not json]\n',
        encoding="utf-8",
    )
    assert read_queries(file) == [
        vk.Query("How do networks learn?"),
        vk.Query("Ünï", where={"year": {"$gte": 2020}}),
        vk.Query(vector=[1, 2.5]),
        vk.Query("[not json]"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "holds no query"),
        (b"\xff\xfe", "no UTF-8"),
        (b'fine\n{"query": ', "line 2: no JSON"),
        (b'{"query": ' + b"[" * 100_000, "line 1: no JSON"),
        (b'{"query": "a", "where": {"x": 1, "x": 2}}', "line 1: no JSON: the name 'x' stands twice"),
        (b'{"text": "a"}', "line 1: expected an object with"),
        (b'{"where": {}}', "line 1: expected an object with"),
        (b'{"query": 5}', '"query" is a string'),
        (b'{"vector": "abc"}', '"vector" a list'),
        (b'{"query": "a", "where": [1]}', '"where" is a filter'),
    ],
)
def test_a_malformed_file_of_queries_is_refused_by_line(content: bytes, message: str, tmp_path: Path) -> None:
    """8.3 With what was expected."""
    file = tmp_path / "queries"
    file.write_bytes(content)
    with pytest.raises(vk.InvalidArgumentError, match=message):
        read_queries(file)
    with pytest.raises(vk.InvalidArgumentError, match="cannot be read"):
        read_queries(tmp_path / "gone")
