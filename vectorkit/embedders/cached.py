"""A persistent cache in front of any embedder."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Literal, Protocol, Self, runtime_checkable

import numpy as np

from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.embedders._vector_file import VectorFile
from vectorkit.errors import EmbeddingError, InvalidArgumentError
from vectorkit.paths import local_path
from vectorkit.protocol import Embedder
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.validation import check_natural
from vectorkit.vectors import as_embeddings

__all__ = ["CacheStats", "CachedEmbedder"]

_LEAST_BYTES: Final = 2**20

_CHUNK: Final = 256
"""Texts a call of an embedder that does not hand on vectors as they arrive; at most so many are lost if it fails."""


@runtime_checkable
class _PartwiseEmbedder(Protocol):
    def embed_parts(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], FloatArray]]: ...


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache was good for since it was opened.

    Attributes:
        hits: Texts whose vectors were there, or were made for an equal text of the same call.
        misses: Texts that were embedded.
    """

    hits: int = 0
    misses: int = 0


class CachedEmbedder:
    """Keeps the vectors of another embedder in a file, and asks it only for those that are not there.

    ::

        embedder = CachedEmbedder(OpenAIEmbedder(), "embeddings.sqlite")

    Vectors are stored as they arrive: a program that dies half-way pays only for the rest when it is run again. They
    come back to the bit. The file may hold vectors of several embedders, and several threads and processes may use
    it at once; two that embed the same new text at the same moment both pay for it. Texts themselves are not in it,
    only their SHA-256.

    The identity is that of the other embedder. Together with the revision of its weights, the text, and whether it
    is a document or a query, it makes the key.

    Args:
        embedder: The embedder that makes the vectors. If it has `embed_parts`, as `OpenAIEmbedder` and
            `SentenceTransformerEmbedder` have, that is used: it hands vectors on as they arrive.
        path: The file, made if there is none; on a disk of this machine.
        max_bytes: About the most that the file may hold, at least 1 MiB; the least recently used vectors go. A
            vector takes 4 bytes a dimension, and some 100 to 1,000 more.

    Raises:
        InvalidArgumentError: An argument is of another type or out of range.
        EmbeddingError: The file cannot be used.
    """

    def __init__(self, embedder: Embedder, path: str | os.PathLike[str], *, max_bytes: int = 10 * 2**30) -> None:
        if not isinstance(embedder, Embedder):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"{type(embedder).__name__} is no embedder: it needs identity, embed_documents and embed_query"
            )
        if check_natural(max_bytes, "max_bytes") < _LEAST_BYTES:
            raise InvalidArgumentError(f"max_bytes is at least {_LEAST_BYTES:,}, not {max_bytes:,}")
        self._inner = embedder
        self._path = local_path(path, "path")
        self._file = VectorFile(self._path, int(max_bytes))
        self._stats = CacheStats()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"CachedEmbedder({self._inner!r}, {str(self._path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def identity(self) -> EmbedderIdentity:
        """That of the embedder that makes the vectors."""
        return self._inner.identity

    @property
    def stats(self) -> CacheStats:
        """Hits and misses so far."""
        return self._stats

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts that will be stored.

        Args:
            texts: Any number of str; equal ones are embedded once.

        Returns:
            C-contiguous float32 array of shape `(len(texts), dimension)`, in the order of the texts.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
            EmbeddingError: The file cannot be used, or the embedder raises it or returns what is no vector of each
                text; the message says for which. What it handed on before is in the file.
        """
        rows = as_texts(texts)
        keys = self._keys(rows, "document")
        vectors = np.empty((len(rows), self.identity.dimension), dtype=np.float32)
        places: dict[bytes, list[int]] = {}
        for row, key in enumerate(keys):
            places.setdefault(key, []).append(row)
        for key, vector in self._stored(list(places)).items():
            vectors[places.pop(key)] = vector
        missing = list(places)
        self._count(hits=len(rows) - len(missing))
        numbers = [places[key][0] for key in missing]
        try:
            for part, made in self._made([rows[row] for row in numbers]):
                self._file.put((missing[index], vector.tobytes()) for index, vector in zip(part, made, strict=True))
                self._count(misses=len(part))
                for index, vector in zip(part, made, strict=True):
                    vectors[places[missing[index]]] = vector
        except EmbeddingError as error:
            _renumber(error, numbers)
            raise
        return vectors

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text to search with.

        Args:
            text: Any str.

        Returns:
            float32 array of shape `(dimension,)`.

        Raises:
            InvalidArgumentError: It is not a str, or holds NUL or a lone surrogate.
            EmbeddingError: As `embed_documents`.
        """
        (key,) = self._keys([as_text(text, "the query")], "query")
        vector = self._stored([key]).get(key)
        if vector is None:
            made = as_embeddings(
                [self._inner.embed_query(text)], 1, self.identity.dimension, lambda _: "the vector of the query"
            )
            vector = made[0].astype("<f4")
            self._file.put([(key, vector.tobytes())])
            self._count(misses=1)
        else:
            self._count(hits=1)
        return np.array(vector, dtype=np.float32)

    def close(self) -> None:
        """Close the file, not the embedder; a later use opens it again."""
        self._file.close()

    def _keys(self, texts: list[str], role: Literal["document", "query"]) -> list[bytes]:
        prefix = json.dumps([*astuple(self.identity), role]).encode()
        return [hashlib.sha256(prefix + b"\0" + text.encode()).digest() for text in texts]

    def _stored(self, keys: list[bytes]) -> dict[bytes, FloatArray]:
        size = 4 * self.identity.dimension
        # What has another length was damaged, and is made anew.
        return {
            key: np.frombuffer(vector, dtype="<f4")
            for key, vector in self._file.get(keys).items()
            if len(vector) == size
        }

    def _made(self, texts: list[str]) -> Iterator[tuple[Sequence[int], FloatArray]]:
        dimension = self.identity.dimension
        parts: Iterator[tuple[Sequence[int], object]]
        if not texts:
            return
        if isinstance(self._inner, _PartwiseEmbedder):
            parts = self._inner.embed_parts(texts)
        else:
            chunks = (range(len(texts))[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
            parts = ((chunk, self._made_of(texts, chunk)) for chunk in chunks)
        for rows, made in parts:
            try:
                checked = as_embeddings(made, len(rows), dimension, lambda index: f"the vector of texts[{index}]")
            except EmbeddingError as error:
                _renumber(error, rows)
                raise
            yield rows, checked.astype("<f4", copy=False)

    def _made_of(self, texts: list[str], chunk: range) -> object:
        try:
            return self._inner.embed_documents(texts[chunk.start : chunk.stop])
        except EmbeddingError as error:
            _renumber(error, chunk)
            raise

    def _count(self, *, hits: int = 0, misses: int = 0) -> None:
        with self._lock:
            self._stats = CacheStats(self._stats.hits + hits, self._stats.misses + misses)


def _renumber(error: EmbeddingError, numbers: Sequence[int]) -> None:
    """Let an error name the texts of the call in place of those that were passed on; `numbers` has them in order."""
    error.args = tuple(_renumbered(part, numbers) for part in error.args)
    if error.index is not None and 0 <= error.index < len(numbers):
        error.index = numbers[error.index]


def _renumbered(message: object, numbers: Sequence[int]) -> object:
    def name(match: re.Match[str]) -> str:
        first, last = int(match[1]), int(match[2] or int(match[1]) + 1) - 1
        if not first <= last < len(numbers):
            return match[0]
        return f"texts[{numbers[first]}]" if first == last else f"texts[{numbers[first]}:{numbers[last] + 1}]"

    return re.sub(r"texts\[(\d+)(?::(\d+))?\]", name, message) if isinstance(message, str) else message
