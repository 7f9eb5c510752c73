"""What the suite compares with: records with their types, hits under rule 6.5, calls that must be refused."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vectorkit._narrow import is_array, is_dict, is_list
from vectorkit.collection import Collection
from vectorkit.errors import VectorKitError
from vectorkit.types import FloatArray, Hit, Metric, Record
from vectorkit.validation import short

__all__ = [
    "assert_embedding",
    "assert_refused",
    "assert_same_hits",
    "assert_same_scores",
    "contents",
    "ids_of",
    "tolerance",
    "typed",
]

_LONGEST_MESSAGE = 1000


def ids_of(found: Iterable[Record] | Iterable[Hit]) -> list[str]:
    """The ids, in order."""
    return [item.id for item in found]


def typed(value: object) -> object:
    """A value that is equal to another one's only if the types are the same all the way down (rule 2.5).

    `1`, `1.0` and `True` differ; `-0.0` and `0.0` do not; keys have no order.
    """
    if is_dict(value):
        return "dict", {key: typed(item) for key, item in value.items()}
    if is_list(value):
        return "list", [typed(item) for item in value]
    return type(value).__name__, value


def contents(collection: Collection) -> dict[str, object]:
    """All there is in a collection, as a value to compare: documents, typed metadata, bits of the embeddings."""
    return {
        record.id: (record.document, typed(record.metadata), np.asarray(record.embedding).tobytes())
        for record in collection.get(include_embeddings=True)
    }


def assert_embedding(found: object, written: Sequence[float] | FloatArray) -> None:
    """The embedding of a record or hit is a float32 array that equals what was written within 1e-6 of its norm."""
    assert is_array(found), f"an embedding is a NumPy array, not {type(found).__name__}"
    assert found.dtype == np.float32, f"an embedding is of dtype float32, not {found.dtype}"
    expected = np.asarray(written, dtype=np.float32).astype(np.float64)
    assert found.shape == expected.shape
    off = float(np.linalg.norm(found.astype(np.float64) - expected))
    assert off <= 1e-6 * float(np.linalg.norm(expected)), f"the embedding is off by {off}"


def assert_refused(error: type[VectorKitError], call: Callable[..., object], /, *given: Any, **named: Any) -> str:
    """`call(*given, **named)` raises `error`, with a message of a sensible length, which is returned."""
    try:
        returned = call(*given, **named)
    except error as problem:
        message = str(problem)
        assert message, f"{_shown(call, given, named)}: the message of {error.__name__} is empty"
        assert len(message) <= _LONGEST_MESSAGE, f"a message of {len(message):,} characters: {message[:200]}…"
        return message
    except Exception as problem:
        found = f"{type(problem).__name__}: {str(problem)[:300]}"
        raise AssertionError(f"{_shown(call, given, named)}: expected {error.__name__}, got {found}") from problem
    raise AssertionError(f"{_shown(call, given, named)}: expected {error.__name__}, but it returned {short(returned)}")


def _shown(call: Callable[..., object], given: tuple[Any, ...], named: dict[str, Any]) -> str:
    arguments = [*map(short, given), *(f"{name}={short(value)}" for name, value in named.items())]
    return f"{getattr(call, '__name__', call)}({', '.join(arguments)})"


def tolerance(metric: Metric, query: FloatArray, vector: FloatArray) -> float:
    """How far a distance or score may be from the true one (rule 6.5)."""
    a, b = (float(np.linalg.norm(each.astype(np.float64))) for each in (query, vector))
    return 1e-6 * {"cosine": 1.0, "ip": a * b, "l2": a + b}[metric]


def assert_same_hits(hits: Sequence[Hit], ranking: Sequence[Hit], k: int, metric: Metric, query: FloatArray) -> None:
    """An exact search found what the reference finds, up to what rule 6.5 allows.

    Distances and scores agree within the tolerance; two records may stand in another order, or one in place of the
    other at the cut, only if their true distances differ by less than it; identical vectors stand in order of id.

    Args:
        hits: What the backend found, at most `k`.
        ranking: The reference's ranking of every record that matches, with embeddings.
        k: How many were asked for.
        metric: The metric of the collection.
        query: The query, float32.
    """
    ids = ids_of(hits)
    true = {hit.id: hit for hit in ranking}
    assert len(set(ids)) == len(ids), f"a record is found twice: {ids}"
    assert set(ids) <= set(true), f"records that do not match are found: {sorted(set(ids) - set(true))}"
    assert len(ids) == min(k, len(true)), f"{len(ids)} hits; k is {k}, and {len(true)} records match"
    own = [(hit.distance, hit.id) for hit in hits]
    assert own == sorted(own, key=_nearest), f"hits are not ordered by distance, then id: {own}"
    slack: dict[str, float] = {}
    distances: dict[str, float] = {}
    places: dict[bytes, list[str]] = {}
    for hit in sorted(ranking, key=lambda hit: hit.id):
        assert hit.distance is not None
        assert hit.embedding is not None
        distances[hit.id] = hit.distance
        slack[hit.id] = tolerance(metric, query, hit.embedding)
        places.setdefault(hit.embedding.tobytes(), []).append(hit.id)
    # Of two records the larger tolerance counts: `least` has the earlier one's taken off, `farthest` has not.
    least = farthest = -np.inf
    for hit in hits:
        expected, allowed = true[hit.id], slack[hit.id]
        assert hit.distance is not None
        assert abs(hit.distance - distances[hit.id]) <= allowed, (
            f"{hit.id!r}: distance {hit.distance}, should be {distances[hit.id]}"
        )
        assert abs(hit.score - expected.score) <= allowed, f"{hit.id!r}: score {hit.score}, should be {expected.score}"
        assert hit.document == expected.document
        assert typed(hit.metadata) == typed(expected.metadata)
        assert distances[hit.id] >= min(least, farthest - allowed), f"{hit.id!r} stands after farther ones: {ids}"
        farthest = max(farthest, distances[hit.id])
        least = max(least, distances[hit.id] - allowed)
    for id in set(true) - set(ids):
        assert distances[id] >= min(least, farthest - slack[id]), f"{id!r} is nearer than a record found: {ids}"
    rank = {id: at for at, id in enumerate(ids)}
    for same in places.values():
        found = sorted((id for id in same if id in rank), key=rank.__getitem__)
        assert found == same[: len(found)], f"of the identical vectors {same[:20]}, {found[:20]} are found"


def assert_same_scores(hits: Sequence[Hit], ranking: Sequence[Hit], k: int) -> None:
    """A text or hybrid search found what the reference finds, up to what rule 7.5 allows.

    Args:
        hits: What the backend found, at most `k`.
        ranking: The reference's ranking of every record that it finds.
        k: How many were asked for.
    """
    ids, true = ids_of(hits), {hit.id: hit for hit in ranking}
    assert len(set(ids)) == len(ids), f"a record is found twice: {ids}"
    assert set(ids) <= set(true), f"records that do not match are found: {sorted(set(ids) - set(true))}"
    assert len(ids) == min(k, len(true)), f"{len(ids)} hits; k is {k}, and the reference finds {len(true)}"
    own = [(-hit.score, hit.id) for hit in hits]
    assert own == sorted(own), f"hits are not ordered by score, then id: {own}"
    for hit, placed in zip(hits, ranking, strict=False):
        expected = true[hit.id]
        allowed = 1e-6 * max(1.0, abs(expected.score))
        assert abs(hit.score - expected.score) <= allowed, f"{hit.id!r}: score {hit.score}, should be {expected.score}"
        assert abs(expected.score - placed.score) <= allowed, f"{hit.id!r} stands where {placed.id!r} should: {ids}"
        assert hit.document == expected.document
        assert typed(hit.metadata) == typed(expected.metadata)
        assert (hit.distance is None) == (expected.distance is None)
        if expected.distance is not None:
            assert abs((hit.distance or 0.0) - expected.distance) <= 1e-5 * max(1.0, abs(expected.distance))


def _nearest(place: tuple[float | None, str]) -> tuple[float, str]:
    distance, id = place
    assert distance is not None, f"{id!r}: a vector search gives every hit a distance"
    return distance, id
