"""CrossEncoderReranker with a real cross-encoder: small, built on the spot, of random weights, as none is in a package.

What the scores are worth is up to the model; that they are the model's, and what becomes of them, is shown here.
"""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.cross_encoders import CrossEncoderReranker
from vectorkit.embedders import HashEmbedder
from vectorkit.embedders._files import shipped_folder

BuildModel = Callable[..., Path]

DOCUMENTS = [
    "Stars shine at night.",
    "",
    "Yeast makes dough rise. " * 40,
    "A B-tree speeds up lookups.",
    "東京 e\u0301",
]


@pytest.fixture(scope="module")
def folder(build_cross_encoder: BuildModel) -> Path:
    return build_cross_encoder()


def test_scores_are_those_of_the_formula(folder: Path) -> None:
    """The logistic function of the model's one output for both texts, cut at 64 tokens; with transformers alone."""
    transformers: Any = import_module("transformers")
    torch: Any = import_module("torch")
    pairs = ([["how is bread baked?"] * 5, DOCUMENTS], {"padding": True, "truncation": True, "max_length": 64})
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(*pairs[0], **pairs[1], return_tensors="pt")
    with torch.no_grad():
        outputs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)(**tokens).logits[:, 0].numpy()
    scores = CrossEncoderReranker(folder, device="cpu", batch_size=2)("how is bread baked?", DOCUMENTS)
    assert scores.dtype == np.float32
    assert scores.shape == (5,)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-outputs)), atol=1e-5)
    assert len(set(scores.round(4).tolist())) == 5


def test_a_search_is_reranked(folder: Path) -> None:
    """7.7 The order is that of the model's scores."""
    reranker = CrossEncoderReranker(folder, device="cpu")
    with vk.connect("memory:") as store:
        docs = store.create_collection("docs", embedder=HashEmbedder())
        docs.add(ids=list("abcde"), documents=DOCUMENTS)
        hits = docs.search("what shines?", include_embeddings=True)
        again = vk.rerank("what shines?", hits, reranker)
    scores = reranker("what shines?", DOCUMENTS)
    np.testing.assert_allclose([hit.score for hit in again], np.sort(scores)[::-1], atol=1e-5)
    assert [hit.id for hit in again] == ["abcde"[at] for at in np.argsort(-scores)]
    assert {hit.id for hit in vk.diversify(again, 3)} < set("abcde")


def test_many_threads_score_alike(folder: Path) -> None:
    """9.3"""
    reranker = CrossEncoderReranker(folder, device="cpu")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reranker, ["query"] * 8, [DOCUMENTS] * 8))
    for scores in found:
        np.testing.assert_allclose(scores, found[0], atol=1e-5)


def test_nothing_is_loaded_without_documents(tmp_path: Path) -> None:
    assert CrossEncoderReranker("acme/none")("query", []).shape == (0,)
    code = "import sys, vectorkit.cross_encoders as c; c.CrossEncoderReranker('acme/none'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "sentence_transformers", "transformers"} & set(done.stdout.split())


def test_loading_prints_nothing(folder: Path) -> None:
    code = f"from vectorkit.cross_encoders import *; CrossEncoderReranker({str(folder)!r}, device='cpu')('q', ['d'])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_model_that_is_no_reranker_is_refused(build_cross_encoder: BuildModel) -> None:
    """One that embeds would be given a last layer of random weights; one of classes has no one score."""
    with pytest.raises(vk.RerankingError, match="is no cross-encoder"):
        CrossEncoderReranker(shipped_folder("sentence-transformers/all-MiniLM-L6-v2") or "", device="cpu")("q", ["d"])
    with pytest.raises(vk.RerankingError, match="into 3 classes"):
        CrossEncoderReranker(build_cross_encoder(labels=3), device="cpu")("q", ["d"])


def test_scores_that_are_not_finite_are_refused(build_cross_encoder: BuildModel) -> None:
    """7.7 By `rerank`, as of any re-ranker."""
    hits = [vk.Hit("a", 1, None, "text", {})]
    with pytest.raises(vk.RerankingError, match="document 0 is a finite number, not nan"):
        vk.rerank("query", hits, CrossEncoderReranker(build_cross_encoder(nan=True), device="cpu"))


def test_a_model_that_is_not_there_is_a_reranking_error(tmp_path: Path) -> None:
    with pytest.raises(vk.RerankingError, match="there is no folder"):
        CrossEncoderReranker(tmp_path / "none")
    with pytest.raises(vk.RerankingError, match="holds no sentence-transformers model"):
        CrossEncoderReranker(tmp_path)
    with pytest.raises(vk.RerankingError, match="is not at hand") as caught:
        CrossEncoderReranker("acme/none")("query", ["text"])
    assert caught.value.__cause__ is not None
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(vk.RerankingError, match="could not be loaded"):
        CrossEncoderReranker(tmp_path)("query", ["text"])


@pytest.mark.parametrize(
    "given", [{"model": 5}, {"model": " "}, {"model": "a\0"}, {"batch_size": 0}, {"batch_size": "8"}, {"device": 1}]
)
def test_bad_arguments_are_refused(given: dict[str, Any]) -> None:
    """8.2"""
    with pytest.raises(vk.InvalidArgumentError):
        CrossEncoderReranker(**dict[str, Any]({"model": "acme/none"}, **given))


def test_bad_texts_are_refused(folder: Path) -> None:
    """2.6"""
    reranker: Any = CrossEncoderReranker(folder, device="cpu")
    for query, documents in ((5, ["a"]), ("a", "b"), ("a", [None]), ("a\0", ["a"]), ("a", ["half \ud800"])):
        with pytest.raises(vk.InvalidArgumentError):
            reranker(query, documents)
