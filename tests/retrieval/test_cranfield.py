"""How good the answers are: nDCG@10 on the Cranfield collection, with real embeddings and human judgements."""

import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import log2
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import pytest

import vectorkit as vk
from vectorkit.embedders import SentenceTransformerEmbedder
from vectorkit.types import FloatArray
from vectorkit_pgvector import PgVectorBackend

pytestmark = [
    pytest.mark.recall,
    pytest.mark.filterwarnings("ignore:.*are longer than the 256 tokens"),  # the model's limit: no fault of the data
]

FOLDER = Path(__file__).parents[1] / "data" / "cranfield"


class Data(NamedTuple):
    documents: dict[str, str]
    embeddings: FloatArray
    queries: dict[str, str]
    vectors: list[FloatArray]
    judged: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def data() -> Data:
    with lzma.open(FOLDER / "corpus.jsonl.xz", "rt", encoding="utf-8") as packed:
        corpus = [json.loads(line) for line in packed]
    queries = [json.loads(line) for line in (FOLDER / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (FOLDER / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged[query][document] = int(grade)
    documents, texts = ({row["_id"]: row["text"] for row in rows} for rows in (corpus, queries))
    embedder = SentenceTransformerEmbedder()
    embeddings = embedder.embed_documents(list(documents.values()))
    return Data(documents, embeddings, texts, [embedder.embed_query(text) for text in texts.values()], judged)


def ndcg(ids: Sequence[str], grades: dict[str, int]) -> float:
    """nDCG@10 with gain `2**grade - 1` and discount `log2(rank + 1)` (Burges et al., 2005)."""

    def discounted(found: Iterable[int]) -> float:
        return sum((2.0**grade - 1.0) / log2(rank + 1) for rank, grade in enumerate(found, 1))

    return discounted(grades.get(id, 0) for id in ids[:10]) / discounted(sorted(grades.values(), reverse=True)[:10])


@pytest.fixture(scope="module", params=["memory:", "chroma:", "postgres"])
def docs(request: pytest.FixtureRequest, data: Data, postgres_url: str) -> Iterator[vk.Collection]:
    postgres = request.param == "postgres"
    with vk.VectorStore(PgVectorBackend(postgres_url)) if postgres else vk.connect(request.param) as store:
        docs = store.create_collection("cranfield", dimension=data.embeddings.shape[1], text_index=True)
        docs.add(ids=list(data.documents), documents=list(data.documents.values()), embeddings=data.embeddings)
        yield docs
        store.drop_collection("cranfield")


def test_hybrid_search_is_better_than_either_side(docs: vk.Collection, data: Data) -> None:
    """7.5 The figures are the same on every backend, to four decimals."""
    texts = list(data.queries.values())
    found = {
        "vector": docs.search_many(data.vectors, exact=True),
        "text": docs.search_many(texts, mode="text"),
        "hybrid": docs.search_many(texts, mode="hybrid", vectors=data.vectors, exact=True),
        "rrf": docs.search_many(texts, mode="hybrid", fusion="rrf", vectors=data.vectors, exact=True),
    }
    means = {
        mode: mean(
            ndcg([hit.id for hit in hits], data.judged[id]) for id, hits in zip(data.queries, answers, strict=True)
        )
        for mode, answers in found.items()
    }
    assert means == pytest.approx({"vector": 0.3679, "text": 0.3621, "hybrid": 0.4053, "rrf": 0.4028}, abs=5e-5)
    assert means["hybrid"] >= 0.400
