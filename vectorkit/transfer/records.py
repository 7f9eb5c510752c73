"""Records compared, part by part: documents, metadata with their types, vectors."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vectorkit._narrow import is_dict, is_list
from vectorkit.transfer.verify.report import Differences
from vectorkit.types import Record, Vector
from vectorkit.validation import short

__all__ = ["VECTOR_ERROR", "compare_records", "same_json"]

VECTOR_ERROR: Final = 1e-6
"""How far a vector may be from what was written, relative to its norm (rule 6.10)."""


def compare_records(left: Sequence[Record], right: Sequence[Record], found: Differences) -> float:
    """Compare records of the same ids.

    Args:
        left: Those of the source, with vectors.
        right: Those of the target, in the same order.
        found: Takes the differences.

    Returns:
        The largest distance between the two vectors of a record, relative to the norm of the source's.
    """
    for ours, theirs in zip(left, right, strict=True):
        if ours.document != theirs.document:
            found.add("document", _told(ours.id, _documents(ours.document, theirs.document)), ours.id)
        if not same_json(ours.metadata, theirs.metadata):
            found.add("metadata", _told(ours.id, _metadata(ours.metadata, theirs.metadata)), ours.id)
    return _compare_vectors(left, right, found)


def same_json(ours: object, theirs: object) -> bool:
    """Whether two JSON values are equal with their types all the way down (rule 2.5): `1` is neither `1.0` nor `true`.

    `-0.0` equals `0.0`, keys have no order, and NaN, which foreign data may hold, equals NaN.
    """
    if type(ours) is not type(theirs):
        return False
    if type(ours) is str or type(ours) is int:  # as most are
        return ours == theirs
    if is_dict(ours) and is_dict(theirs):
        if ours.keys() != theirs.keys():
            return False
        return all(map(same_json, ours.values(), map(theirs.__getitem__, ours)))
    if is_list(ours) and is_list(theirs):
        return len(ours) == len(theirs) and all(map(same_json, ours, theirs))
    return ours == theirs or (ours != ours and theirs != theirs)  # NaN


def _compare_vectors(left: Sequence[Record], right: Sequence[Record], found: Differences) -> float:
    by_length: dict[int, list[tuple[str, Vector, Vector]]] = {}
    for ours, theirs in zip(left, right, strict=True):
        a, b = ours.embedding, theirs.embedding
        if a is not None and b is not None and len(a) == len(b):
            by_length.setdefault(len(a), []).append((ours.id, a, b))
        elif a is not None or b is not None:
            found.add("vector", _told(ours.id, f"{_length(a)} in the source, {_length(b)} in the target"), ours.id)
    return max((_compare_arrays(rows, found) for rows in by_length.values()), default=0.0)


def _compare_arrays(rows: Sequence[tuple[str, Vector, Vector]], found: Differences) -> float:
    """Vectors of one length at once: one by one, NumPy would take longer than the reading."""
    ids, left, right = zip(*rows, strict=True)
    ours, theirs = np.stack(left), np.stack(right)
    if np.array_equal(ours, theirs):
        return 0.0
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities, which foreign data may hold
        off = np.linalg.norm(a - b, axis=1)
        error = np.where(off == 0, 0.0, off / np.maximum(np.linalg.norm(a, axis=1), np.finfo(np.float64).tiny))
    error[[np.array_equal(*pair, equal_nan=True) for pair in zip(ours, theirs, strict=True)]] = 0.0
    for row in np.flatnonzero(~(error <= VECTOR_ERROR)).tolist():
        found.add("vector", _told(ids[row], _vectors(a[row], b[row], float(error[row]))), ids[row])
    return float(np.nanmax(error, initial=0.0))


def _told(id: str, what: str) -> str:
    return f"{short(id)}: {what}"


def _length(vector: Vector | None) -> str:
    return "no vector" if vector is None else f"{len(vector):,} dimensions"


def _vectors(ours: NDArray[np.float64], theirs: NDArray[np.float64], error: float) -> str:
    with np.errstate(invalid="ignore"):
        at = int(np.argmax(np.abs(ours - theirs)))
    numbers = f"component {at} is {ours[at]:.9g} in the source, {theirs[at]:.9g} in the target"
    return f"{numbers}; the vectors are {error:.2g} of the norm apart"


def _documents(ours: str | None, theirs: str | None) -> str:
    if ours is None or theirs is None:
        return f"{short(ours)} in the source, {short(theirs)} in the target"
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    cuts = short(ours[at : at + 60]), short(theirs[at : at + 60])
    return f"from character {at:,} on {cuts[0]} in the source, {cuts[1]} in the target"


def _metadata(ours: object, theirs: object, path: str = "") -> str:
    """The first place where two JSON values differ."""
    if is_dict(ours) and is_dict(theirs):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            place = f"{path}[{short(key)}]"
            if key not in theirs:
                return f"metadata{place} is {short(ours[key])} in the source, and not in the target"
            if key not in ours:
                return f"metadata{place} is {short(theirs[key])} in the target, and not in the source"
            if not same_json(ours[key], theirs[key]):
                return _metadata(ours[key], theirs[key], place)
    if is_list(ours) and is_list(theirs) and len(ours) == len(theirs):
        at = next(at for at, pair in enumerate(zip(ours, theirs, strict=True)) if not same_json(*pair))
        return _metadata(ours[at], theirs[at], f"{path}[{at}]")
    return f"metadata{path} is {_typed(ours)} in the source, {_typed(theirs)} in the target"


def _typed(value: object) -> str:
    return f"{short(value)} ({type(value).__name__})"
