"""`vk.embedder`: any function of texts is an embedder, and what it returns is checked."""

from typing import Any

import numpy as np
import pytest

import vectorkit as vk
from vectorkit.embedders import FunctionEmbedder


def lengths(texts: list[str]) -> list[list[int]]:
    return [[len(text), 1] for text in texts]


def test_a_function_is_an_embedder_with_an_identity() -> None:
    """1.4 The identity names the function, its dimension, and that nothing is scaled."""
    embedder = vk.embedder(lengths, dimension=2, name="lengths-1")
    assert isinstance(embedder, vk.Embedder)
    assert embedder.identity == vk.EmbedderIdentity("function", "lengths-1", 2, normalize=False)
    assert repr(embedder) == "FunctionEmbedder(dimension=2, name='lengths-1')"


def test_a_collection_embeds_with_it_and_refuses_another() -> None:
    """1.4 Checked on open; 6.1 a string is embedded by the collection's embedder."""
    with vk.connect("memory:") as store:
        embedder = vk.embedder(lengths, dimension=2, name="lengths-1")
        docs = store.create_collection("docs", embedder=embedder, metric="l2")
        docs.add(ids=["short", "long"], documents=["ab", "abcdefgh"])
        assert [hit.id for hit in docs.search("1234567", k=2)] == ["long", "short"]
        with pytest.raises(vk.CollectionMismatchError, match=r"'lengths-1'.*'lengths-2'"):
            store.get_collection("docs", embedder=vk.embedder(lengths, dimension=2, name="lengths-2"))


def halves(rows: list[list[int]]) -> Any:
    return np.array(rows, dtype=np.float16)


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter, halves])
def test_arrays_lists_and_generators_become_one_contiguous_float32_array(kind: Any) -> None:
    embedder = vk.embedder(lambda texts: kind(lengths(texts)), dimension=2, name="x")
    vectors = embedder.embed_documents(["a", "bc"])
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.tolist() == [[1, 1], [2, 1]]
    assert embedder.embed_query("abc").tolist() == [3, 1]


def test_it_is_not_called_for_no_texts() -> None:
    def never(texts: list[str]) -> Any:
        raise AssertionError

    assert vk.embedder(never, dimension=3, name="x").embed_documents([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"the embedder returned NoneType; expected an array of shape \(3, 2\)"),
        ([[1, 2], [1, 2]], r"2 vector\(s\) for 3 text\(s\)"),
        ([[1, 2], [1, 2], [1, 2, 3]], r"the vector of texts\[2\] has 3 dimensions"),
        (np.ones((3, 4)), r"the vector of texts\[0\] has 4 dimensions"),
        ([[1, 2], [1, float("nan")], [1, 2]], r"the vector of texts\[1\] holds NaN"),
        ([[1, 2], ["1", 2], [1, 2]], r"the vector of texts\[1\] holds str"),
        (np.array([[1j, 2]] * 3), r"the vector of texts\[0\] is of dtype complex128"),
    ],
)
def test_a_wrong_shape_count_type_or_nan_is_refused_and_the_text_named(made: Any, message: str) -> None:
    with pytest.raises(vk.EmbeddingError, match=message):
        vk.embedder(lambda texts: made, dimension=2, name="x").embed_documents(["a", "b", "c"])


def test_what_is_wrong_with_the_vector_of_a_query_is_said_of_the_query() -> None:
    with pytest.raises(vk.EmbeddingError, match="the vector of the query holds NaN"):
        vk.embedder(lambda texts: [[1, np.nan]], dimension=2, name="x").embed_query("a")


def test_what_the_function_raises_is_the_cause() -> None:
    """8.2 A client's own exception never escapes: it is the cause."""

    def broken(texts: list[str]) -> Any:
        raise OSError("no model")

    with pytest.raises(vk.EmbeddingError, match=r"'mine' failed on 2 text\(s\): OSError: no model") as caught:
        vk.embedder(broken, dimension=2, name="mine").embed_documents(["a", "b"])
    assert isinstance(caught.value.__cause__, OSError)


async def asynchronous(texts: list[str]) -> Any: ...


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("text", {"dimension": 2, "name": "x"}, "made of a function of texts, not str"),
        (asynchronous, {"dimension": 2, "name": "x"}, "not an async one"),
        (lengths, {"dimension": 0, "name": "x"}, "dimension is 1 to"),
        (lengths, {"dimension": "2", "name": "x"}, "dimension is an int"),
        (lengths, {"dimension": 2, "name": " "}, "it is not empty"),
        (lengths, {"dimension": 2, "name": 7}, "name is a str"),
    ],
)
def test_arguments_of_a_wrong_type_or_value_are_refused(function: Any, arguments: Any, message: str) -> None:
    """8.2 A wrong Python type for an argument is an InvalidArgumentError."""
    with pytest.raises(vk.InvalidArgumentError, match=message):
        FunctionEmbedder(function, **arguments)
