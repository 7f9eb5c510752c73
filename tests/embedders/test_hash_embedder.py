"""HashEmbedder: deterministic, different vectors for different texts, near ones for like texts."""

import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorkit import Embedder, EmbedderIdentity, InvalidArgumentError
from vectorkit.embedders import HashEmbedder

TEXTS = ["How networks learn", "Straße, 東京, emoji 🚀", "", "x" * 300, "one\ttwo\n\nthree"]
CHECKSUM = "21efb86e4cc8b1d61acc26928c9f7139c0101d64f3297f64e5f7b0fdea8902bc"

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)


def test_it_is_an_embedder_with_an_identity() -> None:
    """1.4 What decides the vectors is in the identity."""
    embedder = HashEmbedder(dimension=64)
    assert isinstance(embedder, Embedder)
    assert embedder.identity == EmbedderIdentity(kind="hash", model="words-and-trigrams-1", dimension=64)
    assert repr(embedder) == "HashEmbedder(dimension=64)"


@settings(deadline=None)
@given(st.lists(texts, max_size=8))
def test_vectors_are_float32_of_norm_one(batch: list[str]) -> None:
    """2.3 An embedding is `dimension` finite float32 numbers; no text, the empty one neither, gets a zero vector."""
    vectors = HashEmbedder(dimension=32).embed_documents(batch)
    assert vectors.shape == (len(batch), 32)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@settings(deadline=None)
@given(texts, texts, st.sampled_from([8, 384]))
def test_different_texts_have_different_vectors_and_equal_texts_equal_ones(
    one: str, other: str, dimension: int
) -> None:
    embedder = HashEmbedder(dimension=dimension)
    assert np.array_equal(embedder.embed_query(one), embedder.embed_documents([other])[0]) == (one == other)


@pytest.mark.parametrize(("one", "other"), [("a b", "b a"), ("a", "A"), ("", " "), ("!", "?"), ("a", "a a")])
def test_texts_of_the_same_words_differ_by_more_than_the_tolerance_of_distances(one: str, other: str) -> None:
    embedder = HashEmbedder()
    assert 1 - embedder.embed_query(one) @ embedder.embed_query(other) > 1e-5


def test_vectors_are_the_same_to_the_bit_on_every_platform_and_in_every_version() -> None:
    """Collections store these vectors: if this fails, the model in the identity needs a new name."""
    vectors = HashEmbedder().embed_documents(TEXTS)
    assert hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest() == CHECKSUM


@pytest.mark.parametrize("seed", ["0", "1"])
def test_vectors_are_the_same_in_another_process(seed: str) -> None:
    code = (
        "import hashlib, sys; from vectorkit.embedders import HashEmbedder;"
        f"print(hashlib.sha256(HashEmbedder().embed_documents({TEXTS!a}).astype('<f4').tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == CHECKSUM


def test_texts_that_share_words_or_parts_of_words_are_nearest() -> None:
    documents = [
        "Neural networks learn by adjusting their weights.",
        "PostgreSQL keeps the rows of a database in heap pages.",
        "Bread is baked from flour, water, salt and yeast.",
    ]
    embedder = HashEmbedder()
    vectors = embedder.embed_documents(documents)
    for nearest, query in enumerate(["How does a network learn?", "database rows", "BAKING bread"]):
        assert int(np.argmax(vectors @ embedder.embed_query(query))) == nearest


def test_ten_thousand_short_texts_take_seconds() -> None:
    batch = [f"record {n}: the quick brown fox jumps over {n % 97} lazy dogs" for n in range(10_000)]
    start = time.process_time()
    assert len(HashEmbedder().embed_documents(batch)) == 10_000
    assert time.process_time() - start < 5


@pytest.mark.parametrize("dimension", [0, -1, 7, 16_001, 1.5, "384", True, None])
def test_a_dimension_out_of_range_is_refused(dimension: int) -> None:
    with pytest.raises(InvalidArgumentError, match="dimension"):
        HashEmbedder(dimension=dimension)
