"""Any function from texts to vectors, as an embedder."""

import inspect
from collections.abc import Callable, Sequence

import numpy as np

from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.errors import EmbeddingError, InvalidArgumentError, VectorKitError
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.validation import check_dimension
from vectorkit.vectors import as_embeddings

__all__ = ["FunctionEmbedder", "embedder"]


def embedder(function: Callable[[list[str]], object], *, dimension: int, name: str) -> "FunctionEmbedder":
    """Make an embedder of a function.

    ::

        embedder = vk.embedder(lambda texts: model.encode(texts), dimension=384, name="my-model-v1")

    Args:
        function: Takes a list of str and returns a vector of each, in order: an array of shape
            `(len(texts), dimension)` of any NumPy number type, or an iterable of lists, tuples or 1-d arrays. It is
            called for documents and, with one text, for queries; from several threads at once if the collection is
            used from several.
        dimension: Length of its vectors, 1 to 16,000.
        name: What the identity calls it. Stored with a collection and compared when it is opened: change it
            whenever the function makes other vectors.

    Raises:
        InvalidArgumentError: `function` cannot be called or is asynchronous, `dimension` is out of range, or `name`
            is no str or empty.
    """
    return FunctionEmbedder(function, dimension=dimension, name=name)


class FunctionEmbedder:
    """An embedder that calls a function and checks what it returns; arguments and errors as in `vectorkit.embedder`."""

    def __init__(self, function: Callable[[list[str]], object], *, dimension: int, name: str) -> None:
        if not callable(function):
            raise InvalidArgumentError(f"an embedder is made of a function of texts, not {type(function).__name__}")
        if inspect.iscoroutinefunction(function):
            raise InvalidArgumentError("an embedder is made of a function that returns vectors, not an async one")
        if not as_text(name, "name").strip():
            raise InvalidArgumentError("name says which function makes the vectors; it is not empty")
        self._function = function
        self._identity = EmbedderIdentity(
            kind="function", model=name, dimension=check_dimension(dimension), normalize=False
        )

    def __repr__(self) -> str:
        return f"FunctionEmbedder(dimension={self._identity.dimension}, name={self._identity.model!r})"

    @property
    def identity(self) -> EmbedderIdentity:
        """Kind `"function"`; the model is the name. Nothing is scaled here."""
        return self._identity

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts with one call of the function.

        Args:
            texts: Any number of str; for none the function is not called.

        Returns:
            C-contiguous float32 array of shape `(len(texts), dimension)`.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
            EmbeddingError: The function fails, or what it returns has another count, length or kind, or holds NaN or
                infinity; the message says for which text.
        """
        return self._embed(as_texts(texts), lambda index: f"the vector of texts[{index}]")

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text as `embed_documents` does, which says what is raised when.

        Args:
            text: Any str.

        Returns:
            float32 array of shape `(dimension,)`.
        """
        vector: FloatArray = self._embed([as_text(text, "the query")], lambda _: "the vector of the query")[0]
        return vector

    def _embed(self, texts: list[str], what: Callable[[int], str]) -> FloatArray:
        count = len(texts)
        if not count:
            return np.empty((0, self._identity.dimension), dtype=np.float32)
        try:
            made = self._function(texts)
        except VectorKitError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"the function of embedder {self._identity.model!r} failed on {count:,} text(s): "
                f"{type(error).__name__}: {error}"
            ) from error
        return as_embeddings(made, count, self._identity.dimension, what)
