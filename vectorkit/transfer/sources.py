"""Where records come from and go to, whatever holds them: a store, a file, or a collection that others made.

Everything here is read in ascending order of id by code point, so that two sources can be compared side by side in
memory that does not grow with them, and so that a copy that was stopped goes on after the last id it wrote.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from vectorkit.errors import VectorKitError
from vectorkit.types import Batch, CollectionSpec, Record

__all__ = ["MAX_BATCH", "Contents", "Malformed", "Source", "Target", "Writing"]

MAX_BATCH: Final = 1000
"""The most records that are written at once, in one transaction where the target has them."""


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
        identity: What tells this very collection from another one of its name, also to another process; `""`: nothing
            but the name and where it is.
        has_uris: Whether its records have URIs, which are read as the metadata `uri`.
    """

    name: str
    spec: CollectionSpec | None
    count: int
    foreign: bool = False
    remarks: tuple[str, ...] = ()
    identity: str = ""
    has_uris: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line or a row of a file of which no record can be made.

    Attributes:
        place: Where it stands, as `"line 3"`.
        found: What stands there: the text of a line, the values of a row.
        error: What is wrong with it.
    """

    place: str
    found: object
    error: VectorKitError


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

    def read(
        self,
        name: str,
        *,
        after: str | None = None,
        batch_size: int = 1000,
        malformed: Callable[[Malformed], object] | None = None,
    ) -> Iterator[list[Record]]:
        """Stream the records with their vectors, in ascending order of id, in memory that is bounded apart from ids.

        Records are as they are stored: of a foreign collection one may lack its vector, or hold what 2.1 to 2.8 forbid.

        Args:
            name: Of which collection.
            after: Only records whose ids are greater.
            batch_size: The most records of a batch.
            malformed: Takes what is there and is no record, in the thread that reads; None: the first is an error.

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


class Target(Source, Protocol):
    """Something that collections can be copied into."""

    def begin(self, spec: CollectionSpec, origin: str) -> "Writing | None":
        """Make a collection to be filled, or go on with one that an earlier copy began.

        That a copy has begun and is not finished is kept in the target itself, where another process sees it, also
        after this one was killed.

        Args:
            spec: What the collection is; where it is there already, empty or not, its index is its own.
            origin: What is copied, so that a copy is gone on with by a copy of the same thing only. For people, too.

        Returns:
            Where to write; None if a collection of that name is there, and what it holds is not of an unfinished copy.

        Raises:
            CollectionMismatchError: It is there with another metric, dimension, embedder or language.
            CollectionExistsError: It is there, half-filled by a copy of another origin.
            UnsupportedError: The target cannot hold such a collection.
            BackendError: Another copy is writing to it.
        """
        ...


class Writing(Protocol):
    """A collection that is being filled, in ascending order of id."""

    @property
    def last(self) -> str | None:
        """The id after which to go on: all records up to it are written, for good; None: begin at the beginning.

        Where a process may die in the middle of a write, that is not the greatest id of those written, and some
        records after it are given to `write` again.
        """
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the target does differently from the spec, a sentence each (an index that it does not have)."""
        ...

    def count(self) -> int:
        """Return how many records were written, by earlier runs too."""
        ...

    def write(self, batch: Batch) -> None:
        """Write records whose ids are greater than `last` and than all given before; for good, once it returns.

        Args:
            batch: At most `MAX_BATCH` records, as of `VectorBackend.add`, in ascending order of id; those that are
                written already are passed over.
        """
        ...

    def finish(self) -> None:
        """Build the indexes, and note that the collection is whole. If it fails, the copy can be gone on with."""
        ...

    def close(self) -> None:
        """Let go of the collection; if it is not finished, it stays an unfinished copy. Again: does nothing."""
        ...
