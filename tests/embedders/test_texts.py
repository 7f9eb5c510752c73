"""What every embedder checks about its input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vectorkit import InvalidArgumentError
from vectorkit.embedders import FunctionEmbedder, HashEmbedder, SentenceTransformerEmbedder


@pytest.fixture(scope="module", params=["hash", "sentence-transformers", "function"])
def embedder(request: pytest.FixtureRequest, tiny: Path) -> Any:
    match request.param:
        case "hash":
            return HashEmbedder(32)
        case "function":
            return FunctionEmbedder(HashEmbedder(32).embed_documents, dimension=32, name="hash")
        case _:
            return SentenceTransformerEmbedder(tiny, device="cpu")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", None], r"texts\[1\] is a str, not NoneType"),
        (["a", "b", 3], r"texts\[2\] is a str, not int"),
        ([b"a"], r"texts\[0\] is a str, not bytes"),
        (["a", "b\0"], r"texts\[1\] holds NUL"),
        (["\ud800"], r"texts\[0\] holds a lone surrogate"),
        ("a text", r"pass \[text\], or call embed_query"),
        (b"a text", "list of str, not bytes"),
        ({"a": 1}, "list of str, not dict"),
        (None, "list of str, not NoneType"),
        (7, "list of str, not int"),
    ],
)
def test_what_is_no_list_of_texts_is_refused_with_the_index(embedder: Any, texts: Any, message: str) -> None:
    """8.2 A wrong Python type is an InvalidArgumentError; 2.6 no text holds NUL or a lone surrogate."""
    with pytest.raises(InvalidArgumentError, match=message):
        embedder.embed_documents(texts)


@pytest.mark.parametrize("text", [None, 3, b"a", ["a"], "a\0b", "\udfff"])
def test_a_query_that_is_no_text_is_refused(embedder: Any, text: Any) -> None:
    """8.2 A wrong Python type is an InvalidArgumentError; 2.6 no text holds NUL or a lone surrogate."""
    with pytest.raises(InvalidArgumentError, match="the query"):
        embedder.embed_query(text)


def test_no_texts_make_an_empty_array_of_the_right_width(embedder: Any) -> None:
    vectors = embedder.embed_documents([])
    assert vectors.shape == (0, 32)
    assert vectors.dtype == np.float32


def test_tuples_and_iterators_of_texts_are_taken(embedder: Any) -> None:
    expected = embedder.embed_documents(["one", "two"])
    assert np.array_equal(embedder.embed_documents(("one", "two")), expected)
    assert np.array_equal(embedder.embed_documents(iter(["one", "two"])), expected)
    assert np.array_equal(embedder.embed_documents(np.array(["one", "two"])), expected)
