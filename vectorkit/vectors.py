"""Vectors: numbers in float32 within limits, one array for all (rule 2.3)."""

import struct
from collections.abc import Callable, Iterable
from operator import countOf
from typing import Any, Final

import numpy as np

from vectorkit._narrow import is_array, is_iterable, is_mapping, is_sequence
from vectorkit.errors import (
    DimensionMismatchError,
    EmbeddingError,
    InvalidArgumentError,
    InvalidVectorError,
    VectorKitError,
)
from vectorkit.metrics import METRICS
from vectorkit.types import FloatArray, Metric
from vectorkit.validation import as_list

__all__ = ["MAX_NORM", "as_embeddings", "as_vectors"]

MAX_NORM: Final = 1e15
"""Above it, squares summed in float32 come near its largest number, 3.4e38."""

_MISMATCH_ADVICE: Final = "; use the embedder the collection was made with, or a collection of that dimension"


def as_vectors(vectors: object, dimension: int, metric: Metric, what: Callable[[int], str]) -> FloatArray:
    """Return vectors as one C-contiguous float32 array of shape `(n, dimension)` (rule 2.3).

    Args:
        vectors: A sequence of vectors (lists, tuples, 1-d arrays), or a 2-d array of any NumPy number type.
        dimension: The length each must have.
        metric: Under `cosine` a norm below 1e-12 is refused too.
        what: Names the vector of a given index, for the message.

    Returns:
        The array; it shares memory with `vectors` if that is such an array already.

    Raises:
        DimensionMismatchError: A vector has another length.
        InvalidVectorError: It holds something that is no number, NaN, infinity or a number beyond float32, or its
            norm is above 1e15 (or under `cosine` below 1e-12).
    """
    array = _to_array(vectors, dimension, what)
    _check_values(array, metric, what)
    return array


def as_embeddings(
    made: object, count: int, dimension: int, what: Callable[[int], str], metric: Metric = "ip"
) -> FloatArray:
    """Return what an embedder made of `count` texts as `as_vectors` does; what is wrong with it is its fault.

    Args:
        made: What it returned.
        count: How many texts it was given.
        dimension: The length each vector must have.
        what: Names the vector of the text of a given index, for the message.
        metric: Under `cosine` a norm below 1e-12 is refused too.

    Raises:
        EmbeddingError: There are more or fewer vectors than texts, or one is no vector by the rules of `as_vectors`;
            the message says which, and `index`.
    """
    at: int | None = None

    def named(index: int) -> str:
        nonlocal at
        at = index
        return what(index)

    if isinstance(made, str | bytes) or is_mapping(made) or not is_iterable(made):
        raise EmbeddingError(
            f"the embedder returned {type(made).__name__}; expected an array of shape ({count:,}, {dimension:,})"
        )
    rows = made if is_array(made) else _drained(made)
    if len(rows) != count:
        raise EmbeddingError(f"the embedder returned {len(rows):,} vector(s) for {count:,} text(s); expected one each")
    try:
        return as_vectors(rows, dimension, metric, named)
    except InvalidArgumentError as problem:
        raise EmbeddingError(str(problem).removesuffix(_MISMATCH_ADVICE), index=at) from None


def _drained(made: Iterable[object]) -> list[object]:
    try:
        return list(made)
    except VectorKitError:
        raise
    except Exception as error:  # of a generator, which does its work only now
        raise EmbeddingError(f"the embedder failed: {type(error).__name__}: {error}") from error


def _to_array(vectors: object, dimension: int, what: Callable[[int], str]) -> FloatArray:
    if is_array(vectors) and vectors.ndim == 2 and vectors.dtype.kind in "iuf":
        if vectors.shape[1] != dimension:
            if vectors.shape[0]:
                raise _mismatch(what(0), vectors.shape[1], dimension)
            return np.empty((0, dimension), dtype=np.float32)
        if vectors.dtype == np.float32:
            return np.ascontiguousarray(vectors)
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is then reported as that
            return np.ascontiguousarray(vectors, dtype=np.float32)
    rows = as_list(vectors, "embeddings")
    array = np.empty((len(rows), dimension), dtype=np.float32)
    pack = struct.Struct(f"{dimension}f").pack_into  # a third of the time NumPy takes to convert a list
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is then reported as that
        for index, row in enumerate(rows):
            if is_sequence(row) and len(row) == dimension == countOf(map(type, row), float):
                pack(array[index], 0, *row)
            else:
                array[index] = _to_row(row, dimension, what, index)
    return array


def _to_row(row: Any, dimension: int, what: Callable[[int], str], index: int) -> FloatArray:
    types: set[type] = set()
    if is_array(row):
        if row.ndim != 1:
            raise InvalidVectorError(f"{what(index)} has shape {row.shape}; expected ({dimension},)")
        if row.dtype.kind not in "iufO":
            raise InvalidVectorError(f"{what(index)} is of dtype {row.dtype}; expected real numbers")
        if row.dtype.kind == "O":
            types = set(map(type, row))
        length = len(row)
    elif is_sequence(row):
        types = set(map(type, row))
        length = len(row)
    else:
        raise InvalidVectorError(
            f"{what(index)} is a sequence of {dimension:,} numbers (list, tuple or NumPy array), "
            f"not {type(row).__name__}"
        )
    if wrong := [kind.__name__ for kind in types - {float, int} if not _is_real(kind)]:
        raise InvalidVectorError(f"{what(index)} holds {', '.join(sorted(wrong))}; expected real numbers")
    if length != dimension:
        raise _mismatch(what(index), length, dimension)
    try:
        return np.asarray(row, dtype=np.float32)
    except OverflowError:
        raise InvalidVectorError(f"{what(index)} holds an integer beyond float32") from None


def _is_real(kind: type) -> bool:
    return issubclass(kind, int | float | np.integer | np.floating) and not issubclass(kind, bool | np.timedelta64)


def _mismatch(what: str, length: int, dimension: int) -> DimensionMismatchError:
    return DimensionMismatchError(f"{what} has {length:,} dimensions, expected are {dimension:,}{_MISMATCH_ADVICE}")


def _check_values(array: FloatArray, metric: Metric, what: Callable[[int], str]) -> None:
    least = METRICS[metric].min_norm
    low, high = least**2 * 1.01, MAX_NORM**2 * 0.99
    # Of one vector, a query mostly, in a third of the time.
    squares = [float(np.vdot(array, array))] if len(array) == 1 else np.einsum("ij,ij->i", array, array).tolist()
    if all(low < square < high for square in squares):  # NaN is not
        return
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InvalidVectorError(f"{what(row)} holds NaN, infinity or a number beyond float32")
    norms = np.sqrt(np.square(array, dtype=np.float64).sum(axis=1))
    for index in np.flatnonzero((norms > MAX_NORM) | (norms < least)).tolist():
        norm = float(norms[index])
        if norm > MAX_NORM:
            raise InvalidVectorError(f"{what(index)} has norm {norm:.3g}; at most {MAX_NORM:.0e} is taken")
        raise InvalidVectorError(
            f"{what(index)} has norm {norm:.3g}; {metric} has no meaning below {least:.0e} "
            "(a zero vector has no direction)"
        )
