"""An embedder without a model: feature hashing of words and their letters."""

import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vectorkit.embedders._texts import as_text, as_texts
from vectorkit.errors import InvalidArgumentError
from vectorkit.types import EmbedderIdentity, FloatArray
from vectorkit.validation import check_dimension

__all__ = ["HashEmbedder"]

_MIN_DIMENSION: Final = 8
"""Below it two texts may have one vector: what is particular to a text is a byte per dimension."""

_WORD: Final = re.compile(rb"[a-z0-9\x80-\xff]{1,64}")
"""Over bytes, lowered as ASCII: Python's Unicode tables grow from version to version, and vectors must not change."""

_FEATURE_WEIGHT: Final = 12_000
"""Over the text's own part, of 147 a dimension: it is to tell texts apart, not to count in their likeness."""


class HashEmbedder:
    """Texts that share words, or parts of words, get vectors near each other; it knows nothing about meaning.

    For tests, documentation and trying things out: it needs no model and no package, takes 0.1 ms a text, and a text
    gives the same vector, to the bit, in every process, on every platform and with every version of Python. Different
    texts give different vectors, if only by a little; the empty text gives one too. Safe to use from many threads.

    Signed feature hashing (Weinberger et al. 2009, arXiv:0902.2206) of the set of a text's words and of their letter
    trigrams, plus a small part that depends on the text as a whole.

    Args:
        dimension: Length of the vectors, 8 to 16,000.

    Raises:
        InvalidArgumentError: `dimension` is not an int in that range.
    """

    def __init__(self, dimension: int = 384) -> None:
        if check_dimension(dimension) < _MIN_DIMENSION:
            raise InvalidArgumentError(
                f"the dimension of a HashEmbedder is at least {_MIN_DIMENSION}, not {dimension}: "
                "with fewer, different texts could have the same vector"
            )
        self._identity = EmbedderIdentity(kind="hash", model="words-and-trigrams-1", dimension=int(dimension))

    def __repr__(self) -> str:
        return f"HashEmbedder(dimension={self._identity.dimension})"

    @property
    def identity(self) -> EmbedderIdentity:
        """Kind `"hash"`; the model names the method, and changes if the vectors ever do."""
        return self._identity

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed texts.

        Args:
            texts: Any number of str, empty ones too.

        Returns:
            float32 array of shape `(len(texts), dimension)`, rows of norm 1.

        Raises:
            InvalidArgumentError: One is not a str, or holds NUL or a lone surrogate; the message has its index.
        """
        rows = as_texts(texts)
        vectors = np.empty((len(rows), self._identity.dimension), dtype=np.float32)
        for row, text in enumerate(rows):
            vectors[row] = _vector(text.encode(), self._identity.dimension)
        return vectors

    def embed_query(self, text: str) -> FloatArray:
        """Embed a text as `embed_documents` does.

        Args:
            text: Any str.

        Returns:
            float32 array of shape `(dimension,)`, of norm 1.

        Raises:
            InvalidArgumentError: It is not a str, or holds NUL or a lone surrogate.
        """
        return _vector(as_text(text, "the query").encode(), self._identity.dimension).astype(np.float32)


def _vector(text: bytes, dimension: int) -> NDArray[np.float64]:
    # Sums are of integers, so they and the norm are exact whatever the order, and no platform rounds differently.
    own = np.frombuffer(hashlib.shake_256(text).digest(dimension), dtype=np.uint8).astype(np.int64) * 2 - 255
    words = set(_WORD.findall(text.lower()))
    slots = np.concatenate([_slots(word, dimension) for word in words]) if words else np.empty(0, dtype=np.int64)
    plus, minus = np.bincount(slots, minlength=2 * dimension).reshape(2, dimension)
    vector: NDArray[Any] = _FEATURE_WEIGHT * (plus - minus) + own
    return vector / math.sqrt(int(vector @ vector))


@lru_cache(maxsize=2**14)
def _slots(word: bytes, dimension: int) -> NDArray[np.int64]:
    """Where the features of a word count: slot `d` adds to dimension `d`, slot `dimension + d` takes from it."""
    bounded = b"<" + word + b">"
    trigrams = [bounded[start : start + 3] for start in range(len(bounded) - 2)]
    whole = [b"=" + word] * 4  # or else many words spelt a little alike would outweigh one that is the same
    digests = (hashlib.blake2b(feature, digest_size=8).digest() for feature in (*whole, *trigrams))
    return np.array([int.from_bytes(digest, "little") % (2 * dimension) for digest in digests], dtype=np.int64)
