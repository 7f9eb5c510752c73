"""What is asked of a collection's rows, and what comes back."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from vectorkit.types import FloatArray, Metadata
from vectorkit_chroma.records.codec import Row, decode

__all__ = ["EVERYTHING", "Found", "Selection", "Stored", "chunks"]

T = TypeVar("T")


class Selection(NamedTuple):
    """The records that match a filter.

    Attributes:
        where: What Chroma is asked; None for everything.
        ids: The matching ids where Chroma cannot be asked; then `where` is None.
    """

    where: dict[str, Any] | None
    ids: list[str] | None = None


EVERYTHING: Final = Selection(None)


class Stored(NamedTuple):
    """A record as Chroma gives it.

    Attributes:
        row: Its metadata in Chroma; None if it was deleted while it was read.
        text: Its document in Chroma.
        embedding: Its vector, if it was asked for.
    """

    row: Row | None
    text: str | None
    embedding: FloatArray | None

    def decoded(self) -> tuple[str | None, Metadata]:
        """Document and metadata of the record."""
        return decode(self.row or {}, self.text)


class Found(NamedTuple):
    """What a query found, nearest first; `records` if they were asked for."""

    ids: list[str]
    distances: list[float]
    records: list[Stored]


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into parts of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
