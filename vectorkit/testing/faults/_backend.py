"""The reference, with places where a fault bends it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from vectorkit.backend.requests import VectorSearch
from vectorkit.filters import And, Compare, Contains, Filter, Not, Or, matches
from vectorkit.memory import MemoryBackend
from vectorkit.types import Batch, CollectionInfo, Hit, Metadata, Ranking

__all__ = ["ALL", "FaultyBackend", "FaultyConditions", "FaultyFilters", "picked"]

ALL: Final = 2**31 - 1
"""As `k`: every record."""


class FaultyBackend(MemoryBackend):
    """Keeps the contract, until a subclass bends a method."""

    def add(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write the bent batches."""
        super().add(collection, map(self._bent_batch, batches))

    def upsert(self, collection: CollectionInfo, batches: Iterable[Batch]) -> None:
        """Write the bent batches."""
        super().upsert(collection, map(self._bent_batch, batches))

    def search(self, collection: CollectionInfo, request: VectorSearch) -> list[Ranking]:
        """Return the bent hits."""
        found = super().search(collection, request)
        return [replace(each, hits=self._bent_hits(each.hits, collection)) for each in found]

    def _bent_batch(self, batch: Batch) -> Batch:
        """What is stored of new records."""
        return batch

    def _bent_hits(self, hits: list[Hit], collection: CollectionInfo) -> list[Hit]:
        """What is returned of the right hits."""
        return hits


class FaultyFilters(FaultyBackend):
    """Evaluates filters node by node, until a subclass bends one kind of node."""

    def _test(self, where: Filter) -> Callable[[str | None, Metadata], bool]:
        return lambda document, metadata: self._holds(where, document, metadata)

    def _holds(self, where: Filter, document: str | None, metadata: Metadata) -> bool:
        match where:
            case And(parts):
                return all(self._holds(part, document, metadata) for part in parts)
            case Or(parts):
                return any(self._holds(part, document, metadata) for part in parts)
            case Not(part):
                return self._fails(part, document, metadata)
            case Compare():
                return self._compare(where, metadata)
            case Contains(text):
                return self._contains(text, document)
            case _:
                raise TypeError(f"not a filter: {where!r}")

    def _fails(self, part: Filter, document: str | None, metadata: Metadata) -> bool:
        """The complement of a condition."""
        return not self._holds(part, document, metadata)

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        return matches(condition, None, metadata)

    def _contains(self, text: str, document: str | None) -> bool:
        return document is not None and text in document


class FaultyConditions(FaultyFilters):
    """Compares what values are taken for, until a subclass takes one for another."""

    def _compare(self, condition: Compare, metadata: Metadata) -> bool:
        key, op, operand = condition.key, condition.op, condition.operand
        if op == "$exists" or key not in metadata:
            return super()._compare(condition, metadata)
        taken = tuple(map(self._taken, operand)) if isinstance(operand, tuple) else self._taken(operand)
        value = metadata[key]
        stored = [self._taken(item) for item in value] if isinstance(value, list) else self._taken(value)
        return matches(Compare(key, op, taken), None, {key: stored})

    def _taken(self, value: Any) -> Any:
        """What an operand, a value or an element of a list is taken for."""
        return value


def picked(batch: Batch, keep: Sequence[bool]) -> Batch:
    """The rows of a batch that are to be kept."""
    rows = [at for at, kept in enumerate(keep) if kept]
    return Batch(
        [batch.ids[row] for row in rows],
        [batch.documents[row] for row in rows],
        batch.embeddings[rows],
        [batch.metadatas[row] for row in rows],
    )
