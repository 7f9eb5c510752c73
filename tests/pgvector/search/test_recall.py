"""Recall of the default search on embeddings of real text: of the Python manual and of docstrings."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from vectorkit import HNSW, Collection, Hit, IVFFlat, VectorBackend, VectorStore
from vectorkit.backend.requests import VectorSearch
from vectorkit.embedders import SentenceTransformerEmbedder
from vectorkit.indexes import Index
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend

pytestmark = pytest.mark.recall

EACH = 1050  # together above the limit of exact search
LONGEST = 90  # characters: embedding takes most of the time
QUERIES = 60


class Data(NamedTuple):
    backend: VectorBackend
    docs: Collection
    manual: FloatArray
    docstrings: FloatArray


def passages() -> Iterator[str]:
    for topic in sorted(topics):
        yield from (" ".join(part.split())[:LONGEST] for part in topics[topic].split("\n\n") if len(part) > 60)


def docstrings() -> Iterator[str]:
    """What the functions and classes of the standard library say of themselves, in the first paragraph."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                first = " ".join(text.split("\n\n")[0].split())
                if len(first) > 40:
                    yield first[:LONGEST]


@pytest.fixture(scope="module")
def data(postgres_url: str) -> Iterator[Data]:
    texts = [list(dict.fromkeys(found))[:EACH] for found in (passages(), docstrings())]
    vectors = [SentenceTransformerEmbedder().embed_documents(part) for part in texts]
    count = sum(map(len, texts))
    parts = np.random.default_rng(1).permutation(count) % 1000
    sources = ["manual"] * len(texts[0]) + ["docstring"] * len(texts[1])
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA IF EXISTS test_recall CASCADE")
        with VectorStore(PgVectorBackend(postgres_url, schema="test_recall")) as store:
            docs = store.create_collection("docs", dimension=vectors[0].shape[1])
            docs.add(
                ids=[f"{number:06}" for number in range(count)],
                documents=[text for part in texts for text in part],
                embeddings=np.concatenate(vectors),
                metadatas=[
                    {"source": source, "half": part % 2, "tenth": part % 10, "hundredth": part % 100, "part": part}
                    for source, part in zip(sources, parts.tolist(), strict=True)
                ],
            )
            yield Data(store.backend, docs, *vectors)
        admin.execute("DROP SCHEMA test_recall CASCADE")


def share(found: list[Hit], expected: list[Hit]) -> float:
    """Recall by distance: the share of hits no farther than the last one expected, within rule 6.5."""
    farthest = expected[-1].distance
    assert farthest is not None
    return sum(hit.distance is not None and hit.distance <= farthest + 1e-6 for hit in found) / len(expected)


@pytest.mark.parametrize("source", ["manual", "docstring"])
@pytest.mark.parametrize(
    "where",
    [
        None,
        {"half": 1},
        {"tenth": 1},
        {"hundredth": 1},
        {"part": 1},  # 0.1%
        {"source": "manual"},  # half of the queries are unlike all that it leaves
        {"source": "docstring"},
        {"source": {"$ne": "manual"}, "half": 0},
        {"part": {"$gte": 200}},
    ],
    ids=str,
)
def test_recall_of_the_default_search_on_real_text(data: Data, where: dict[str, Any] | None, source: str) -> None:
    """6.7 recall@10 against exact search is 0.99 or more, and k come back, whether or not the index is asked for."""
    pool = data.manual if source == "manual" else data.docstrings
    queries = pool[np.random.default_rng(2).choice(len(pool), QUERIES, replace=False)]
    for exact in (None, False):
        shares: list[float] = []
        for query in queries:
            expected = data.docs.search(query, 10, where=where, exact=True)
            found = data.docs.search(query, 10, where=where, exact=exact)
            assert len(found) == len(expected)
            shares.append(share(found, expected))
        assert np.mean(shares) >= 0.99, f"recall@10 {np.mean(shares):.4f} of {where}, exact={exact}"


@pytest.fixture
def connection(postgres_url: str) -> "Iterator[psycopg.Connection[Any]]":
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "index",
    [
        HNSW(quantization="half"),
        HNSW(quantization="binary"),
        IVFFlat(),
        IVFFlat(lists=20),
        IVFFlat(lists=20, quantization="half"),
        IVFFlat(lists=20, quantization="binary"),
    ],
    ids=str,
)
def test_recall_of_other_indexes_on_real_text(data: Data, index: Index, connection: "psycopg.Connection[Any]") -> None:
    """6.7 At their default settings: those of fewer bits are asked for more, and the vectors decide."""
    made = VectorStore(data.backend).create_collection(f"other-{uuid4().hex}", dimension=data.docs.info().dimension)
    made.create_index(index)
    made.add(records=data.docs.scan(include_embeddings=True))
    connection.execute("SET enable_seqscan = off")  # which is quicker for so few records, and exact
    store = VectorStore(PgVectorBackend(connection=connection, schema="test_recall"))
    docs = store.get_collection(made.name)
    for queries in (data.manual, data.docstrings):
        some = queries[np.random.default_rng(3).choice(len(queries), QUERIES, replace=False)]
        for where in (None, {"half": 1}, {"tenth": {"$ne": 3}}):
            expected = docs.search_many(some, 10, where=where, exact=True)
            found = docs.search_many(some, 10, where=where, exact=False)
            assert [len(hits) for hits in found] == [10] * QUERIES
            shares = [share(*both) for both in zip(found, expected, strict=True)]
            assert np.mean(shares) >= 0.99, f"recall@10 {np.mean(shares):.4f} of {where}"
    explained = docs.explain(data.manual[0], exact=False)
    assert explained.index is not None, explained


def test_what_is_measured_is_the_index(data: Data) -> None:
    """6.7 Without a filter the records are too many for an exact search, and the answer says so."""
    backend, info = data.backend, data.docs.info()
    assert not any(ranking.exact for ranking in backend.search(info, VectorSearch(data.manual[:20], 10)))
    assert all(ranking.exact for ranking in backend.search(info, VectorSearch(data.manual[:5], 10, exact=True)))
