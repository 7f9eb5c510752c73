"""Where records come from and go to, whatever holds them: a store, a file, or a collection that others made.

Everything here is read in ascending order of id by code point, so that two sources can be compared side by side in
memory that does not grow with them, and so that a copy that was stopped goes on after the last id it wrote.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from vectorkit.types import CollectionSpec, Record

__all__ = ["Contents", "Source"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a source says of one of its collections.

    Attributes:
        name: What it is called there; a name that others gave may be one that 1.1 forbids.
        spec: What a collection of the same meaning is created with, under a name that 1.1 allows; None if the source
            does not say enough (no record yet, so no dimension).
        count: The number of records.
        foreign: Whether others than this library made it.
        remarks: What is not as this library would have made it, a sentence each, for people (a metric by squared
            distance, an embedder whose identity is not stored).
    """

    name: str
    spec: CollectionSpec | None
    count: int
    foreign: bool = False
    remarks: tuple[str, ...] = ()


class Source(Protocol):
    """Something that holds collections."""

    @property
    def label(self) -> str:
        """Where it is, for people; without passwords."""
        ...

    def contents(self) -> list[Contents]:
        """Return what is there, in ascending order of name."""
        ...

    def content(self, name: str) -> Contents:
        """Return one of them.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    def read(self, name: str, *, after: str | None = None, batch_size: int = 1000) -> Iterator[list[Record]]:
        """Stream the records with their vectors, in ascending order of id, in memory that is bounded apart from ids.

        Records are as they are stored: of a foreign collection one may lack its vector, or hold what 2.1 to 2.8 forbid.

        Args:
            name: Of which collection.
            after: Only records whose ids are greater.
            batch_size: The most records of a batch.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        ...

    def get(self, name: str, ids: list[str]) -> list[Record]:
        """Read the records of these ids with their vectors, those that are there, in the order asked."""
        ...

    def close(self) -> None:
        """Release what was opened to read it."""
        ...
