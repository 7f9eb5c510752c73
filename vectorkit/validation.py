"""The checks every argument passes once, above the seam, whatever the backend (sections 1 and 2 of the contract)."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vectorkit._narrow import is_array, is_dict, is_iterable, is_list, is_mapping, is_sequence
from vectorkit.errors import (
    DimensionMismatchError,
    DuplicateIdError,
    InvalidArgumentError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidNameError,
    InvalidVectorError,
)
from vectorkit.types import FloatArray, Json, Metadata, Metric

__all__ = [
    "MAX_DIMENSION",
    "MAX_NORM",
    "MIN_COSINE_NORM",
    "MetricName",
    "as_list",
    "as_metadata",
    "as_metric",
    "as_vectors",
    "check_choice",
    "check_dimension",
    "check_document",
    "check_flag",
    "check_id",
    "check_metadata_key",
    "check_name",
    "check_natural",
    "check_score",
    "check_text",
    "check_unique",
]

MetricName: TypeAlias = Literal["cosine", "l2", "ip", "dot"]
"""A metric, or the alias `"dot"` of `"ip"`."""

Choice = TypeVar("Choice", bound=str)

MAX_DIMENSION: Final = 16_000
"""The most a `vector` column of pgvector takes (its README, "Vectors have up to 16,000 dimensions")."""
MAX_NORM: Final = 1e15
"""Above it, squares summed in float32 come near its largest number, 3.4e38."""
MIN_COSINE_NORM: Final = 1e-12
"""Below it, squares summed in float32 come near its smallest normal number, 1.2e-38."""

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{1,46}[a-zA-Z0-9]", re.ASCII)
_RESERVED_PREFIXES: Final = ("$", "#", "_vk", "chroma:")
_METRICS: Final[tuple[MetricName, ...]] = ("cosine", "l2", "ip", "dot")
_MAX_ID: Final = 512
_MAX_KEY: Final = 256
_MAX_KEYS: Final = 256
_MAX_ELEMENTS: Final = 1000
_MAX_NESTING: Final = 32
_INT64: Final = 2**63


def check_text(text: str, what: str) -> None:
    """Refuse NUL, which PostgreSQL cannot store, and lone surrogates, which no UTF-8 text can hold (rule 2.6).

    Args:
        text: Any string.
        what: What the string is, for the message.

    Raises:
        InvalidArgumentError: `text` holds NUL or a lone surrogate.
    """
    if "\0" in text:
        raise InvalidArgumentError(f"{what} holds NUL (\\x00) at position {text.index(chr(0))}; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"{what} holds a lone surrogate ({text[error.start]!a}) at position {error.start}; "
                "that is no valid Unicode text: decode its source with errors='replace'"
            ) from None


def check_name(name: object) -> str:
    """Return `name` if it is a collection name by rule 1.1, or raise `InvalidNameError`."""
    if not isinstance(name, str):
        raise InvalidNameError(f"a collection name is a str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{_short(name)} is no collection name: 3 to 48 characters of [a-zA-Z0-9_-], "
            "the first and the last one a letter or digit"
        )
    return str(name)


def check_dimension(dimension: object) -> int:
    """Return `dimension` if it is an int from 1 to 16,000, or raise `InvalidArgumentError`."""
    value = check_natural(dimension, "dimension")
    if not 1 <= value <= MAX_DIMENSION:
        raise InvalidArgumentError(f"dimension is 1 to {MAX_DIMENSION:,}, not {value:,}")
    return value


def as_metric(metric: object) -> Metric:
    """Return the metric of that name (`"dot"` is `"ip"`), or raise `InvalidArgumentError`."""
    chosen = check_choice(metric, _METRICS, "metric")
    return "ip" if chosen == "dot" else chosen


def check_natural(value: object, what: str) -> int:
    """Return `value` as an int if it is a whole number >= 0 (NumPy's too, no bool), or raise `InvalidArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidArgumentError(f"{what} is an int >= 0, not {_short(value)} ({type(value).__name__})")
    if value < 0:
        raise InvalidArgumentError(f"{what} is an int >= 0, not {value}")
    return int(value)


def check_flag(value: object, what: str) -> bool:
    """Return `value` if it is a bool, or raise `InvalidArgumentError`."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{what} is True or False, not {_short(value)}")
    return value


def check_choice(value: object, choices: Sequence[Choice], what: str) -> Choice:
    """Return `value` if it is one of `choices`, or raise `InvalidArgumentError`."""
    for choice in choices:
        if isinstance(value, str) and value == choice:
            return choice
    raise InvalidArgumentError(f"{what} is one of {', '.join(map(repr, choices))}, not {_short(value)}")


def check_score(value: object) -> float:
    """Return `value` as a float if it is a real number (no NaN), or raise `InvalidArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidArgumentError(f"min_score is a number, not {_short(value)} ({type(value).__name__})")
    if math.isnan(value):
        raise InvalidArgumentError("min_score is a number, not NaN")
    return float(value)


def as_list(values: object, what: str) -> list[Any]:
    """Return the column `values` as a list of its own.

    Raises:
        InvalidArgumentError: `values` is a single string, a mapping, or not iterable.
    """
    if isinstance(values, str | bytes) or is_mapping(values) or not is_iterable(values):
        raise InvalidArgumentError(f"{what} is a list with one element a record, not {type(values).__name__}")
    return list(values)


def check_id(value: object) -> str:
    """Return `value` if it is a record id by rules 2.1 and 2.6, or raise `InvalidIdError`."""
    if not isinstance(value, str):
        raise InvalidIdError(f"an id is a str, not {_short(value)} ({type(value).__name__}); convert it with str()")
    if not 1 <= len(value) <= _MAX_ID:
        raise InvalidIdError(f"an id has 1 to {_MAX_ID} characters, not {len(value):,}: {_short(value)}")
    try:
        check_text(value, f"the id {_short(value)}")
    except InvalidArgumentError as error:
        raise InvalidIdError(str(error)) from None
    return str(value)


def check_unique(ids: Sequence[str]) -> None:
    """Raise `DuplicateIdError`, listing at most ten, if an id stands in `ids` twice (rule 2.2)."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    twice: set[str] = set()
    for id in ids:
        (twice if id in seen else seen).add(id)
    raise DuplicateIdError(
        f"{len(twice):,} id(s) are named more than once in this call: {_first_ten(twice)}; nothing was written"
    )


def check_document(value: object, record_id: str) -> str | None:
    """Return `value` if it is a document by rules 2.4 and 2.6, or raise `InvalidArgumentError`."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"the document of record {_short(record_id)} is a str or None, not {type(value).__name__}"
        )
    check_text(value, f"the document of record {_short(record_id)}")
    return str(value)


# --- metadata ---------------------------------------------------------------------------------------------------


def check_metadata_key(key: object) -> str:
    """Return `key` if it can be a top-level metadata key (rule 2.5), or raise `InvalidMetadataError`."""
    if not isinstance(key, str):
        raise InvalidMetadataError(f"a metadata key is a str, not {_short(key)} ({type(key).__name__})")
    if not 1 <= len(key) <= _MAX_KEY:
        raise InvalidMetadataError(f"a metadata key has 1 to {_MAX_KEY} characters, not {len(key):,}: {_short(key)}")
    if key.startswith(_RESERVED_PREFIXES):
        raise InvalidMetadataError(f"a metadata key does not begin with {', '.join(_RESERVED_PREFIXES)}: {_short(key)}")
    try:
        check_text(key, f"the metadata key {_short(key)}")
    except InvalidArgumentError as error:
        raise InvalidMetadataError(str(error)) from None
    return str(key)


def as_metadata(value: object, record_id: str) -> Metadata:
    """Return a metadata object as a copy of its own in Python's types (rule 2.5).

    Args:
        value: A mapping of JSON values, NumPy scalars among them, or None for `{}`.
        record_id: The record's id, for the message.

    Raises:
        InvalidMetadataError: It is not JSON, or beyond a limit; the message names the record, the key and the type.
    """
    if value is None:
        return {}
    where = f"record {_short(record_id)}"
    if not is_mapping(value):
        raise InvalidMetadataError(f"the metadata of {where} is a dict or None, not {type(value).__name__}")
    if len(value) > _MAX_KEYS:
        raise InvalidMetadataError(f"the metadata of {where} has {len(value):,} keys; at most {_MAX_KEYS} are taken")
    cleaner = _MetadataCleaner()
    cleaned: Metadata = {}
    for key, item in value.items():
        try:
            name = check_metadata_key(key)
            cleaned[name] = item if type(item) is bool or item is None else cleaner.clean(item, 0)
        except InvalidMetadataError as error:
            raise InvalidMetadataError(f"metadata of {where}, key {_short(key)}: {error}") from None
    return cleaned


class _MetadataCleaner:
    """Checks and copies the values of one metadata object; counts list elements over all of it."""

    def __init__(self) -> None:
        self._elements = 0

    def clean(self, value: object, nesting: int) -> Json:
        if isinstance(value, np.generic):
            return self.clean(cast("Any", value).item(), nesting)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _clean_string(value)
        if isinstance(value, int):
            if not -_INT64 <= value < _INT64:
                raise InvalidMetadataError("int beyond 64 bits; store it as a str")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidMetadataError(f"float {value} is not finite; leave the key out or use None")
            return float(value)
        if is_list(value):
            _check_nesting(nesting)
            self._elements += len(value)
            if self._elements > _MAX_ELEMENTS:
                raise InvalidMetadataError(f"list: more than {_MAX_ELEMENTS:,} list elements in one record")
            return [self.clean(item, nesting + 1) for item in value]
        if is_dict(value):
            _check_nesting(nesting)
            return {self._nested_key(key): self.clean(item, nesting + 1) for key, item in value.items()}
        raise InvalidMetadataError(
            f"{type(value).__name__} is not JSON; use None, bool, int, float, str, list or dict "
            "(dates as ISO strings: they keep their order)"
        )

    @staticmethod
    def _nested_key(key: object) -> str:
        if not isinstance(key, str):
            raise InvalidMetadataError(f"nested key of type {type(key).__name__}; keys are str")
        return _clean_string(key)


def _check_nesting(nesting: int) -> None:
    if nesting >= _MAX_NESTING:
        raise InvalidMetadataError(f"lists and dicts nested deeper than {_MAX_NESTING} levels")


def _clean_string(value: str) -> str:
    try:
        check_text(value, "str")
    except InvalidArgumentError as error:
        raise InvalidMetadataError(str(error)) from None
    return str.__str__(value)


# --- vectors ----------------------------------------------------------------------------------------------------


def as_vectors(
    vectors: object, dimension: int, metric: Metric, what: Callable[[int], str], error: type[Exception] | None = None
) -> FloatArray:
    """Return vectors as one C-contiguous float32 array of shape `(n, dimension)` (rule 2.3).

    Args:
        vectors: A sequence of vectors (lists, tuples, 1-d arrays), or a 2-d array of any NumPy number type.
        dimension: The length each must have.
        metric: Under `cosine` a norm below 1e-12 is refused too.
        what: Names the vector of a given index, for the message.
        error: Raised in place of the errors below (an embedder's output is its fault, not the caller's).

    Returns:
        The array; it shares memory with `vectors` if that is such an array already.

    Raises:
        DimensionMismatchError: A vector has another length.
        InvalidVectorError: It holds something that is no number, NaN, infinity or a number beyond float32, or its
            norm is above 1e15 (or under `cosine` below 1e-12).
    """
    try:
        array = _to_array(vectors, dimension, what)
        _check_values(array, metric, what)
    except InvalidVectorError as problem:
        if error is None:
            raise
        raise error(str(problem)) from None
    return array


def _to_array(vectors: object, dimension: int, what: Callable[[int], str]) -> FloatArray:
    if is_array(vectors) and vectors.ndim == 2 and vectors.dtype.kind in "iuf":
        if vectors.shape[1] != dimension and vectors.shape[0]:
            raise _mismatch(what(0), vectors.shape[1], dimension)
        return _to_float32(vectors).reshape(-1, dimension)
    rows = as_list(vectors, "embeddings")
    for index, row in enumerate(rows):
        _check_row(row, dimension, what, index)
    try:
        return _to_float32(rows).reshape(-1, dimension)
    except OverflowError:
        raise InvalidVectorError(f"{what(0)}, or one after it, holds an integer beyond float32") from None


def _to_float32(vectors: "NDArray[Any] | list[Any]") -> FloatArray:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is then reported as that
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _check_row(row: object, dimension: int, what: Callable[[int], str], index: int) -> None:
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


def _is_real(kind: type) -> bool:
    return issubclass(kind, int | float | np.integer | np.floating) and not issubclass(kind, bool)


def _mismatch(what: str, length: int, dimension: int) -> DimensionMismatchError:
    return DimensionMismatchError(
        f"{what} has {length:,} dimensions, the collection {dimension:,}; "
        "use the embedder the collection was made with, or a collection of that dimension"
    )


def _check_values(array: FloatArray, metric: Metric, what: Callable[[int], str]) -> None:
    if not len(array):
        return
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", array, array)
    least = MIN_COSINE_NORM if metric == "cosine" else 0.0
    if squares.min() > least**2 * 1.01 and squares.max() < MAX_NORM**2 * 0.99:  # NaN fails both
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
            f"{what(index)} has norm {norm:.3g}; cosine has no meaning below {MIN_COSINE_NORM:.0e} "
            "(a zero vector has no direction)"
        )


def _first_ten(ids: Iterable[str]) -> str:
    return ", ".join(_short(id) for id in sorted(ids)[:10])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
